// SharedBaseTests: packed weights are made once per host, shared by its processes, and made again if they are damaged.
// Processes that share memory, or must end, are real ones.

import Base
import Foundation
import LanguageModel
import Platform
import Records
import Runs
import Synchronization
import Tensors
import Testing

/// A model and a cache of its own, removed with the object.
private final class World {
  let directory: String
  let configuration: ModelConfiguration
  private let seed: UInt64
  let made = Mutex(0)

  /// - Parameter width: of the model; 512 gives 76 MB of packed bfloat16 weights.
  init(width: Int = 32, seed: UInt64 = 1) throws {
    directory = try OwnedDirectory.temporary(prefix: "ttrl-test")
    configuration = Self.configuration(width: width)
    self.seed = seed
  }

  deinit { try? Files.removeTree(directory) }

  static func configuration(width: Int) -> ModelConfiguration {
    ModelConfiguration(
      family: .llama, vocabularySize: 40 * width, hiddenSize: width, feedForwardSize: 4 * width, layerCount: 4,
      headCount: 2, keyValueHeadCount: 2, headDimension: width / 2, normEpsilon: 1e-5, ropeTheta: 500,
      maxPositions: 64, hasTiedEmbeddings: false, hasAttentionBias: false)
  }

  var cache: String { directory + "/cache" }

  var parameters: Floats { initialParameters(configuration, scales: InitialScales(embedding: 0.7), seed: seed) }

  func plan(_ type: DataType = .bfloat16) -> TransformerPlan { TransformerPlan(configuration, type: type) }

  func open(_ type: DataType = .bfloat16, identity: String = "one", threads: Int = 1) throws -> PreparedModel {
    try SharedBase.open(
      plan: plan(type), identity: identity,
      parameters: {
        made.withLock { $0 += 1 }
        return ParameterSource(parameters)
      }, directory: cache, threads: threads)
  }

  var count: Int { made.withLock { $0 } }

  /// Paths of the packed files.
  func files() throws -> [String] {
    try Files.list(cache).filter { $0.hasPrefix("packed-") && !$0.hasSuffix(".lock") }.map { "\(cache)/\($0)" }
  }
}

private func responses(_ model: PreparedModel) throws -> [Trajectory] {
  let request = GenerationRequest(prompt: [1, 2, 3], round: .train(step: 0), promptIndex: 0, samples: [0, 1])
  return try sampleAll(
    [request], model: model, policy: PolicyVersion(0), seed: 4,
    sampling: Sampling(temperature: 1, maxNewTokens: 20, stopTokens: []), threads: 1)
}

@Suite struct `The packed weights of a host` {
  @Test(arguments: DataType.allCases)
  func `are made once, and a model from them has the same results in every bit`(_ type: DataType) throws {
    let world = try World()
    let expected = try responses(PreparedModel(plan: world.plan(type), parameters: world.parameters))
    #expect(try responses(try world.open(type)) == expected)
    #expect(try responses(try world.open(type, threads: 3)) == expected)
    #expect(world.count == 1)
    #expect(try world.files().count == 1)
  }

  @Test func `have a file for each model and type`() throws {
    let world = try World()
    for type in DataType.allCases {
      for identity in ["one", "two"] { _ = try world.open(type, identity: identity) }
    }
    #expect(world.count == 4)
    #expect(try world.files().count == 4)
  }

  @Test func `are made once when many look for them at the same time`() throws {
    let world = try World(width: 128)
    let expected = try responses(PreparedModel(plan: world.plan(), parameters: world.parameters))
    nonisolated(unsafe) let shared = world
    try inParallel(8, threads: 8) { _, _ in
      let found = try responses(try shared.open())
      #expect(found == expected)
    }
    #expect(world.count == 1)
    #expect(try Files.list(world.cache).filter { $0.contains(".tmp-") }.isEmpty)
  }

  @Test func `are fetched once from another machine when many processes need them`() throws {
    let world = try World(width: 128)
    nonisolated(unsafe) let shared = world
    let fetched = Mutex(0)
    try inParallel(6, threads: 6) { _, _ in
      let turn = try SharedBase.turnToFetch(plan: shared.plan(), identity: "one", directory: shared.cache)
      #expect(turn != nil)
      if try shared.files().isEmpty {
        // Time in which the others look, too.
        usleep(30_000)
        fetched.withLock { $0 += 1 }
      }
      _ = try shared.open()
      withExtendedLifetime(turn) {}
    }
    #expect(fetched.withLock { $0 } == 1)
    #expect(world.count == 1)
    // What the lock leaves is cleaned away, and is no entry.
    let cache = ModelCache(world.cache)
    #expect(try cache.entries().count == 1)
    _ = try cache.clean()
    #expect(try Files.list(world.cache).isEmpty)
  }

  @Test(arguments: ["cut", "empty", "foreign", "array", "table", "version"])
  func `are made again if they are damaged`(_ damage: String) throws {
    let world = try World()
    let expected = try responses(try world.open())
    let path = try #require(try world.files().first)
    var bytes = try Files.read(path)
    switch damage {
    case "cut": bytes.removeLast(100)
    case "empty": bytes = []
    case "foreign": bytes = Array("TTRL is not all that begins so".utf8)
    // The first array, a norm, is at the first multiple of 4096.
    case "array": bytes[4096] ^= 1
    case "table": bytes[bytes.count - 80] ^= 1
    default: bytes[8] = 99
    }
    try Files.write(bytes, to: path)
    #expect(try responses(try world.open()) == expected)
    #expect(world.count == 2)
    _ = try world.open()
    #expect(world.count == 2)
  }

  @Test func `are right, whatever a damaged file has`() throws {
    let world = try World()
    let expected = try responses(try world.open())
    let path = try #require(try world.files().first)
    let whole = try Files.read(path)
    var random = RandomSequence(seed: 5, purpose: .questions, stream: SIMD3(1, 2, 3))
    // The head, and the table with the end, are what is parsed.
    let (head, tail) = (300, 2000)
    for round in 0..<40 {
      var bytes = whole
      for _ in 0..<1 + random.index(below: 4) {
        let place = round % 2 == 0 ? random.index(below: head) : whole.count - 1 - random.index(below: tail)
        bytes[place] = UInt8(random.index(below: 256))
      }
      try Files.write(bytes, to: path)
      #expect(try responses(try world.open()) == expected, "round \(round)")
    }
  }

  @Test func `are used on after their file is removed`() throws {
    let world = try World()
    let model = try world.open()
    let expected = try responses(model)
    try Files.removeTree(world.cache)
    #expect(try responses(model) == expected)
    #expect(try responses(try world.open()) == expected)
    #expect(world.count == 2)
  }

  @Test func `that are cut short while they are used end the process with one clear paragraph`() async {
    let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
      let world = try World()
      let model = try world.open()
      try Files.shorten(try #require(try world.files().first), to: 5000)
      _ = try responses(model)
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("was cut short while it was in use"), "\(text)")
    #expect(text.contains("It has packed weights. Start again: they are made again."), "\(text)")
  }

  @Test func `need room on the disk, and the error says how much`() throws {
    let world = try World()
    _ = try world.open()
    let cache = ModelCache(world.cache)
    #expect {
      try cache.makeRoom(for: 1_000_000, room: { _ in 999_999 })
    } throws: { error in
      "\(error)".contains("they have 1000000 bytes, and 999999 bytes are free in \(world.cache)")
    }
    // Packed weights that no process uses were removed first.
    #expect(try world.files().isEmpty)
  }
}

@Suite struct `The cache` {
  @Test func `removes what was used longest ago, and nothing that is in use`() throws {
    let world = try World()
    let used = try world.open(identity: "oldest, in use")
    for identity in ["old", "new"] { _ = try world.open(identity: identity) }
    let cache = ModelCache(world.cache)
    let size = try #require(try cache.entries().first?.bytes)
    for path in try world.files() {
      try FileManager.default.setAttributes([.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: path)
    }
    // It is not the oldest any more.
    _ = try world.open(identity: "old")
    try cache.makeRoom(for: size, max: 3 * size)
    #expect(try cache.entries().map(\.isInUse).sorted { $0 == true && $1 != true } == [true, false])
    let made = world.count
    _ = try world.open(identity: "old")
    #expect(world.count == made)
    _ = try world.open(identity: "new")
    #expect(world.count == made + 1)
    try cache.makeRoom(for: size, max: 0)
    #expect(try cache.entries().map(\.isInUse) == [true])
    withExtendedLifetime(used) {}
  }

  @Test func `is cleaned of packed weights that no process uses, and of what processes that died left`() throws {
    let world = try World()
    let used = try world.open(identity: "in use")
    _ = try world.open(identity: "unused")
    try Files.createDirectory(world.cache + "/gguf-1-model-12")
    try Files.write("partial", to: world.cache + "/packed-abc.tmp-1")
    try Files.write("", to: world.cache + "/packed-abc.lock")
    let cache = ModelCache(world.cache)
    #expect(try cache.entries().map(\.kind) == [.gguf, .packed, .packed])
    #expect(try cache.clean().map(\.kind) == [.packed])
    #expect(try cache.entries().map(\.isInUse) == [nil, true])
    #expect(try Files.list(world.cache).filter { $0.contains("abc") }.isEmpty)
    withExtendedLifetime(used) {}
  }
}

// MARK: - Memory of several processes

/// The proportional share of memory of this process, in bytes.
private func proportionalBytes() throws -> Int {
  let text = try Files.readText("/proc/self/smaps_rollup")
  let line = text.split(separator: "\n").first { $0.hasPrefix("Pss:") } ?? ""
  return (line.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0) * 1024
}

private func waitFor(_ path: String) throws {
  let deadline = MonotonicClock.now() + .seconds(60)
  while try !Files.exists(path) {
    precondition(MonotonicClock.now() < deadline, "\(path) did not appear")
    usleep(5_000)
  }
}

/// One of two processes: opens the model, reads it, waits until the other has done so too, and writes down its memory.
private func measure(_ own: String, beside other: String, in directory: String, sharing: Bool) throws {
  let plan = TransformerPlan(World.configuration(width: 512), type: .bfloat16)
  let source = {
    let parameters = Floats(count: plan.layout.count)
    parameters.fill(0.01)
    return ParameterSource(parameters)
  }
  let model =
    try sharing
    ? SharedBase.open(plan: plan, identity: "one", parameters: source, directory: directory + "/cache")
    : PreparedModel(plan: plan, parameters: source())
  _ = try responses(model)
  try Files.write("", to: "\(directory)/\(own).ready")
  try waitFor("\(directory)/\(other).ready")
  try Files.write("\(try proportionalBytes())", to: "\(directory)/\(own).bytes")
  try waitFor("\(directory)/\(other).bytes")
  withExtendedLifetime(model) {}
}

@Suite(.enabled(if: access("/proc/self/smaps_rollup", R_OK) == 0, "the kernel has no smaps_rollup"))
struct `Two processes with one model` {
  /// Memory of both.
  private func bytes(sharing: Bool) async throws -> Int {
    let directory = try OwnedDirectory.temporary(prefix: "ttrl-test")
    defer { try? Files.removeTree(directory) }
    func process(_ own: String, beside other: String) async {
      await #expect(processExitsWith: .success) {
        [directory = directory as String, sharing = sharing as Bool, own = own as String, other = other as String] in
        try measure(own, beside: other, in: directory, sharing: sharing)
      }
    }
    async let one: Void = process("one", beside: "two")
    async let two: Void = process("two", beside: "one")
    _ = await (one, two)
    return try ["one", "two"].reduce(0) { $0 + (Int(try Files.readText("\(directory)/\($1).bytes")) ?? 0) }
  }

  @Test func `have one copy of its weights in memory`() async throws {
    let copy = MemoryPlan.weightBytes(TransformerPlan(World.configuration(width: 512), type: .bfloat16))
    let (shared, own) = (try await bytes(sharing: true), try await bytes(sharing: false))
    // Everything else is there twice in both cases.
    let saved = Double(own - shared) / Double(copy)
    #expect(saved > 0.7 && saved < 1.3, "\(shared) bytes shared, \(own) bytes not, a copy has \(copy)")
  }
}
