// MPIImplementation: the MPI library that this program is linked with, and what its launcher needs to be told.
//
// The library's own version text decides: the texts of mpirun differ between distributions. All names that differ
// between the implementations are here: arguments, variables, programs. Open MPI 4 has the runtime ORTE; Open MPI 5 has
// PRRTE, whose parameters have other names; MPICH has Hydra, which starts ranks here only on this machine.

package enum MPIImplementation: Equatable, Sendable {
  case openMPI4
  case openMPI5
  case mpich
  /// With the reason, as the end of a sentence.
  case unsupported(String)

  /// - Parameter text: the first line of `MPI_Get_library_version`, or its beginning.
  package init(libraryVersion text: String) {
    let words = text.split { $0.isWhitespace || $0 == "," || $0 == ":" }
    guard !text.hasPrefix("MPICH Version") else {
      self = .mpich
      return
    }
    let number = words.dropFirst(2).first.map { $0.drop { $0 == "v" } } ?? ""
    self =
      switch number.split(separator: ".").first.flatMap({ Int($0) }) {
      case 4 where text.hasPrefix("Open MPI "): .openMPI4
      case 5 where text.hasPrefix("Open MPI "): .openMPI5
      case _ where text.hasPrefix("Open MPI "):
        .unsupported("the arguments of its mpirun are known for Open MPI 4.1 and 5.0, not for this version")
      default: .unsupported("it is neither Open MPI 4.1 or 5.0, nor MPICH")
      }
  }

  /// Whether its launcher can start ranks on other machines.
  package var reachesOtherMachines: Bool { self == .openMPI4 || self == .openMPI5 }

  /// The names of its own processes: of the launcher (Open MPI 5's mpirun becomes another program), and of those that
  /// start the ranks, on this machine or on others.
  package var processNames: [String] {
    switch self {
    case .openMPI4: ["mpirun", "orted"]
    case .openMPI5: ["mpirun", "prterun", "prted"]
    case .mpich: ["mpirun", "mpiexec.hydra", "hydra_pmi_proxy"]
    case .unsupported: ["mpirun"]
    }
  }

  /// More ranks than cores are allowed. Ranks are not bound to cores, because workers share them, and they sleep
  /// instead of spinning while they wait. The ranks of a host have consecutive numbers, in the order of the hosts.
  ///
  /// - Parameter hosts: "NAME:RANKS" each.
  func placement(hosts: [String], ranks: Int) -> [String] {
    switch self {
    case .openMPI4, .openMPI5:
      ["--map-by", "slot:OVERSUBSCRIBE", "--bind-to", "none", "--mca", "mpi_yield_when_idle", "1"]
        // Also within a Slurm job: Slurm's own launcher would end when the first node is lost.
        + runtime([("ras", "^slurm")]) + ["--host", hosts.joined(separator: ","), "-n", "\(ranks)"]
    case .mpich, .unsupported: ["-n", "\(ranks)"]
    }
  }

  /// Ranks of one machine need no network.
  var onThisMachine: [String] {
    switch self {
    case .openMPI4: runtime([("plm", "isolated")]) + ["--mca", "pml", "ob1", "--mca", "btl", "self,vader"]
    case .openMPI5:
      runtime([("plm", "ssh")])
        + ["--pmixmca", "ptl_base_if_include", "lo", "--mca", "pml", "ob1", "--mca", "btl", "self,sm"]
    case .mpich: ["-iface", "lo"]
    case .unsupported: []
    }
  }

  /// Our own agent starts the daemons on the other machines and stays their parent: mpirun learns when one is lost,
  /// and they end when mpirun does.
  func onOtherMachines(agent: String) -> [String] {
    switch self {
    case .openMPI4:
      runtime([
        ("plm", "rsh"), ("plm_rsh_agent", agent), ("plm_rsh_no_tree_spawn", "1"),
        ("orte_leave_session_attached", "1"), ("orte_keep_fqdn_hostnames", "1"),
      ])
    case .openMPI5:
      runtime([
        ("plm", "ssh"), ("plm_ssh_agent", agent), ("plm_ssh_no_tree_spawn", "1"), ("prte_keep_fqdn_hostnames", "1"),
      ]) + ["--leave-session-attached"]
    case .mpich, .unsupported: []
    }
  }

  /// Parameters of the runtime that starts ranks, as opposed to those of the library.
  private func runtime(_ parameters: [(name: String, value: String)]) -> [String] {
    parameters.flatMap { [self == .openMPI5 ? "--prtemca" : "--mca", $0.name, $0.value] }
  }

  /// The variable that has a rank's number.
  var rankVariable: String { self == .mpich ? "PMI_RANK" : "OMPI_COMM_WORLD_RANK" }

  /// Open MPI runs as root only if two variables allow it; so does PRRTE, where mpirun is PRRTE's own.
  func environment(isRoot: Bool) -> [String: String] {
    guard isRoot, reachesOtherMachines else { return [:] }
    let prefixes = self == .openMPI5 ? ["OMPI", "PRTE"] : ["OMPI"]
    let names = prefixes.flatMap { ["\($0)_ALLOW_RUN_AS_ROOT", "\($0)_ALLOW_RUN_AS_ROOT_CONFIRM"] }
    return Dictionary(uniqueKeysWithValues: names.map { ($0, "1") })
  }

  /// What keeps the ranks of one machine from listening at its other addresses.
  var localEnvironment: [String: String] { self == .mpich ? ["UCX_TLS": "self,sm"] : [:] }
}
