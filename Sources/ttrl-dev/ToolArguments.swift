// ToolArguments: how the tools of ttrl-dev read their arguments and report errors.
//
// A tool is its options as properties, which `init` reads from the arguments, and what it does with them. An argument
// that no option takes, or a value that is not valid, prints the usage.

import Commands

protocol DeveloperTool: SendableMetatype {
  /// Its name and its arguments, as typed.
  static var usage: String { get }
  /// - Returns: nil if an argument is missing.
  init?(_ arguments: inout ToolArguments)
  /// - Returns: the exit status.
  func run() throws -> Int32
}

extension Tool {
  init<Body: DeveloperTool>(_ body: Body.Type) {
    let name = String(Body.usage.prefix { $0 != " " })
    self.init(name, usage: Body.usage) { words in
      var arguments = ToolArguments(words)
      guard let tool = Body(&arguments), arguments.areAllTaken else {
        Command.complain("usage: ttrl-dev \(Body.usage)")
        return ExitStatus.usage
      }
      do {
        return try tool.run()
      } catch {
        Command.complain("ttrl-dev \(name): \(error)")
        return ExitStatus.failed
      }
    }
  }
}

struct ToolArguments {
  private var words: [String]
  private var hasProblem = false

  init(_ words: [String]) { self.words = words }

  /// Whether every argument belonged to an option and was valid.
  var areAllTaken: Bool { words.isEmpty && !hasProblem }

  /// The next word that is not a flag.
  mutating func word() -> String? {
    guard let first = words.first, !first.hasPrefix("--") else { return nil }
    return words.removeFirst()
  }

  /// Whether a switch is there.
  mutating func has(_ name: String) -> Bool {
    let count = words.count
    words.removeAll { $0 == name }
    return words.count < count
  }

  /// Reads the value of `--name value`, if it is there.
  mutating func read(_ name: String, _ value: inout String) { read(name, &value) { $0 } }

  mutating func read<Number: FixedWidthInteger>(
    _ name: String, _ value: inout Number, in range: ClosedRange<Number> = 0 ... .max
  ) {
    read(name, &value) { Number($0).flatMap { range.contains($0) ? $0 : nil } }
  }

  mutating func read<Choice: RawRepresentable<String>>(_ name: String, _ value: inout Choice) {
    read(name, &value, Choice.init(rawValue:))
  }

  private mutating func read<Value>(_ name: String, _ value: inout Value, _ parse: (String) -> Value?) {
    guard let index = words.firstIndex(of: name) else { return }
    guard index + 1 < words.count, let found = parse(words[index + 1]) else { return hasProblem = true }
    value = found
    words.removeSubrange(index...index + 1)
  }
}
