// Weight files in memory, as the tests make them.

import LanguageModel
import Tensors

extension LoadPlan {
  /// The parameters of a model whose files are all in memory, in the order of `shards`.
  func load(_ files: [[UInt8]]) throws(WeightsError) -> [Float] {
    let stored = files.map { StoredFile($0) }
    let source = try source(stored.map(\.bytes), keptBy: stored)
    return source.values(0..<source.count).array
  }
}

/// `@unchecked Sendable`: the bytes are never written again.
private final class StoredFile: @unchecked Sendable {
  let bytes: UnsafeRawBufferPointer
  private let memory: UnsafeMutableRawPointer

  /// At an odd address, as tensors in files can be.
  init(_ file: [UInt8]) {
    memory = .allocate(byteCount: file.count + 1, alignment: 64)
    let target = UnsafeMutableRawBufferPointer(start: memory + 1, count: file.count)
    target.copyBytes(from: file)
    bytes = UnsafeRawBufferPointer(target)
  }

  deinit { memory.deallocate() }
}
