// KeyCommand: `ttrl key`, which makes a cluster key. ClusterAccess says what a key is for.

import Base
import Commands
import Platform
import Settings

extension Command {
  /// The file for a key, unless `--key` names another.
  private static let keyFile = "cluster.key"

  @Sendable static func makeKey(_ settings: OperationSettings, _ call: CallSettings) throws -> Int32 {
    let path = settings.key.isEmpty ? keyFile : settings.key
    guard path != OperationSettings.plainTCP else {
      throw SettingsError(problems: ["--key none means no key; give the path of the file to make"])
    }
    let key = ClusterKey()
    try key.write(to: path)
    complain(
      "made \(path.visible), key \(key.id). Copy it to every machine over a channel that you trust (scp -p keeps its "
        + "mode), and give it to every role with --key. Every process that has the key can join the run.")
    let json: JSON = ["path": .string(path), "id": .string(key.id)]
    if call.isJSON { showJSON(json.text()) } else { show(path.visible) }
    return ExitStatus.done
  }
}
