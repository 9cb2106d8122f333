// ParameterSource: where a model's parameters are read from, one part at a time.
//
// Parameters in memory are viewed. The bytes of a published version are widened part by part while they are packed, so
// a worker never holds all parameters in float32.

package import Base
package import Tensors

/// The parameters of a model, in layout order.
///
/// `@unchecked Sendable`: the bytes are only read.
package struct ParameterSource: @unchecked Sendable {
  private enum Form {
    case floats(Floats)
    case published(UnsafeRawBufferPointer, DataType)
  }

  private let form: Form
  package let count: Int

  package init(_ parameters: Floats) {
    form = .floats(parameters)
    count = parameters.count
  }

  /// The bytes of a policy version, which must stay where they are while they are read from.
  ///
  /// - Returns: nil if their number does not fit the layout and the data type.
  package init?(published bytes: UnsafeRawBufferPointer, layout: ParameterLayout, type: DataType) {
    guard bytes.count == layout.count * type.bytes else { return nil }
    form = .published(bytes, type)
    count = layout.count
  }

  /// The parameters of a range, to be read: a view or a copy.
  package func values(_ range: Range<Int>) -> Floats {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) is outside 0..<\(count)")
    switch form {
    case .floats(let floats): return floats[range]
    case .published(let bytes, let type):
      let values = Floats(count: range.count)
      let part = UnsafeRawBufferPointer(rebasing: bytes[range.lowerBound * type.bytes..<range.upperBound * type.bytes])
      values.withUnsafeBuffer { target in
        switch type {
        case .float32: UnsafeMutableRawBufferPointer(target).copyMemory(from: part)
        case .bfloat16:
          for index in target.indices {
            let bits = part.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
            target[index] = Float(bitPattern: UInt32(bits) << 16)
          }
        }
      }
      return values
    }
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
