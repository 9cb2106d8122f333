// CacheCommand: `ttrl cache`, which lists and cleans the user's cache (ModelCache).

import Base
import Commands
import LanguageModel
import Platform
import Runs
import Settings

extension Command {
  @Sendable static func cache(_ settings: CacheSettings, _ call: CallSettings) throws -> Int32 {
    let cache = try ModelCache.ofUser()
    let removed = settings.isCleaning ? try cache.clean() : []
    let kept = try cache.entries()
    if call.isJSON {
      let json: JSON = [
        "directory": .string(cache.path), "entries": .array(kept.map(json)), "removed": .array(removed.map(json)),
      ]
      showJSON(json.text())
      return ExitStatus.done
    }
    for entry in removed { show("removed \(text(entry))") }
    for entry in kept { show(text(entry)) }
    let bytes = kept.reduce(0) { $0 + $1.bytes }
    show("\(cache.path.visible): \(MemoryPlan.mebibytes(bytes)) in \(counted(kept.count, "entry", plural: "entries"))")
    return ExitStatus.done
  }

  private static func text(_ entry: ModelCache.Entry) -> String {
    let use = entry.isInUse == true ? "in use" : "used \(WallClock.text(of: entry.used).prefix(10))"
    return "\(entry.name.visible): \(entry.kind.name), \(MemoryPlan.mebibytes(entry.bytes)), \(use)"
  }

  private static func json(_ entry: ModelCache.Entry) -> JSON {
    [
      "name": .string(entry.name), "kind": .string(entry.kind.rawValue), "bytes": .int(entry.bytes),
      "used": .string(WallClock.text(of: entry.used)), "in_use": entry.isInUse.map { .bool($0) } ?? .null,
    ]
  }
}
