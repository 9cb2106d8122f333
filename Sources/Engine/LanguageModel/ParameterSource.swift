// ParameterSource: where a model's parameters are read from, one part at a time.
//
// Parameters in memory are viewed. Those in a model's files, or in the bytes of a published version, are widened part
// by part while they are packed or published, so a process that only samples never holds all of them in float32. Those
// of a model that is ready to run are read from its packed weights.

package import Base
package import Tensors

/// The parameters of a model, in layout order.
///
/// `@unchecked Sendable`: the bytes are only read.
package struct ParameterSource: @unchecked Sendable {
  /// Consecutive parameters, as they are stored.
  struct Part {
    var range: Range<Int>
    var bytes: UnsafeRawBufferPointer
    var type: WeightType

    /// The bytes of some of the part's parameters.
    func bytes(of range: Range<Int>) -> UnsafeRawBufferPointer {
      let (start, end) = (range.lowerBound - self.range.lowerBound, range.upperBound - self.range.lowerBound)
      return UnsafeRawBufferPointer(rebasing: bytes[start * type.byteCount..<end * type.byteCount])
    }
  }

  private enum Form {
    case floats(Floats)
    /// In layout order, without gaps.
    case stored([Part])
    case packed([PackedTensor], Team?)
  }

  private let form: Form
  package let count: Int
  /// Keeps the bytes where they are.
  private let owner: (any Sendable)?

  package init(_ parameters: Floats) {
    form = .floats(parameters)
    count = parameters.count
    owner = nil
  }

  /// Parts that together are all parameters.
  init(_ parts: [Part], keptBy owner: (any Sendable)?) {
    let ordered = parts.sorted { $0.range.lowerBound < $1.range.lowerBound }
    form = .stored(ordered)
    count = ordered.last?.range.upperBound ?? 0
    self.owner = owner
    precondition(ordered.reduce(0) { $0 + $1.range.count } == count, "the parts are not all parameters")
  }

  /// Some of all parameters; no others are read.
  init(_ part: Part, of count: Int, keptBy owner: any Sendable) {
    form = .stored([part])
    self.count = count
    self.owner = owner
  }

  /// The trained parameters of a model that is ready to run, rounded to its type. The team's threads unpack them.
  package init(_ model: PreparedModel, team: Team? = nil) {
    let tensors = model.trainedTensors
    form = .packed(tensors, team)
    count = tensors.last?.range.upperBound ?? 0
    owner = nil
  }

  /// The bytes of a policy version. They must stay where they are while they are read from.
  ///
  /// - Returns: nil if their number does not fit the layout and the data type.
  package init?(published bytes: UnsafeRawBufferPointer, layout: TensorLayout, type: DataType) {
    guard bytes.count == layout.count * type.bytes else { return nil }
    let type: WeightType = type == .bfloat16 ? .bfloat16 : .float32
    self.init([Part(range: 0..<layout.count, bytes: bytes, type: type)], keptBy: nil)
  }

  /// The parameters of a range, to be read: a view or a copy.
  package func values(_ range: Range<Int>) -> Floats {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) is outside 0..<\(count)")
    switch form {
    case .floats(let floats): return floats[range]
    case .stored(let parts):
      let values = Floats(count: range.count)
      var index = Self.first(endingAfter: range.lowerBound, in: parts)
      while index < parts.count, parts[index].range.lowerBound < range.upperBound {
        let wanted = parts[index].range.clamped(to: range)
        let target = values[wanted.lowerBound - range.lowerBound..<wanted.upperBound - range.lowerBound]
        target.withUnsafeBuffer { _ = widen(parts[index].bytes(of: wanted), parts[index].type, to: $0) }
        index += 1
      }
      return values
    case .packed(let tensors, let team):
      let values = Floats(count: range.count)
      for tensor in tensors where tensor.range.overlaps(range) {
        let wanted = tensor.range.clamped(to: range)
        tensor.copy(
          wanted, to: values[wanted.lowerBound - range.lowerBound..<wanted.upperBound - range.lowerBound], team: team)
      }
      return values
    }
  }

  private static func first(endingAfter parameter: Int, in parts: [Part]) -> Int {
    var (low, high) = (0, parts.count)
    while low < high {
      let middle = (low + high) / 2
      if parts[middle].range.upperBound > parameter { high = middle } else { low = middle + 1 }
    }
    return low
  }

  /// The parameters of ranges, one after the other.
  func values(_ ranges: [Range<Int>]) -> Floats {
    var merged: [Range<Int>] = []
    for range in ranges {
      if let last = merged.last, last.upperBound == range.lowerBound {
        merged[merged.count - 1] = last.lowerBound..<range.upperBound
      } else {
        merged.append(range)
      }
    }
    if merged.count == 1 { return values(merged[0]) }
    let copy = Floats(count: merged.reduce(0) { $0 + $1.count })
    var at = 0
    for range in merged {
      copy[at..<at + range.count].copy(from: values(range))
      at += range.count
    }
    return copy
  }

  /// Consecutive rows of matrices that stand one below the other.
  func rows(_ range: Range<Int>, of tensors: [ParameterTensor]) -> Matrix {
    let columns = tensors[0].shape[1]
    var (parts, first): ([Range<Int>], Int) = ([], 0)
    for tensor in tensors {
      let rows = range.clamped(to: first..<first + tensor.shape[0])
      if !rows.isEmpty {
        let start = tensor.offset - first * columns
        parts.append(start + rows.lowerBound * columns..<start + rows.upperBound * columns)
      }
      first += tensor.shape[0]
    }
    return values(parts).rows(of: columns)
  }
}

/// Writes every value as float32. Returns whether all are finite.
func widen(
  _ source: UnsafeRawBufferPointer, _ type: WeightType, to target: UnsafeMutableBufferPointer<Float>
) -> Bool {
  // Data in files is not aligned. It is little-endian, like all machines that ttrl runs on.
  precondition(source.count >= target.count * type.byteCount, "\(source.count) bytes for \(target.count) values")
  // Through pointers, because then the compiler vectorises the loops.
  guard let from = source.baseAddress, let to = target.baseAddress else { return true }
  let count = target.count
  switch type {
  case .float32: return fill(to, count) { from.loadUnaligned(fromByteOffset: 4 &* $0, as: Float.self) }
  case .bfloat16:
    return fill(to, count) {
      Float(bitPattern: UInt32(from.loadUnaligned(fromByteOffset: 2 &* $0, as: UInt16.self)) << 16)
    }
  case .float16: return fill(to, count) { Float(from.loadUnaligned(fromByteOffset: 2 &* $0, as: Float16.self)) }
  }
}

/// Returns whether all values are finite: no exponent is all ones. One pass without branches, which vectorises.
@inline(__always)
private func fill(_ target: UnsafeMutablePointer<Float>, _ count: Int, _ value: (Int) -> Float) -> Bool {
  let exponent: UInt32 = 0x7F80_0000
  var badCount: UInt32 = 0
  for index in 0..<count {
    let value = value(index)
    target[index] = value
    badCount |= value.bitPattern & exponent == exponent ? 1 : 0
  }
  return badCount == 0
}
