// Command: one thing that a program can do, and how all commands read their settings and report errors.
//
// A command is a name, the settings that it takes, those that it needs, and a function. Settings come from flags, then
// from the --config file, then from the command's defaults; all problems with them are reported at once, before
// anything starts. The function receives one group of settings (Settings.swift), and how the command was called. Not
// here: which commands a program has (its CommandTable), and what they do.

import Base
import Platform
import Runs
package import Settings
import Tensors

package struct Command: Sendable {
  package let name: String
  package let summary: String
  /// A line that can be typed, with file names of the user's own in it.
  package let example: String
  /// Names of the settings it takes, besides `help` and `config`. Every command takes `json`.
  package let settings: [String]
  /// Names of those that it needs.
  package let needs: [String]
  private let operands: [String]
  /// It begins or continues a run.
  let isOfRun: Bool
  private let isRole: Bool
  private let perform: @Sendable (Command, _ arguments: [String], _ program: String) throws -> Int32
  /// A setting's default as text, with a model of the user's or with the built-in one.
  private let defaultText: @Sendable (Setting, _ isBuiltIn: Bool) -> String

  /// - Parameters:
  ///   - defaults: the values of settings that are not given, with a model of the user's and with the built-in one.
  ///   - operands: the settings for arguments without a flag (SettingsParser.pairs).
  ///   - isOfRun: it begins or continues a run; a run that exists brings its own defaults.
  ///   - isRole: it is one process of a run. Its exit status tells the supervisor whether to start it again.
  ///   - problems: what is wrong with values that are valid one by one, if the group itself cannot know.
  package init<Group: SettingGroup>(
    name: String, summary: String, example: String, settings: [String], needs: [String] = [],
    defaults: @escaping @Sendable (_ isBuiltIn: Bool) -> Group = { _ in Group() }, operands: [String] = [],
    isOfRun: Bool = false, isRole: Bool = false, problems: @escaping @Sendable (Group) -> [String] = { _ in [] },
    run: @escaping @Sendable (Group, CallSettings) throws -> Int32
  ) {
    self.name = name
    self.summary = summary
    self.example = example
    self.settings = settings + (settings.contains("json") ? [] : ["json"])
    self.needs = needs
    self.operands = operands
    self.isOfRun = isOfRun
    self.isRole = isRole
    perform = { command, arguments, program in
      guard let (settings, call) = try command.read(arguments, defaults, problems) else {
        Self.show(command.help(program))
        return ExitStatus.done
      }
      return try run(settings, call)
    }
    defaultText = { setting, isBuiltIn in
      guard setting.place(in: Group.self) != nil else {
        precondition(setting.place(in: CallSettings.self) != nil, "\(Group.self) does not have \(setting.name)")
        return setting.value(in: CallSettings())
      }
      return setting.value(in: defaults(isBuiltIn))
    }
  }

  // MARK: Entry

  /// - Parameter program: its name, for messages.
  func main(_ arguments: [String], of program: String) -> Int32 {
    do {
      return try perform(self, arguments, program)
    } catch {
      // A program that asks for a plan reads what is wrong with it in the same way.
      if ["--dry-run", "--json"].allSatisfy(arguments.contains) {
        let problems = (error as? SettingsError)?.problems ?? ["\(error)"]
        Self.showJSON(JSON.object([JSON.Member("problems", .array(problems.map { .string($0) }))]).text())
      }
      let hint = error is SettingsError ? "\nSee: \(program) \(name) --help" : ""
      Self.complain("\(program) \(name): \(error)\(hint)")
      return ExitStatus.of(error, isRole: isRole)
    }
  }

  // All that the commands print goes through these three. Names from outside are made `visible` where a text is made;
  // here nothing that a terminal executes is left in the whole.

  /// Prints a message on standard error.
  package static func complain(_ text: String) { StandardError.write(text.visibleLines + "\n") }

  /// Prints a result on standard output.
  package static func show(_ text: String, terminator: String = "\n") {
    print(text.visibleLines, terminator: terminator)
  }

  /// Prints JSON text on standard output: an object, or lines of them.
  package static func showJSON(_ text: String, terminator: String = "\n") {
    print(text.visibleJSON, terminator: terminator)
  }

  // MARK: Settings

  /// Flags override the file, and the file overrides the defaults.
  ///
  /// - Returns: nil if help was asked for.
  /// - Throws: `SettingsError` with everything that is wrong, or what is wrong with the run directory.
  private func read<Group: SettingGroup>(
    _ arguments: [String], _ defaults: (_ isBuiltIn: Bool) -> Group, _ problems: (Group) -> [String]
  ) throws -> (Group, CallSettings)? {
    var parser = SettingsParser(allowed: settings + ["help", "config"], defaults: Group())
    let flags = parser.pairs(of: arguments, operands: operands)
    if flags.contains(where: { $0.name == "help" }) { return nil }
    if let path = Group.runPath,
      let course = askedCourse(under: flags, usual: defaults(true)[keyPath: path].operation.run)
    {
      return try read(course, flags: flags, parser, defaults, problems)
    }
    let path = flags.last { $0.name == "config" }?.value ?? ""
    let file = path.isEmpty ? SettingsFile() : SettingsFile(reading: path)
    parser.note(file.problems)
    let given = file.pairs + flags
    let example = try example(under: given, file)
    parser.adopt(defaults: try resolve(defaults, under: given, example))
    parser.note(example?.source?.problems(given: given.map(\.name)) ?? [])
    parser.apply(try file.pairs.map(Self.readingTemplate), from: path)
    parser.apply(try flags.map(Self.readingTemplate), from: "command line")
    // A command that has threads computes.
    if settings.contains("threads") { parser.note([Arithmetic.problem].compactMap { $0 }) }
    parser.note(needs.compactMap { missing($0, in: parser.settings) } + problems(parser.settings))
    let group = try parser.finish()
    if let example { say(example, in: group, unless: parser.call.given) }
    var call = parser.call
    // A run's settings.json is the same as its directory.
    if call.like.isEmpty { call.like = file.run ?? "" }
    return (group, call)
  }

  /// A template's file is read here, once: a run keeps the text, so the file can change afterwards.
  ///
  /// - Throws: if the file does not exist.
  static func readingTemplate(_ pair: (name: String, value: String)) throws -> (name: String, value: String) {
    guard pair.name == "template", pair.value.contains("/"), !pair.value.contains("{question}") else { return pair }
    return (pair.name, try Files.readText(pair.value, limit: Limits.settingBytes).withPlainLines)
  }

  /// The defaults of settings that are not given: an existing run's own values, or those of another run, the recipe,
  /// the preset and the model.
  func resolve<Group: SettingGroup>(
    _ defaults: (_ isBuiltIn: Bool) -> Group, under given: [(name: String, value: String)], _ example: RunExample?
  ) throws -> Group {
    func last(_ name: String) -> String? { given.last { $0.name == name }?.value }
    let isBuiltIn = last("model") == "builtin" || isOfRun && last("model") == nil && example?.isWhole != true
    var group = defaults(isBuiltIn)
    guard let path = Group.runPath else { return group }
    let directory = RunDirectory(ThisProcess.absolute(last("run") ?? group[keyPath: path].operation.run))
    // What may not be looked at is a problem with the settings, and is reported with the others.
    if isOfRun, !directory.path.isEmpty, (try? Files.exists(directory.settings)) == true {
      group[keyPath: path] = try RunManifest(reading: directory).settings
      return group
    }
    if let example { group.adopt(run: try example.adopted(by: group[keyPath: path])) }
    // The built-in example's curve during the run is an evaluation too.
    if isOfRun, last("eval") == "none" || last("eval") == "reuse" { group[keyPath: path].evaluateEvery = 0 }
    // The example's values already have those of its own recipe and preset.
    if example?.isWhole != true || last("recipe") != nil || last("preset") != nil {
      group[keyPath: path] = group[keyPath: path].defaults(under: given, family: family(ofModelAt: last("model")))
    } else {
      group[keyPath: path].adoptEstimator(of: given)
      group[keyPath: path].adoptObjective(under: given)
    }
    return group
  }

  /// A directory that cannot be read is reported when the model is needed.
  private func family(ofModelAt path: String?) -> ModelFamily {
    guard let path else { return .other }
    let model = ThisProcess.absolute(path)
    return ModelFamily.guess(path: model, chatTemplate: try? ModelDirectory.chatTemplate(at: model))
  }

  /// The problem of a setting that is needed and not given.
  func missing<Group: SettingGroup>(_ name: String, in group: Group) -> String? {
    guard let setting = SettingTable.named(name), setting.value(in: group).isEmpty else { return nil }
    return "--\(name) \(setting.placeholder ?? "") is missing: \(setting.help)"
  }

  // MARK: Help

  /// Whether a setting that the command needs is needed even with the built-in model.
  func isAlwaysNeeded(_ name: String) -> Bool {
    needs.contains(name) && SettingTable.named(name).map { defaultText($0, true).isEmpty } != false
  }

  private func help(_ program: String) -> String {
    var lines = [
      "\(program) \(name): \(summary)", "", "  \(example)", "", "Settings (a flag, or a key of the --config file):",
    ]
    let shown = SettingTable.all.filter { (settings + ["config", "help"]).contains($0.name) }
    let heads = shown.map { "  --\($0.name)" + ($0.placeholder.map { " \($0)" } ?? "") }
    // A head that is too wide for the column has a line of its own.
    let widest = 30
    let width = heads.map(\.count).filter { $0 <= widest }.max() ?? 0
    for (head, setting) in zip(heads, shown) {
      if head.count > width { lines += Self.wrapped(head) }
      let margin = head.count > width ? String(repeating: " ", count: width) : head
      let text = setting.help + note(on: setting)
      lines.append(margin + String(repeating: " ", count: width - margin.count + 2) + text)
    }
    return lines.joined(separator: "\n")
  }

  /// Characters of a line with the choices of a setting.
  private static let headMax = 120

  /// A head of many choices in several lines.
  private static func wrapped(_ head: String) -> [String] {
    guard head.count > headMax, let mark = head.prefix(headMax).lastIndex(of: "|") else { return [head] }
    let next = head.index(after: mark)
    return [String(head[..<next])] + wrapped("    " + head[next...])
  }

  /// A setting's defaults, "[240; builtin: 30]", or that it is needed.
  private func note(on setting: Setting) -> String {
    guard setting.placeholder != nil else { return "" }
    let (usual, builtIn) = (defaultText(setting, false), defaultText(setting, true))
    let takesModel = settings.contains("model")
    switch (usual.isEmpty, builtIn.isEmpty || builtIn == usual || !takesModel) {
    case (true, true): return needs.contains(setting.name) ? " (needed)" : ""
    case (true, false): return " [builtin: \(builtIn)]"
    case (false, true): return " [\(usual)]"
    case (false, false): return " [\(usual); builtin: \(builtIn)]"
    }
  }
}
