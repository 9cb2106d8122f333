// The launcher of learner ranks: the library's version text decides what mpirun is told.

import Commands
import Glibc
import Testing

@Suite struct MPILauncherTests {
  /// Texts of `MPI_Get_library_version`, up to the first comma or line end, from distributions.
  @Test(arguments: [
    ("Open MPI v4.1.4", MPIImplementation.openMPI4), ("Open MPI v4.1.6", .openMPI4), ("Open MPI v5.0.7", .openMPI5),
    ("Open MPI v5.0.10rc1", .openMPI5), ("MPICH Version:      4.2.1", .mpich), ("MPICH Version:\t4.0.2", .mpich),
  ]) func `the library's version text decides the implementation`(text: String, expected: MPIImplementation) {
    #expect(MPIImplementation(libraryVersion: text) == expected)
  }

  @Test(arguments: ["Open MPI v3.1.6", "Open MPI v6.0.0", "Open MPI", "Intel(R) MPI Library 2021.13", "unknown", ""])
  func `another library is not supported, with a reason`(text: String) {
    guard case .unsupported(let reason) = MPIImplementation(libraryVersion: text) else {
      Issue.record("\"\(text)\" was taken for a supported library")
      return
    }
    #expect(reason.contains("Open MPI"))
  }

  private static let here = ["/opt/ttrl/ttrl", "learner", "--threads", "1"]

  private func launcher(_ implementation: MPIImplementation) -> MPILauncher {
    MPILauncher(program: "mpirun", implementation: implementation, loopbackLibrary: "/opt/ttrl/libttrl-loopback.so")
  }

  private static let placement4 = [
    "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "--mca", "ras",
    "^slurm",
  ]
  private static let placement5 = [
    "--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1", "--prtemca", "ras",
    "^slurm",
  ]

  @Test(arguments: [
    (
      MPIImplementation.openMPI4,
      placement4 + [
        "--host", "localhost:2", "-n", "2", "--mca", "plm", "isolated", "--mca", "pml", "ob1", "--mca", "btl",
        "self,vader",
      ]
    ),
    (
      .openMPI5,
      placement5 + [
        "--host", "localhost:2", "-n", "2", "--prtemca", "plm", "ssh", "--pmixmca", "ptl_base_if_include", "lo",
        "--mca", "pml", "ob1", "--mca", "btl", "self,sm",
      ]
    ),
    (.mpich, ["-n", "2", "-iface", "lo"]),
  ]) func `a job on this machine is oversubscribed, unbound, and needs no network`(
    implementation: MPIImplementation, expected: [String]
  ) {
    let call = launcher(implementation).local(ranks: 2, Self.here, extra: ["--extra"])
    #expect(call.arguments == expected + ["--extra"] + Self.here)
    #expect(call.environment["LD_PRELOAD"]?.hasPrefix("/opt/ttrl/libttrl-loopback.so") == true)
  }

  @Test(arguments: [
    (
      MPIImplementation.openMPI4,
      placement4 + [
        "--host", "localhost:1,b:2", "-n", "3", "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", "ttrl reach", "--mca",
        "plm_rsh_no_tree_spawn", "1", "--mca", "orte_leave_session_attached", "1", "--mca", "orte_keep_fqdn_hostnames",
        "1",
      ]
    ),
    (
      .openMPI5,
      placement5 + [
        "--host", "localhost:1,b:2", "-n", "3", "--prtemca", "plm", "ssh", "--prtemca", "plm_ssh_agent", "ttrl reach",
        "--prtemca", "plm_ssh_no_tree_spawn", "1", "--prtemca", "prte_keep_fqdn_hostnames", "1",
        "--leave-session-attached",
      ]
    ),
  ]) func `a job on several machines is one command, and its daemons stay children of our agent`(
    implementation: MPIImplementation, expected: [String]
  ) {
    let parts = [
      MPILauncher.Part(ranks: 1, words: Self.here), MPILauncher.Part(host: "b", ranks: 2, words: Self.here),
    ]
    let call = launcher(implementation).job(parts, agent: "ttrl reach", extra: [])
    #expect(call.arguments == expected + Self.here)
    #expect(!call.arguments.contains(":") && call.environment["LD_PRELOAD"] == nil)
  }

  @Test(arguments: [(MPIImplementation.openMPI4, ["OMPI"]), (.openMPI5, ["OMPI", "PRTE"]), (.mpich, [])])
  func `root is allowed on every version of Open MPI`(implementation: MPIImplementation, prefixes: [String]) {
    let calls = [
      launcher(implementation).local(ranks: 1, Self.here), launcher(implementation).job([], agent: "", extra: []),
    ]
    let names = prefixes.flatMap { ["\($0)_ALLOW_RUN_AS_ROOT", "\($0)_ALLOW_RUN_AS_ROOT_CONFIRM"] }
    for call in calls {
      let set = call.environment.filter { $0.key.contains("ROOT") }
      #expect(set == Dictionary(uniqueKeysWithValues: geteuid() == 0 ? names.map { ($0, "1") } : []))
    }
  }

  /// The script is run by the real shell, once for each rank.
  @Test func `where the machines' commands differ, each rank becomes the command of its machine`() throws {
    let words = [["echo", "a b", "$HOME", "it's"], ["echo", "second"], ["echo", "third"]]
    let parts = zip([2, 1, 3], words).map { MPILauncher.Part(host: "h", ranks: $0, words: $1) }
    let arguments = launcher(.openMPI5).job(parts, agent: "ttrl reach", extra: []).arguments
    #expect(arguments.suffix(3).prefix(2) == ["/bin/sh", "-c"])
    let script = try #require(arguments.last)
    for (rank, expected) in ["a b $HOME it's", "a b $HOME it's", "second", "third", "third", "third"].enumerated() {
      #expect(try output(of: script, rank: rank) == expected + "\n", "rank \(rank)")
    }
  }

  private func output(of script: String, rank: Int) throws -> String {
    let stream = try #require(popen("OMPI_COMM_WORLD_RANK=\(rank) /bin/sh -c \(ShellWord.quoted(script))", "r"))
    var bytes: [UInt8] = []
    while case let byte = fgetc(stream), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    #expect(pclose(stream) == 0)
    return String(decoding: bytes, as: UTF8.self)
  }
}
