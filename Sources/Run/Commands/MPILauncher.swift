// MPILauncher: how this machine starts MPI programs: Open MPI's mpirun, or another's (MPICH).
//
// They differ in what they refuse: Open MPI will not start more ranks than cores, nor anything as root, unless told to.

import Base
import Foundation
import Platform

package struct MPILauncher: Sendable {
  package let program: String
  package let isOpenMPI: Bool

  /// Asks mpirun what it is.
  ///
  /// Through a loop of its own and no thread: whoever calls this still has to block signals, which other threads would
  /// receive.
  /// - Throws: `UserError` if there is none.
  package static func find() throws -> MPILauncher {
    guard let program = try? ChildProcess.locate("mpirun") else {
      throw UserError(
        "cannot start learner ranks: no directory of PATH has mpirun. Install Open MPI (Debian: apt-get install "
          + "openmpi-bin) or add its directory to PATH")
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

  /// Ranks may outnumber cores, are bound to none (workers share them), and sleep rather than spin while they wait.
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

  /// A job over several machines, its first rank in the first part. Daemons on the others are started by our own agent
  /// and stay its children, so that mpirun hears when one is lost and they end when mpirun does.
  package func arguments(_ parts: [Part], agent: String, extra: [String]) -> [String] {
    var arguments = ["--oversubscribe", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]
    let settings = [
      // Also within a Slurm job: its own launcher would end with the first node that is lost.
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

  /// Open MPI refuses to run as root unless told twice.
  package var environment: [String: String] {
    guard isOpenMPI, geteuid() == 0 else { return [:] }
    return ["OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"]
  }
}
