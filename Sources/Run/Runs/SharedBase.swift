// SharedBase: the packed weights of a model that does not change, once per host.
//
// They are in a file of the user's cache, which all workers and ranks map. The kernel keeps one copy of it in memory,
// and can drop pages and read them again. The name follows from everything that the bytes follow from, so different
// weights never meet. The first process makes the file, the others wait for it. It is written tensor by tensor, so no
// process ever holds all weights. If the weights have to come from another machine, one process fetches them, too.
//
// Weights that are damaged, cut short or of another format are made again. If the file is removed while it is mapped,
// its processes go on. If it is cut short, they end with an error (MappedFile), and the next start makes it again. If
// there is no room on the disk, it is an error: with a copy in every process the run would take more memory than was
// planned, and would be killed at some later time.

import Base
import Glibc
package import LanguageModel
package import Platform
import Tensors

package enum SharedBase {
  /// How long a process waits while another makes the weights. A disk that writes 10 MB/s needs 25 minutes for 15 GB.
  private static let wait = Instant.Span.seconds(3600)
  /// How long a process waits while another fetches the weights. 15 GB at 100 Mbit/s take 20 minutes.
  private static let fetchWait = Instant.Span.seconds(1800)
  /// When a process that waits says so, and how often it says it again.
  private static let (firstNote, laterNotes) = (Instant.Span.seconds(2), Instant.Span.seconds(30))
  private static let poll: UInt32 = 20_000
  /// How often the weights are made or looked for again, before it is an error.
  private static let attempts = 4

  /// The prepared model, whose arrays are views of the shared file. It is for any plan of this model and data type:
  /// with an adapter it is the base, and both orders of products use the same bytes.
  ///
  /// - Parameters:
  ///   - plan: the model.
  ///   - identity: a digest of the model's configuration and weights (`ModelDirectory.identity`).
  ///   - parameters: called if the weights have to be made.
  ///   - directory: the cache (`ModelCache`); it is made if it does not exist.
  ///   - threads: for packing and for digests.
  /// - Throws: `CacheError`, `PlatformError`, or what `parameters` throws.
  package static func open(
    plan: TransformerPlan, identity: String, parameters: () throws -> ParameterSource, directory: String,
    threads: Int = 1
  ) throws -> PreparedModel {
    do { try OwnedDirectory.make(directory) } catch { throw CacheError.unusable("\(error)") }
    let base = Place(plan, identity, ModelCache(directory))
    var problem = "it was removed"
    for _ in 0..<attempts {
      let found = try base.look(threads: threads)
      if case .model(let model) = found { return model }
      let lock = try takeLock(base.cache.lock(of: base.name), of: base, for: "packs the weights", wait)
      // Another process can have made it while this one waited.
      guard try base.isStill(found) else { continue }
      if case .damaged(let what, _) = found {
        Log.warning("base.damaged", ["path": base.path, "problem": what, "consequence": "it is made again"])
        try Files.removeTree(base.path)
      }
      try base.make(try parameters(), threads: threads)
      // What this process has just written is not read again to be checked.
      switch try withExtendedLifetime(lock, { try base.look(threads: threads, verifies: false) }) {
      case .model(let model): return model
      case .damaged(let what, _): problem = what
      case .missing: problem = "it was removed"
      }
    }
    throw CacheError.lost(path: base.path, problem: problem)
  }

  /// Waits until no other process of this machine fetches these weights. The caller looks for them again, and if they
  /// are still missing it fetches them, and keeps the lock until `open` has made the file.
  ///
  /// - Parameters:
  ///   - plan: the model.
  ///   - identity: as for `open`.
  ///   - directory: as for `open`.
  /// - Returns: nil if another process has been fetching for too long. Then the caller fetches them, too.
  /// - Throws: `CacheError`, `PlatformError`.
  package static func turnToFetch(plan: TransformerPlan, identity: String, directory: String) throws -> FileLock? {
    do { try OwnedDirectory.make(directory) } catch { throw CacheError.unusable("\(error)") }
    let base = Place(plan, identity, ModelCache(directory))
    do {
      return try takeLock(
        base.cache.lock(of: base.name + ".fetched"), of: base, for: "fetches the weights", fetchWait)
    } catch CacheError.busy(let path, let pid, let waited) {
      Log.warning(
        "base.fetched_twice",
        ["path": path, "process": pid.map(String.init) ?? "unknown", "seconds": Int(waited.seconds)])
      return nil
    }
  }

  /// Waits until this process has a lock.
  ///
  /// - Parameters:
  ///   - lock: its path.
  ///   - base: what it protects.
  ///   - work: what its holder does, for a message.
  ///   - longest: how long to wait.
  /// - Throws: `CacheError.busy` after that time, or `PlatformError`.
  private static func takeLock(
    _ lock: String, of base: Place, for work: String, _ longest: Instant.Span
  ) throws -> FileLock {
    let begun = MonotonicClock.now()
    var note = begun + firstNote
    while true {
      if let taken = try FileLock.take(lock) { return taken }
      let now = MonotonicClock.now()
      if now >= note {
        Log.info(
          "base.waiting",
          [
            "path": base.path, "seconds": Int(now.since(begun).seconds),
            "for": "process \(FileLock.holder(lock).map(String.init) ?? "unknown"), which \(work)",
          ])
        note = now + laterNotes
      }
      guard now.since(begun) < longest else {
        throw CacheError.busy(path: base.path, pid: FileLock.holder(lock), waited: now.since(begun))
      }
      usleep(poll)
    }
  }
}

/// The place of one model's packed weights.
private struct Place {
  let plan: TransformerPlan
  let cache: ModelCache
  let name: String
  /// What the bytes follow from.
  let description: String

  var path: String { cache.file(name) }

  init(_ plan: TransformerPlan, _ identity: String, _ cache: ModelCache) {
    self.plan = plan
    self.cache = cache
    let json: JSON = [
      "packing": .int(PreparedModel.storedVersion), "format": .int(Int(PackedFile.version)),
      "dtype": .string(plan.type.rawValue), "parameters": .int(plan.layout.count), "model": .string(identity),
    ]
    description = json.text()
    name = ModelCache.name(.packed, String(SHA256.hex(of: Array(description.utf8)).prefix(32)))
  }

  enum Found {
    case model(PreparedModel)
    case missing
    case damaged(String, number: UInt64?)
  }

  /// Maps the file.
  func look(threads: Int, verifies: Bool = true) throws -> Found {
    guard let number = try Files.facts(of: path)?.number else { return .missing }
    do {
      let file = try MappedFile(
        path, isLocked: true, wantsLargePages: true,
        remedy: "It has packed weights. Start again: they are made again. Does another program change files there?")
      // It can have been removed before it was locked.
      guard try Files.facts(of: path)?.number == number else { return .missing }
      let packed = try PackedFile(file, description: description)
      if verifies { try packed.verify(threads: threads) }
      let model = try packed.model(plan)
      try? Files.markUsed(path)
      return .model(model)
    } catch let error as PackedFile.Problem {
      return .damaged("\(error)", number: number)
    } catch PlatformError.file(_, _, ENOENT), PlatformError.file("lock", _, _) {
      // It is being removed.
      return .missing
    }
  }

  /// Whether what was found is there as it was. Call this with the lock.
  func isStill(_ found: Found) throws -> Bool {
    let number = try Files.facts(of: path)?.number
    switch found {
    case .damaged(_, let old): return number == nil || number == old
    case .missing, .model: return number == nil
    }
  }

  /// Makes the file. Call this with the lock.
  func make(_ parameters: ParameterSource, threads: Int) throws {
    let begun = MonotonicClock.now()
    try cache.removeTemporaries(of: name)
    let needed = MemoryPlan.weightBytes(plan)
    try cache.makeRoom(for: needed)
    do {
      let writer = try PackedFileWriter(path, description: description)
      try PreparedModel.forEachArray(plan, parameters, team: Team(threads)) { try writer.append($0) }
      try writer.finish()
    } catch PlatformError.file(_, _, let code) where [ENOSPC, EDQUOT].contains(code) {
      throw CacheError.noRoom(directory: cache.path, needed: needed, free: try Files.room(in: cache.path))
    }
    let seconds = MonotonicClock.now().since(begun).seconds
    Log.info(
      "base.packed",
      ["path": path, "bytes": try Files.facts(of: path)?.bytes ?? 0, "seconds": Int(seconds.rounded(.up))])
  }
}
