// MPILauncher: how this machine starts MPI programs: Open MPI's mpirun, or another's (MPICH).
//
// Open MPI refuses to start more ranks than cores, or to run as root, unless it is told to.

import Base
import Foundation
import Platform

package struct MPILauncher: Sendable {
  package let program: String
  package let isOpenMPI: Bool

  /// Asks mpirun what it is.
  ///
  /// It uses an event loop of its own and no thread: the caller has not yet blocked the signals that it handles, and
  /// another thread would receive them.
  /// - Throws: `UserError` if there is none.
  package static func find() throws -> MPILauncher {
    guard let program = try? ChildProcess.locate("mpirun") else {
      throw UserError(
        "cannot start learner ranks: mpirun is not in PATH. Install Open MPI (Debian: apt-get install "
          + "openmpi-bin), or add its directory to PATH")
    }
    let loop = try EventLoop()
    var answer: [UInt8] = []
    var command = ChildProcess.Command(program, ["--version"])
    command.output = .pipe { answer += $0 }
    command.errors = .discarded
    let process = try ChildProcess(command, loop: loop) { _ in loop.stop() }
    loop.run(until: MonotonicClock.now() + .seconds(10))
    process.signal(Signal.kill)
    let text = String(decoding: answer, as: UTF8.self)
    return MPILauncher(program: program, isOpenMPI: text.contains("Open MPI") || text.contains("OpenRTE"))
  }

  /// More ranks than cores are allowed. Ranks are not bound to cores, because workers share them, and they sleep
  /// instead of spinning while they wait.
  package func arguments(ranks: Int) -> [String] {
    guard isOpenMPI else { return ["-n", "\(ranks)"] }
    return ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "-n", "\(ranks)"]
  }

  /// Ranks of one machine, in a job of several.
  package struct Part {
    /// nil is this machine.
    package var host: String?
    package var ranks: Int
    /// The program and its arguments.
    package var words: [String]

    package init(host: String? = nil, ranks: Int, words: [String]) {
      self.host = host
      self.ranks = ranks
      self.words = words
    }
  }

  /// A job on several machines; the first rank is in the first part. Our own agent starts the daemons on the other
  /// machines and stays their parent: mpirun learns when one is lost, and they end when mpirun does.
  package func arguments(_ parts: [Part], agent: String, extra: [String]) -> [String] {
    var arguments = ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]
    let settings = [
      // Also within a Slurm job: Slurm's own launcher would end when the first node is lost.
      ("plm", "rsh"), ("ras", "^slurm"), ("plm_rsh_agent", agent), ("plm_rsh_no_tree_spawn", "1"),
      ("orte_leave_session_attached", "1"), ("orte_keep_fqdn_hostnames", "1"),
    ]
    for (name, value) in settings { arguments += ["--mca", name, value] }
    arguments += extra
    for (index, part) in parts.enumerated() {
      arguments += (index > 0 ? [":"] : []) + ["--host", "\(part.host ?? "localhost"):\(part.ranks)"]
      arguments += ["-n", "\(part.ranks)"] + part.words
    }
    return arguments
  }

  /// Open MPI runs as root only if two variables allow it.
  package var environment: [String: String] {
    guard isOpenMPI, geteuid() == 0 else { return [:] }
    return ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]
  }
}
