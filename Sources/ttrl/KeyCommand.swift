// KeyCommand: `ttrl key`, which makes a cluster key, and replaces one while a run lives. ClusterAccess says what a key
// is for, KeyRing how processes notice.

import Base
import Commands
import Platform
import Settings

extension Command {
  /// The file for a key, unless `--key` names another.
  private static let keyFile = "cluster.key"

  @Sendable static func key(_ settings: KeySettings, _ call: CallSettings) throws -> Int32 {
    let path = settings.key.isEmpty ? keyFile : settings.key
    guard path != OperationSettings.plainTCP else {
      throw SettingsError(problems: ["--key none means no key; give the path of the file"])
    }
    let ring: KeyRing
    switch settings.action {
    case .make:
      ring = KeyRing(ClusterKey())
      try ring.write(to: path)
      complain(
        "made \(path.visible), key \(ring.first.id). Copy it to every machine over a channel that you trust (scp -p "
          + "keeps its mode), and give it to every role with --key. Every process that has the key can join the run.")
    case .rotate:
      let former = try KeyRing(reading: path)
      guard former.keys.count == 1 else {
        throw UserError(
          "\(path.visible) has two keys already, \(former.keys[0].id) and \(former.keys[1].id). When all processes "
            + "have the first one, remove the second: \(retiring(path))")
      }
      ring = former.rotated
      try ring.replace(at: path)
      complain(
        "\(path.visible) has a new key, \(ring.first.id), and the former one, \(former.first.id), which is accepted "
          + "too. Give the file to the coordinator first, then to the workers, one by one: running processes read it "
          + "again. Then remove the former key everywhere: \(retiring(path))")
    case .retire:
      let former = try KeyRing(reading: path)
      guard former.keys.count == 2 else {
        throw UserError(
          "\(path.visible) has only one key, \(former.first.id). ttrl key rotate puts a new one beside it")
      }
      ring = former.retired
      try ring.replace(at: path)
      complain("\(path.visible): \(former.keys[1].id) is removed, and only \(ring.first.id) is accepted")
    case .revoke:
      let former = try KeyRing(reading: path)
      ring = former.rotated.retired
      try ring.replace(at: path)
      complain(
        "\(path.visible) has a new key, \(ring.first.id). A coordinator that reads this file accepts no other key from "
          + "now on; workers go on when they have the file")
    }
    let json: JSON = [
      "path": .string(path), "id": .string(ring.first.id), "accepted": .array(ring.keys.map { .string($0.id) }),
    ]
    if call.isJSON { showJSON(json.text()) } else { show(path.visible) }
    return ExitStatus.done
  }

  private static func retiring(_ path: String) -> String { "ttrl key retire --key \(Reach.word(path))" }
}
