// CommandSet: a program as its commands.

import Archives
import Base
import Ledger
import Platform
import Records
import Runs
import Settings
import Tensors

/// An entry point that reads its arguments itself: a process that the program starts, or a tool with a few options of
/// its own.
package struct Tool: Sendable {
  package let name: String
  /// Its name and arguments, as typed; nil for a tool that users do not need.
  package let usage: String?
  package let run: @Sendable (_ arguments: [String]) -> Int32

  package init(_ name: String, usage: String? = nil, run: @escaping @Sendable (_ arguments: [String]) -> Int32) {
    self.name = name
    self.usage = usage
    self.run = run
  }
}

package struct CommandSet: Sendable {
  package let program: String
  /// What the program is for, as a phrase.
  package let summary: String
  /// The last line of the overview.
  let closing: String
  package let commands: [Command]
  let tools: [Tool]
  /// Words that are commands of another program: its name and theirs.
  let others: (program: String, names: [String])?

  package init(
    program: String, summary: String, closing: String, commands: [Command], tools: [Tool],
    others: (program: String, names: [String])? = nil
  ) {
    self.program = program
    self.summary = summary
    self.closing = closing
    self.commands = commands
    self.tools = tools
    self.others = others
  }

  /// Runs a command line.
  ///
  /// - Returns: the exit status: failed if a result could not be written to standard output.
  package func run(_ arguments: [String]) -> Int32 {
    let status = main(arguments)
    do throws(PlatformError) {
      try StandardOutput.finish()
      return status
    } catch {
      Command.complain("\(program): the output is incomplete: \(error)")
      return status == ExitStatus.done ? ExitStatus.failed : status
    }
  }

  private func main(_ arguments: [String]) -> Int32 {
    guard let first = arguments.first else {
      Command.complain(overview)
      return ExitStatus.usage
    }
    if let tool = tools.first(where: { $0.name == first }) { return tool.run(Array(arguments.dropFirst())) }
    // Some commands have names of two words: "bench rollout".
    let pair = arguments.prefix(2).joined(separator: " ")
    let isPair = commands.contains { $0.name == pair }
    let name = isPair ? pair : first
    switch name {
    case "--version", "version":
      Command.show("\(program) \(Program.version)\n\(Arithmetic.description)\n\(Self.formats)")
      if let problem = Arithmetic.problem {
        Command.complain(problem)
        return ExitStatus.failed
      }
    case "--help", "-h", "help":
      let topic = arguments.dropFirst().filter { !$0.hasPrefix("-") }
      guard !topic.isEmpty else {
        Command.show(overview)
        break
      }
      return main(topic + ["--help"])
    default:
      guard let command = commands.first(where: { $0.name == name }) else { return unknown(name) }
      return command.main(Array(arguments.dropFirst(isPair ? 2 : 1)), of: program)
    }
    return ExitStatus.done
  }

  /// The commit, and the versions of what processes send and files have.
  private static var formats: String {
    "commit \(Program.commit), edition \(Edition.own), protocol \(ProtocolVersions.own.newest), "
      + "ledger \(Ledger.newestSchemaVersion), archive \(ArchiveFormat.version)"
  }

  private func unknown(_ name: String) -> Int32 {
    if let others, others.names.contains(name) {
      Command.complain("\(program): \(name) is a command of \(others.program): \(others.program) \(name) --help")
      return ExitStatus.usage
    }
    let names = commands.map(\.name) + tools.filter { $0.usage != nil }.map(\.name)
    let words = names.filter { $0.hasPrefix(name + " ") }
    let hint =
      words.isEmpty
      ? nearest(to: name, in: names).map { "; did you mean \"\($0)\"?" } ?? ""
      : "; expected one of: \(words.joined(separator: ", "))"
    Command.complain(
      "\(program): there is no command \"\(name.visible)\"\(hint)\nCommands: \(names.joined(separator: ", "))")
    return ExitStatus.usage
  }

  private var overview: String {
    let width = commands.map(\.name.count).max() ?? 0
    let rows = commands.map {
      "  " + $0.name + String(repeating: " ", count: width - $0.name.count + 2) + $0.summary
    }
    let usages = tools.compactMap { tool in tool.usage.map { "  \($0)" } }
    let listed = usages.isEmpty ? [] : ["", "Tools:"] + usages
    return (["\(program): \(summary)", "", "Commands:"] + rows + listed + ["", closing]).joined(separator: "\n")
  }
}
