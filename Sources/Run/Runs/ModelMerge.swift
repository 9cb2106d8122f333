// ModelMerge: a base and an adapter on disk become one model directory, for programs that take no adapters.
//
// The weights are computed in float32 and rounded once, and they are written piece by piece, so a model needs little
// memory. Everything is checked before the first byte is written. The configuration is written last, so nothing takes
// an incomplete directory for a model.
// Not here: the sum (LanguageModel/Adapters/AdapterMerge.swift).

import Base
package import LanguageModel
import Platform
import Tensors

package struct ModelMerge: Sendable {
  package let base: ModelDirectory
  package let adapter: AdapterDirectory

  /// What was written.
  package struct Outcome: Sendable {
    package var directory: String
    /// Names in the directory.
    package var files: [String]
    package var weightType: WeightType
    package var weightBytes: Int
    /// How many weights the adapter can change, and how many of them are stored as the base's.
    package var adapted = 0
    package var unchanged = 0
  }

  /// Reads the configurations, and no weights.
  ///
  /// - Throws: `ModelDirectoryError` or `AdapterDirectoryError`.
  package init(base: ModelDirectory, adapter: String) throws {
    self.base = base
    self.adapter = try AdapterDirectory(adapter, of: base.layout)
  }

  /// Makes a model directory.
  ///
  /// - Parameters:
  ///   - directory: does not exist, or is empty.
  ///   - type: how weights are stored; nil for the smallest type that has every value of the base.
  /// - Throws: what is wrong with the base or the adapter, or `PlatformError`, for example on a full disk. Then nothing
  ///   is left of the directory.
  package func write(to directory: String, as type: WeightType? = nil) throws -> Outcome {
    try ModelDirectoryError.requireFree(directory)
    let changes = try adapter.loadParameters()
    let weights = try base.parameters()
    let writer = SafeTensorsWriter(base.layout, type: try type ?? base.exactType())
    let isNew = try !Files.exists(directory)
    try Files.createDirectory(directory, mode: 0o755)
    do {
      var outcome = Outcome(
        directory: directory, files: [], weightType: writer.type, weightBytes: writer.fileBytes)
      let file = try AtomicFile("\(directory)/\(ModelDirectory.weightsName)")
      try file.write(writer.header)
      try adapter.layout.forEachMergedPiece(changes, of: weights, base.layout) { piece in
        let bytes = try writer.data(piece, adapter: adapter.path)
        try file.write(bytes)
        guard let base = piece.base else { return }
        outcome.adapted += base.count
        outcome.unchanged += writer.equalValues(bytes, writer.data(base))
      }
      try file.commit()
      try writeOrigin(to: directory)
      try base.writeCompanions(writer.type, to: directory)
      outcome.files = try Files.list(directory).sorted()
      return outcome
    } catch {
      // Nothing else is in it.
      for name in (try? Files.list(directory)) ?? [] { try? Files.removeTree("\(directory)/\(name)") }
      if isNew { try? Files.removeTree(directory) }
      throw error
    }
  }

  /// The prompts of the run that made the adapter are those of the merged model too.
  private func writeOrigin(to directory: String) throws {
    let origin = "\(adapter.path)/\(ModelOrigin.fileName)"
    guard try Files.exists(origin) else { return }
    try Files.write(
      try Files.read(origin, limit: Limits.settingsFileBytes), to: "\(directory)/\(ModelOrigin.fileName)")
  }
}

extension SafeTensorsWriter {
  /// - Throws: if a sum is outside the type's range.
  fileprivate func data(_ piece: MergedPiece, adapter: String) throws -> [UInt8] {
    if piece.base != nil, let value = piece.values.first(above: type.limit) {
      throw AdapterDirectoryError.unreadable(
        path: adapter,
        problem: "merged, tensor \"\(piece.tensor.name)\" has a weight of \(value), which \(type.configName) does not "
          + "have. \(type == .float32 ? "Did training diverge?" : "Give --weights float32")")
    }
    return data(piece.values)
  }

  fileprivate func data(_ values: Floats) -> [UInt8] { values.withUnsafeBuffer { data(UnsafeBufferPointer($0)) } }

  /// How many stored values have the same bits.
  fileprivate func equalValues(_ values: [UInt8], _ others: [UInt8]) -> Int {
    func count<Bits: FixedWidthInteger>(_: Bits.Type) -> Int {
      values.withUnsafeBytes { values in
        others.withUnsafeBytes { others in
          zip(values.bindMemory(to: Bits.self), others.bindMemory(to: Bits.self)).reduce(0) {
            $0 &+ ($1.0 == $1.1 ? 1 : 0)
          }
        }
      }
    }
    return type == .float32 ? count(UInt32.self) : count(UInt16.self)
  }
}

extension WeightType {
  /// Values beyond this are rounded to infinity.
  fileprivate var limit: Float {
    switch self {
    case .float32: .greatestFiniteMagnitude
    case .bfloat16: Float(bitPattern: 0x7F7F_7FFF)
    case .float16: Float(65520).nextDown
    }
  }
}

extension Floats {
  /// The first value whose magnitude is above a limit, or a NaN.
  fileprivate func first(above limit: Float) -> Float? {
    withUnsafeBuffer { values in values.first { !(abs($0) <= limit) } }
  }
}
