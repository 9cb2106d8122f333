// KeyCommand: `ttrl key`, which makes a cluster key. What a key is for: ClusterAccess.

import Base
import Commands
import Platform
import Settings

extension Command {
  /// Where `ttrl key` puts a key unless told otherwise.
  private static let keyFile = "cluster.key"

  @Sendable static func makeKey(_ settings: Settings, given: [String]) throws -> Int32 {
    let path = settings.key.isEmpty ? keyFile : settings.key
    guard path != Settings.plainTCP else {
      throw SettingsError(problems: ["--key none asks for no key; give the path of the file to make"])
    }
    let key = ClusterKey()
    try key.write(to: path)
    complain(
      "made \(path), key \(key.id). Copy it to every machine over a channel you trust (scp -p keeps its mode), and "
        + "give it to every role with --key. Whoever has it is in.")
    let json: JSON = ["path": .string(path), "id": .string(key.id)]
    print(settings.isJSON ? json.text() : path)
    return ExitStatus.done
  }
}
