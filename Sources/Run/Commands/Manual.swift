// Manual: the manual page and the shell's completions, made from the tables that parsing and --help read.
//
//   ttrl manual > ttrl.1 && man -l ttrl.1
//   source <(ttrl completions)             in bash; in zsh after `autoload bashcompinit && bashcompinit`

package import Base
import Settings

extension CommandSet {
  /// The manual page, in the language of man(7).
  package var manual: String {
    var lines = [
      ".TH TTRL 1", ".SH NAME", "ttrl \\- test\\-time reinforcement learning on Linux machines", ".SH SYNOPSIS",
      ".B ttrl", ".I COMMAND", "[\\fB\\-\\-\\fISETTING VALUE\\fR]...", ".SH DESCRIPTION",
      text(
        "Improves a language model on questions without answers: samples many responses to each question, takes the "
          + "majority answer as the label, rewards agreement with it, and trains by reinforcement learning. Without "
          + "settings, ttrl train runs a small example that comes with the program."),
      ".SH COMMANDS",
    ]
    for command in commands {
      lines += [".TP", ".B " + text(command.name), text(sentence(command.summary))]
      lines += needs(of: command).map(text)
      lines += [".br", text(command.example)]
    }
    lines += [
      ".SH SETTINGS",
      text(
        "A setting is a flag, or a key of the JSON5 file that --config names; flags override the file. ttrl COMMAND "
          + "--help lists the settings that a command takes, with their defaults. A run keeps the settings that can "
          + "change its result; the others can differ whenever it is continued."),
    ]
    for setting in SettingTable.all {
      let value = setting.placeholder.map { " \\fI" + text($0) + "\\fR" } ?? ""
      lines += [".TP", "\\fB\\-\\-" + text(setting.name) + "\\fR" + value, text(sentence(setting.help))]
    }
    lines += [
      ".SH EXIT STATUS", "0 done; 1 failed; 2 usage or settings; 130 interrupted, and the run can be continued.",
      ".SH FILES",
      text(
        "The run directory (--run) has settings.json, ledger.sqlite, metrics.jsonl, checkpoints/, report.html, logs/."
      ),
    ]
    return lines.joined(separator: "\n")
  }

  private func needs(of command: Command) -> [String] {
    func sentence(_ names: [String], _ rest: String) -> [String] {
      names.isEmpty ? [] : ["Needs " + names.map { "--" + $0 }.joined(separator: ", ") + rest + "."]
    }
    let always = command.needs.filter(command.isAlwaysNeeded)
    return sentence(always, "")
      + sentence(command.needs.filter { !always.contains($0) }, " for a model other than the built-in one")
  }

  /// What the manual says, for programs.
  package var manualJSON: JSON {
    let commands = commands.map { command -> JSON in
      [
        "name": .string(command.name), "summary": .string(command.summary), "example": .string(command.example),
        "settings": .array((command.settings + ["config", "help"]).map { .string($0) }),
        "needs": .array(command.needs.filter(command.isAlwaysNeeded).map { .string($0) }),
      ]
    }
    let settings = SettingTable.all.map { setting -> JSON in
      [
        "name": .string(setting.name), "value": .optional(setting.placeholder), "help": .string(setting.help),
        "choices": .array(setting.choices.map { .string($0) }),
      ]
    }
    return ["commands": .array(commands), "settings": .array(settings)]
  }

  private func sentence(_ text: String) -> String { text.prefix(1).uppercased() + text.dropFirst() + "." }

  /// man(7) gives a meaning to backslashes, to hyphens, and to a dot or quote at the beginning of a line.
  private func text(_ text: String) -> String {
    var escaped = ""
    for character in text {
      switch character {
      case "\\": escaped += "\\e"
      case "-": escaped += "\\-"
      default: escaped.append(character)
      }
    }
    return escaped.hasPrefix(".") || escaped.hasPrefix("'") ? "\\&" + escaped : escaped
  }

  /// For bash: the commands, then the settings that the command takes; the words that a setting can be, else files.
  package var completions: String {
    // A command's name has one or two words.
    let first = unique(commands.map { String($0.name.prefix { $0 != " " }) })
    let second = Dictionary(grouping: commands.filter { $0.name.contains(" ") }) { $0.name.prefix { $0 != " " } }
    var cases: [String] = []
    for word in first {
      if let pairs = second[word[...]] {
        let rest = pairs.map { String($0.name.dropFirst(word.count + 1)) }
        cases.append("    \(word)) words='\(rest.joined(separator: " "))' ;;")
      }
    }
    // `case` needs at least one pattern.
    let words = second.keys.sorted().joined(separator: "|")
    let pair = words.isEmpty ? "" : "case $command in \(words)) command=\"$command ${COMP_WORDS[2]}\" ;; esac"
    let flags = commands.map { command in
      let names = (command.settings + ["config", "help"]).map { "--" + $0 }
      return "    '\(command.name)') words='\(names.joined(separator: " "))' ;;"
    }
    let taken = SettingTable.all.filter { setting in commands.contains { $0.settings.contains(setting.name) } }
    let choices = taken.filter { !$0.choices.isEmpty }.map { setting in
      "    --\(setting.name)) words='\(setting.choices.joined(separator: " "))' ;;"
    }
    let function = "_" + program.map { $0 == "-" ? "_" : String($0) }.joined()
    return """
      \(function)() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=
        COMPREPLY=()
        # --name=value is three words.
        if [ "$current" = = ]; then current=; elif [ "$previous" = = ]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi
        case $previous in
      \(choices.joined(separator: "\n"))
        esac
        if [ -n "$words" ]; then
          :
        elif [ "$COMP_CWORD" -eq 1 ]; then
          words='\(first.joined(separator: " "))'
        elif [ "$COMP_CWORD" -eq 2 ] && [ "${current#-}" = "$current" ]; then
          case ${COMP_WORDS[1]} in
      \(cases.joined(separator: "\n"))
          esac
        elif [ "${current#-}" != "$current" ]; then
          local command=${COMP_WORDS[1]}
          \(pair)
          case $command in
      \(flags.joined(separator: "\n"))
          esac
        fi
        if [ -n "$words" ]; then
          COMPREPLY=($(compgen -W "$words" -- "$current"))
        else
          COMPREPLY=($(compgen -f -- "$current"))
        fi
      }
      complete -o filenames -F \(function) \(program)
      """
  }

  private func unique(_ words: [String]) -> [String] {
    words.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}
