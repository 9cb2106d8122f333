// LoadPlan: which bytes of which file become which parameters.
//
// Loading has three steps: parse the headers, plan, check. Only the last one reads weights. The plan compares what the
// files have with what the model needs, and reports all differences at once, so that a wrong folder gives one message
// and not one per attempt. The caller opens or maps the files, and the parameters are read from them where they are
// needed (ParameterSource.swift).
//
// Not here: reading the headers (SafeTensorsHeader.swift), writing files (SafeTensorsWriter.swift).

import Base
import Tensors

/// Everything needed to read a model's parameters from its files.
package struct LoadPlan: Sendable {
  /// One tensor of a file, and its place among the parameters.
  package struct Copy: Sendable, Equatable {
    package var tensor: ParameterTensor
    package var type: WeightType
    /// Where it is in the shard's file.
    package var bytes: Range<Int>
  }

  /// One file, and what is read from it, in the order of the file.
  package struct Shard: Sendable, Equatable {
    package var name: String
    package var fileBytes: Int
    package var copies: [Copy]
    /// Tensors that have no place of their own, and must be equal to what is in that of another: a stored head of a
    /// model whose head is its embedding.
    package var copiesOfOthers: [Copy] = []
  }

  package let shards: [Shard]
  /// Parts of the files that are not used.
  package let unused: [UnusedPart]
  private let files: WeightsError.Files

  /// The smallest type that has every value of the files: theirs, or float32 if they have several.
  package var exactType: WeightType {
    let types = shards.flatMap { $0.copies.map(\.type) }
    guard let first = types.first, types.allSatisfy({ $0 == first }) else { return .float32 }
    return first
  }
}

/// Tensors of a file that ttrl does not use, for example those for pictures.
package struct UnusedPart: Sendable, Equatable, CustomStringConvertible {
  package var name: String
  package var tensors: Int
  package var bytes: Int

  package var description: String { "\(name) (\(tensors) tensors, \(MemoryPlan.mebibytes(bytes)))" }
}

/// All reasons why weights cannot be loaded.
package struct WeightsError: Error, Equatable, Sendable, CustomStringConvertible {
  package enum Problem: Equatable, Sendable {
    case missing(tensor: String, shape: [Int])
    case wrongShape(tensor: String, found: [Int], type: String, expected: [Int])
    case wrongType(tensor: String, found: String)
    /// The model has no such tensor.
    case unexpected(tensor: String, shard: String)
    case repeated(tensor: String, shards: [String])
    /// The tensor is not in the file that the index names; it is in another one or in none.
    case misplaced(tensor: String, index: String, found: String?)
    case notFinite(tensor: String, index: Int, value: Float)
    case fileChanged(shard: String, planned: Int, found: Int)
    /// The configuration says that two tensors are one, and they differ.
    case notTied(tensor: String, to: String, index: Int, found: Float, expected: Float)
  }

  /// What the files are, for hints.
  package enum Files: Sendable {
    case model, adapter
  }

  package let problems: [Problem]
  package let files: Files

  package init(problems: [Problem], files: Files = .model) {
    self.problems = problems
    self.files = files
  }

  /// The most problems that are printed. A wrong folder has hundreds.
  package static let linesMax = 20

  package var description: String {
    let lines = problems.prefix(Self.linesMax).map { $0.text(files).visible }
    let rest = problems.count - lines.count
    return (lines + (rest > 0 ? ["and \(rest) more"] : [])).joined(separator: "\n")
  }
}

extension WeightsError.Problem: CustomStringConvertible {
  package var description: String { text(.model) }

  fileprivate func text(_ files: WeightsError.Files) -> String {
    let (lost, belonging) =
      switch files {
      case .model: ("Is a shard missing?", "Do config.json and weights belong together?")
      case .adapter:
        (
          "Do adapter_config.json and adapter_model.safetensors belong together?",
          "Do adapter_config.json and adapter_model.safetensors belong together, and to this base model?"
        )
      }
    return switch self {
    case .missing(let tensor, let shape): "tensor \"\(tensor)\" \(shape) is missing. \(lost)"
    case .wrongShape(let tensor, let found, let type, let expected):
      "tensor \"\(tensor)\" is \(found) \(type), expected \(expected). \(belonging)"
    case .wrongType(let tensor, let found): "tensor \"\(tensor)\" is \(found), expected F32, BF16 or F16"
    case .unexpected(let tensor, let shard):
      "tensor \"\(tensor)\" in \(shard) is not part of this \(files == .model ? "model" : "adapter"). \(belonging)"
    case .repeated(let tensor, let shards): "tensor \"\(tensor)\" is in \(shards.joined(separator: " and in "))"
    case .misplaced(let tensor, let index, let found):
      "according to the index, tensor \"\(tensor)\" is in \(index); it is in \(found ?? "no file")"
    case .notFinite(let tensor, let index, let value):
      "tensor \"\(tensor)\" has \(value) at element \(index); weights must be finite. Did training diverge?"
    case .fileChanged(let shard, let planned, let found):
      "\(shard) has \(found) bytes; it had \(planned) when its header was read. Is another program writing to it?"
    case .notTied(let tensor, let other, let index, let found, let expected):
      "according to tie_word_embeddings, tensor \"\(tensor)\" is \"\(other)\", but at element \(index) they have "
        + "\(found) and \(expected). Set tie_word_embeddings to false if the model has a head of its own, or remove "
        + "the tensor"
    }
  }
}

// MARK: - Planning

extension LoadPlan {
  /// - Parameters:
  ///   - layout: the model's tensors.
  ///   - shards: the headers of all files, in any order.
  ///   - index: if there is one, the files must agree with it.
  /// - Throws: every tensor that is missing, has a wrong shape or type, is there twice, or is not part of the model.
  ///   The tables of rotary frequencies that old checkpoints store are ignored.
  package init(
    _ layout: ParameterLayout, shards: [(name: String, header: SafeTensorsHeader)], index: SafeTensorsIndex? = nil
  ) throws(WeightsError) {
    let contents = Contents(shards, layout.names.use)
    var problems = contents.repeated
    var planned = shards.map { Shard(name: $0.name, fileBytes: $0.header.fileBytes, copies: []) }
    for tensor in layout.stored {
      switch contents.copy(for: tensor) {
      case .success(let (copy, shard)): planned[shard].copies.append(copy)
      case .failure(let error): problems += error.problems
      }
    }
    if let head = layout.tiedHead, contents.has(head.name) {
      switch contents.copy(for: head) {
      case .success(let (copy, shard)): planned[shard].copiesOfOthers.append(copy)
      case .failure(let error): problems += error.problems
      }
    }
    problems += contents.unexpected(besides: layout.stored + [layout.tiedHead].compactMap { $0 })
    if let index { problems += contents.misplaced(index) }
    guard problems.isEmpty else { throw WeightsError(problems: problems) }
    for shard in planned.indices {
      planned[shard].copies.sort { $0.bytes.lowerBound < $1.bytes.lowerBound }
    }
    self.shards = planned
    files = .model
    unused = contents.unused
  }

  /// An adapter's file.
  ///
  /// - Parameters:
  ///   - adapter: the adapter's tensors.
  ///   - model: the base's, whose names in files can be those of a model that has it inside.
  ///   - file: the header.
  /// - Throws: every tensor that is missing, has a wrong shape or type, or is not part of the adapter.
  package init(
    _ adapter: AdapterLayout, of model: ParameterLayout, file: (name: String, header: SafeTensorsHeader)
  ) throws(WeightsError) {
    let contents = Contents([file], model.names.useInAdapter)
    var (problems, copies): ([WeightsError.Problem], [Copy]) = ([], [])
    for tensor in adapter.tensors.stored {
      switch contents.copy(for: tensor) {
      case .success(let (copy, _)): copies.append(copy)
      case .failure(let error): problems += error.problems
      }
    }
    problems += contents.repeated + contents.unexpected(besides: adapter.tensors.stored)
    guard problems.isEmpty else { throw WeightsError(problems: problems, files: .adapter) }
    shards = [
      Shard(
        name: file.name, fileBytes: file.header.fileBytes,
        copies: copies.sorted { $0.bytes.lowerBound < $1.bytes.lowerBound })
    ]
    files = .adapter
    unused = contents.unused
  }
}

/// What the files have, by name.
private struct Contents {
  private let shards: [(name: String, header: SafeTensorsHeader)]
  /// Where each tensor is found first. Looked up, never iterated.
  private var places: [String: (shard: Int, entry: SafeTensorsHeader.Entry)] = [:]
  private(set) var repeated: [WeightsError.Problem] = []
  private let use: (String) -> CheckpointNames.Use
  private(set) var unused: [UnusedPart] = []

  init(_ shards: [(name: String, header: SafeTensorsHeader)], _ use: @escaping (String) -> CheckpointNames.Use) {
    self.shards = shards
    self.use = use
    for (number, shard) in shards.enumerated() {
      for entry in shard.header.entries {
        switch use(entry.name) {
        case .unused(let part): leaveOut(entry, of: part)
        case .tensor(let name):
          if let first = places[name] {
            repeated.append(.repeated(tensor: entry.name, shards: [shards[first.shard].name, shard.name]))
          } else {
            places[name] = (number, entry)
          }
        }
      }
    }
  }

  private mutating func leaveOut(_ entry: SafeTensorsHeader.Entry, of part: String) {
    let place = unused.firstIndex { $0.name == part } ?? unused.count
    if place == unused.count { unused.append(UnusedPart(name: part, tensors: 0, bytes: 0)) }
    unused[place].tensors += 1
    unused[place].bytes += entry.bytes.count
  }

  func has(_ tensor: String) -> Bool { places[tensor] != nil }

  func copy(for tensor: ParameterTensor) -> Result<(LoadPlan.Copy, shard: Int), WeightsError> {
    guard let (shard, entry) = places[tensor.name] else {
      return .failure(WeightsError(problems: [.missing(tensor: tensor.name, shape: tensor.shape)]))
    }
    guard entry.shape == tensor.shape else {
      let problem = WeightsError.Problem.wrongShape(
        tensor: tensor.name, found: entry.shape, type: entry.type, expected: tensor.shape)
      return .failure(WeightsError(problems: [problem]))
    }
    guard let type = WeightType(rawValue: entry.type) else {
      return .failure(WeightsError(problems: [.wrongType(tensor: tensor.name, found: entry.type)]))
    }
    return .success((LoadPlan.Copy(tensor: tensor, type: type, bytes: entry.bytes), shard))
  }

  func unexpected(besides tensors: [ParameterTensor]) -> [WeightsError.Problem] {
    let known = Set(tensors.map(\.name))
    func isKnown(_ name: String) -> Bool {
      guard case .tensor(let name) = use(name) else { return true }
      return known.contains(name)
    }
    return shards.flatMap { shard in
      shard.header.entries.filter { !isKnown($0.name) && !Self.isHarmless($0.name) }
        .map { .unexpected(tensor: $0.name, shard: shard.name) }
    }
  }

  func misplaced(_ index: SafeTensorsIndex) -> [WeightsError.Problem] {
    index.places.compactMap { tensor, file in
      guard case .tensor(let name) = use(tensor) else { return nil }
      let found = places[name].map { shards[$0.shard].name }
      return found == file ? nil : .misplaced(tensor: tensor, index: file, found: found)
    }
  }

  /// Tensors that carry no information: rotary frequencies, which follow from the configuration.
  private static func isHarmless(_ name: String) -> Bool { name.hasSuffix(".rotary_emb.inv_freq") }
}

extension ParameterLayout {
  /// The head of a model whose head is its embedding, as files can store it in addition.
  fileprivate var tiedHead: ParameterTensor? {
    guard head == embedding else { return nil }
    var tensor = tensors[embedding]
    tensor.name = "lm_head.weight"
    return tensor
  }
}

// MARK: - Reading

extension LoadPlan {
  /// Checks the files' weights, and gives the parameters, which are read from the files where they are.
  ///
  /// - Parameters:
  ///   - files: whole files, in memory or mapped, in the order of `shards`.
  ///   - owner: keeps them where they are.
  /// - Throws: every tensor that has a NaN or an infinity, with the first such element. If there is none, every tensor
  ///   that differs from the one that it is a copy of.
  package func source(
    _ files: [UnsafeRawBufferPointer], keptBy owner: any Sendable
  ) throws(WeightsError) -> ParameterSource {
    precondition(files.count == shards.count, "\(files.count) files for \(shards.count) shards")
    var problems: [WeightsError.Problem] = []
    for (shard, file) in zip(shards, files) where file.count != shard.fileBytes {
      problems.append(.fileChanged(shard: shard.name, planned: shard.fileBytes, found: file.count))
    }
    guard problems.isEmpty else { throw WeightsError(problems: problems, files: self.files) }
    func parts(_ copies: KeyPath<Shard, [Copy]>) -> [(copy: Copy, part: ParameterSource.Part)] {
      zip(shards, files).flatMap { shard, file in
        shard[keyPath: copies].map { copy in
          let bytes = UnsafeRawBufferPointer(rebasing: file[copy.bytes])
          return (copy, ParameterSource.Part(range: copy.tensor.range, bytes: bytes, type: copy.type))
        }
      }
    }
    let own = parts(\.copies)
    problems = own.compactMap { copy, part in firstNotFinite(of: copy.tensor, in: part) }
    guard problems.isEmpty else { throw WeightsError(problems: problems, files: self.files) }
    let source = ParameterSource(own.map(\.part), keptBy: owner)
    problems = parts(\.copiesOfOthers).compactMap { copy, part in firstDifference(of: copy.tensor, part, source) }
    guard problems.isEmpty else { throw WeightsError(problems: problems, files: self.files) }
    return source
  }
}

/// Cuts a tensor into pieces that stay in the cache while they are checked.
private func pieces(of range: Range<Int>) -> [Range<Int>] {
  stride(from: range.lowerBound, to: range.upperBound, by: 1 << 16).map { $0..<min($0 + 1 << 16, range.upperBound) }
}

private func firstNotFinite(of tensor: ParameterTensor, in part: ParameterSource.Part) -> WeightsError.Problem? {
  let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: 1 << 16)
  defer { values.deallocate() }
  for piece in pieces(of: part.range) {
    let values = UnsafeMutableBufferPointer(rebasing: values[..<piece.count])
    guard !widen(part.bytes(of: piece), part.type, to: values) else { continue }
    let index = values.firstIndex { !$0.isFinite } ?? 0
    let start = piece.lowerBound - part.range.lowerBound
    return .notFinite(tensor: tensor.name, index: start + index, value: values[index])
  }
  return nil
}

/// Where a tensor differs from the parameters in its place.
private func firstDifference(
  of tensor: ParameterTensor, _ part: ParameterSource.Part, _ source: ParameterSource
) -> WeightsError.Problem? {
  let own = ParameterSource.Part(range: 0..<part.range.count, bytes: part.bytes, type: part.type)
  let copy = ParameterSource([own], keptBy: nil)
  for piece in pieces(of: part.range) {
    let start = piece.lowerBound - part.range.lowerBound
    let (found, expected) = (copy.values(start..<start + piece.count), source.values(piece))
    guard let index = (0..<piece.count).first(where: { found[$0] != expected[$0] }) else { continue }
    return .notTied(
      tensor: tensor.name, to: ParameterLayout.embeddingName, index: start + index, found: found[index],
      expected: expected[index])
  }
  return nil
}
