// MPILauncher: how this machine starts MPI programs: the mpirun in PATH, with the arguments that the MPI library needs
// (MPIImplementation).
//
// A job is on this machine, or on several. On one machine nothing of it listens at an address that other machines can
// reach.

import Base
import Collectives
import Foundation
import Platform

package struct MPILauncher: Sendable {
  package let program: String
  package let implementation: MPIImplementation
  /// The library that keeps a launcher's sockets on this machine (Sources/System/CLoopback); nil if it is not beside
  /// this program, or cannot be loaded.
  package let loopbackLibrary: String?

  package init(program: String, implementation: MPIImplementation, loopbackLibrary: String? = nil) {
    self.program = program
    self.implementation = implementation
    self.loopbackLibrary = loopbackLibrary
  }

  /// - Throws: `UserError` if there is no mpirun, or the MPI library is not supported.
  package static func find() throws -> MPILauncher {
    guard let program = try? ChildProcess.locate("mpirun") else {
      throw UserError(
        "cannot start learner ranks: mpirun is not in PATH. Install Open MPI (Debian: apt-get install "
          + "openmpi-bin), or add its directory to PATH")
    }
    let implementation = MPIImplementation(libraryVersion: MPICollectives.libraryVersion)
    if case .unsupported(let reason) = implementation {
      throw UserError(
        "cannot start learner ranks: \(MPICollectives.libraryVersion) is not supported: \(reason). Build ttrl with a "
          + "library that docs/operating.md lists")
    }
    // Blanks and colons separate the paths in LD_PRELOAD.
    let library = (try? ThisProcess.sibling(loopbackName)).flatMap { path in
      (try? Files.exists(path)) == true && !path.contains { $0 == " " || $0 == ":" } ? path : nil
    }
    return MPILauncher(program: program, implementation: implementation, loopbackLibrary: library)
  }

  /// The name of the library's file. It is a product of this package.
  package static let loopbackName = "libttrl-loopback.so"

  /// What is open to other machines during a job on this machine; nil if nothing is.
  package var exposure: String? {
    guard loopbackLibrary == nil else { return nil }
    return "mpirun will listen at all addresses of this machine, because \(Self.loopbackName) is not beside ttrl, "
      + "or their path has a blank or a colon. Copy it there (swift build and scripts/bundle make it), or see "
      + "\"Who listens where\" in docs/operating.md"
  }

  /// How mpirun is started.
  package struct Call: Equatable, Sendable {
    package var arguments: [String]
    package var environment: [String: String]
  }

  /// A job on this machine.
  ///
  /// - Parameters:
  ///   - ranks: how many.
  ///   - words: the program and its arguments.
  ///   - extra: further arguments of mpirun.
  package func local(ranks: Int, _ words: [String], extra: [String] = []) -> Call {
    var variables = environment.merging(implementation.localEnvironment) { $1 }
    if let loopbackLibrary {
      let others = ProcessInfo.processInfo.environment["LD_PRELOAD"].map { ":\($0)" } ?? ""
      variables["LD_PRELOAD"] = loopbackLibrary + others
    }
    let placement = implementation.placement(hosts: ["localhost:\(ranks)"], ranks: ranks)
    return Call(arguments: placement + implementation.onThisMachine + extra + words, environment: variables)
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

  /// A job on several machines; the first rank is in the first part.
  ///
  /// All ranks have one command. Where the machines' commands differ, a shell chooses by rank: Open MPI 5.0 crashes if
  /// it is given several commands (open-mpi/ompi#13303).
  package func job(_ parts: [Part], agent: String, extra: [String]) -> Call {
    let placement = implementation.placement(
      hosts: parts.map { "\($0.host ?? "localhost"):\($0.ranks)" }, ranks: parts.reduce(0) { $0 + $1.ranks })
    let first = parts.first?.words ?? []
    let words = parts.allSatisfy { $0.words == first } ? first : ["/bin/sh", "-c", choice(of: parts)]
    return Call(
      arguments: placement + implementation.onOtherMachines(agent: agent) + extra + words, environment: environment)
  }

  /// A shell script that becomes the command of its rank's part.
  private func choice(of parts: [Part]) -> String {
    var end = 0
    return parts.map { part in
      end += part.ranks
      let words = part.words.map(ShellWord.quoted).joined(separator: " ")
      return "[ \"$\(implementation.rankVariable)\" -ge \(end) ] || exec \(words)"
    }.joined(separator: "\n")
  }

  private var environment: [String: String] { implementation.environment(isRoot: geteuid() == 0) }
}

package enum ShellWord {
  /// One word of a shell command.
  package static func quoted(_ word: String) -> String { "'" + word.replacing("'", with: #"'\''"#) + "'" }
}
