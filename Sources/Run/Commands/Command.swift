// Command: something that a program can be told to do, and how all commands read their settings and fail.
//
// A command is its name, the settings it takes, those that it needs, and a function. Settings come from flags, then
// the --config file, then the command's defaults; everything that is wrong with them is reported at once, before
// anything starts. Not here: which commands a program has (its CommandTable), what they do.

import Base
import Foundation
import LanguageModel
import Ledger
import Platform
import Records
import Runs
package import Settings
import Tensors

package struct Command: Sendable {
  package let name: String
  package let summary: String
  /// A line that can be typed, with names of the user's own in it.
  package let example: String
  /// Names of the settings it takes, beyond `help` and `config`.
  package let settings: [String]
  /// Names of those that it needs.
  package let needs: [String]
  /// The values of settings that are not given, with a model of the user's and with the built-in one.
  package let defaults: @Sendable (_ isBuiltIn: Bool) -> Settings
  /// The setting that arguments without a flag belong to.
  package let operand: String?
  /// It is one process of a run, or starts them; a run that exists brings its own defaults.
  package let isOfRun: Bool
  /// What is wrong with settings that are each right.
  package let problems: @Sendable (Settings) -> [String]
  package let run: @Sendable (Settings, _ given: [String]) throws -> Int32

  package init(
    name: String, summary: String, example: String, settings: [String], needs: [String] = [],
    defaults: @escaping @Sendable (_ isBuiltIn: Bool) -> Settings = { _ in Settings() }, operand: String? = nil,
    isOfRun: Bool = false, problems: @escaping @Sendable (Settings) -> [String] = { _ in [] },
    run: @escaping @Sendable (Settings, _ given: [String]) throws -> Int32
  ) {
    self.name = name
    self.summary = summary
    self.example = example
    self.settings = settings
    self.needs = needs
    self.defaults = defaults
    self.operand = operand
    self.isOfRun = isOfRun
    self.problems = problems
    self.run = run
  }

  // MARK: Entry

  /// - Parameter program: its name, for messages.
  func main(_ arguments: [String], of program: String) -> Int32 {
    do {
      let (settings, given) = try resolve(arguments)
      if settings.isHelp {
        print(help(program))
        return ExitStatus.done
      }
      return try run(settings, given)
    } catch {
      let hint = error is SettingsError ? "\nSee: \(program) \(name) --help" : ""
      Self.complain("\(program) \(name): \(error)\(hint)")
      return ExitStatus.of(error, isRole: isRole)
    }
  }

  /// Its exit status tells a supervisor whether to start it again.
  private var isRole: Bool { ["coordinator", "worker", "learner"].contains(name) }

  package static func complain(_ text: String) { StandardError.write(text + "\n") }

  // MARK: Settings

  /// Flags win over the file, the file over the defaults.
  ///
  /// - Throws: `SettingsError` with everything that is wrong, or what is wrong with the run directory.
  private func resolve(_ arguments: [String]) throws -> (Settings, given: [String]) {
    var reading = SettingsParser(allowed: settings + ["help", "config"], defaults: Settings())
    let flags = reading.pairs(of: arguments, operand: operand)
    if flags.contains(where: { $0.name == "help" }) {
      var settings = Settings()
      settings.isHelp = true
      return (settings, [])
    }
    let path = flags.last { $0.name == "config" }?.value ?? ""
    let file = path.isEmpty ? SettingsFile() : SettingsFile(reading: path)
    reading.note(file.problems)
    reading.adopt(defaults: try defaults(for: file.pairs + flags))
    reading.apply(try file.pairs.map(Self.readingTemplate), from: path)
    reading.apply(try flags.map(Self.readingTemplate), from: "command line")
    // Whatever computes has threads.
    if settings.contains("threads") { reading.note([Arithmetic.problem].compactMap { $0 }) }
    reading.note(needs.compactMap { missing($0, in: reading.settings) } + problems(reading.settings))
    return (try reading.finish(), reading.given)
  }

  /// A template's file is read here, once: a run keeps the text, and does not change with the file.
  ///
  /// - Throws: if there is no such file.
  private static func readingTemplate(_ pair: (name: String, value: String)) throws -> (name: String, value: String) {
    guard pair.name == "template", pair.value.contains("/"), !pair.value.contains("{question}") else { return pair }
    return (pair.name, try Files.readText(pair.value))
  }

  private func defaults(for given: [(name: String, value: String)]) throws -> Settings {
    func last(_ name: String) -> String? { given.last { $0.name == name }?.value }
    let isBuiltIn = last("model") == "builtin" || isOfRun && last("model") == nil
    var settings = defaults(isBuiltIn)
    let run = RunDirectory(ThisProcess.absolute(last("run") ?? settings.run))
    if isOfRun, !run.path.isEmpty, Files.exists(run.settings) { return try RunManifest(reading: run).settings }
    // The built-in example's curve during the run is an evaluation too.
    if isOfRun, last("eval") == "none" || last("eval") == "reuse" { settings.evaluateEvery = 0 }
    return settings.defaults(under: given, family: family(ofModelAt: last("model")))
  }

  /// A directory that cannot be read is reported when the model is needed.
  private func family(ofModelAt path: String?) -> ModelFamily {
    guard let path else { return .other }
    let model = ThisProcess.absolute(path)
    return ModelFamily.guess(path: model, chatTemplate: try? ModelDirectory.chatTemplate(at: model))
  }

  /// What to say of a setting that is needed and not given.
  private func missing(_ name: String, in settings: Settings) -> String? {
    guard let setting = SettingTable.named(name), setting.value(in: settings).isEmpty else { return nil }
    return "--\(name) \(setting.placeholder ?? "") is missing: \(setting.help)"
  }

  // MARK: Help

  private func help(_ program: String) -> String {
    var lines = [
      "\(program) \(name): \(summary)", "", "  \(example)", "", "Settings (a flag, or a key of the --config file):",
    ]
    let shown = SettingTable.all.filter { (settings + ["config", "help"]).contains($0.name) }
    let heads = shown.map { "  --\($0.name)" + ($0.placeholder.map { " \($0)" } ?? "") }
    // A head that would push everything to the right has a line of its own.
    let widest = 30
    let width = heads.map(\.count).filter { $0 <= widest }.max() ?? 0
    for (head, setting) in zip(heads, shown) {
      if head.count > width { lines.append(head) }
      let margin = head.count > width ? String(repeating: " ", count: width) : head
      let text = setting.help + note(on: setting)
      lines.append(margin + String(repeating: " ", count: width - margin.count + 2) + text)
    }
    return lines.joined(separator: "\n")
  }

  /// A setting's defaults: "[240; builtin: 30]", or that it has to be given.
  private func note(on setting: Setting) -> String {
    guard setting.placeholder != nil else { return "" }
    let (usual, builtIn) = (setting.value(in: defaults(false)), setting.value(in: defaults(true)))
    let takesModel = settings.contains("model")
    switch (usual.isEmpty, builtIn.isEmpty || builtIn == usual || !takesModel) {
    case (true, true): return needs.contains(setting.name) ? " (needed)" : ""
    case (true, false): return " [builtin: \(builtIn)]"
    case (false, true): return " [\(usual)]"
    case (false, false): return " [\(usual); builtin: \(builtIn)]"
    }
  }
}
