// Memory: aligned float memory, and the views of it that kernels use.
//
// One class owns the memory, and every view keeps its owner alive, so a pointer never outlives its memory. A view knows
// its size; `Kernels` and `Multiplier` check sizes before a pointer is passed to C. Almost all raw pointers of the
// engine are in this file, in those two, and in KeyValuePages.
// Not here: arithmetic.

package import Base
import CKernels
import Synchronization

/// Zeroed memory, aligned to 64 bytes, which is freed with its last view; or memory of others, which is only read.
///
/// `@unchecked Sendable`: its users decide which thread writes when. The engine's rule: a model's memory is written
/// before the model is shared and never after; all other memory belongs to one thread at a time.
package final class Memory: @unchecked Sendable {
  @usableFromInline let base: UnsafeMutableRawPointer
  package let byteCount: Int
  /// Keeps memory that is not the engine's own where it is.
  private let owner: (any Sendable)?

  package init(byteCount: Int) {
    guard let base = ttrl_allocate(byteCount) else {
      preconditionFailure("cannot allocate \(byteCount) bytes: the machine is out of memory; use smaller batches")
    }
    self.base = base
    self.byteCount = byteCount
    owner = nil
  }

  /// The memory of others, such as a part of a mapped file. It is never written, and not freed.
  ///
  /// - Parameters:
  ///   - bytes: not empty, aligned to 64 bytes.
  ///   - owner: keeps the bytes where they are.
  package init(viewing bytes: UnsafeRawBufferPointer, keptBy owner: any Sendable) {
    guard let start = bytes.baseAddress, Memory.isAligned(bytes) else {
      preconditionFailure("\(bytes.count) bytes that are viewed are not aligned")
    }
    base = UnsafeMutableRawPointer(mutating: start)
    byteCount = bytes.count
    self.owner = owner
  }

  deinit { if owner == nil { ttrl_free(base, byteCount) } }

  /// Whether the memory can be written.
  var isWritable: Bool { owner == nil }

  /// Whether bytes can be viewed.
  package static func isAligned(_ bytes: UnsafeRawBufferPointer) -> Bool {
    bytes.baseAddress.map { Int(bitPattern: $0) % 64 == 0 } ?? false
  }

  /// The bytes are valid only during the call.
  package func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeRawBufferPointer(start: base, count: byteCount))
  }
}

/// Memory of arrays that are not needed any more. A new array of the same size can take it, if all its values are then
/// written. Fresh memory would cost more time: the system clears every page when it is first used.
package final class SpareMemory: Sendable {
  private let pieces: Mutex<[Memory]>

  /// - Parameter pieces: a piece that is still used elsewhere is not given out.
  init(_ pieces: [Memory]) { self.pieces = Mutex(pieces) }

  /// How many pieces have not been taken.
  package var count: Int { pieces.withLock { $0.count } }

  /// A piece of this size with any contents; nil if there is none.
  func take(byteCount: Int) -> Memory? {
    pieces.withLock { pieces in
      for index in pieces.indices where pieces[index].byteCount == byteCount {
        guard isKnownUniquelyReferenced(&pieces[index]) else { continue }
        return pieces.remove(at: index)
      }
      return nil
    }
  }
}

/// A contiguous array of float32 values: a parameter, a gradient, a row.
package struct Floats: Sendable {
  package let memory: Memory
  /// In floats, from the start of the memory.
  @usableFromInline let offset: Int
  package let count: Int

  @usableFromInline var base: UnsafeMutablePointer<Float> {
    @inlinable get { memory.base.assumingMemoryBound(to: Float.self) + offset }
  }

  /// `count` zeroes.
  package init(count: Int) {
    precondition(count >= 0, "the number of floats must be at least 0, got \(count)")
    memory = Memory(byteCount: count * 4)
    offset = 0
    self.count = count
  }

  package init(_ values: [Float]) {
    self.init(count: values.count)
    copy(from: values)
  }

  private init(memory: Memory, offset: Int, count: Int) {
    self.memory = memory
    self.offset = offset
    self.count = count
  }

  /// A view of some memory, from its start.
  ///
  /// - Parameters:
  ///   - memory: stays where it is as long as there is a view of it.
  ///   - count: floats; nil for all of them.
  package init(viewing memory: Memory, count: Int? = nil) {
    let count = count ?? memory.byteCount / 4
    precondition(4 * count <= memory.byteCount, "\(count) floats do not fit \(memory.byteCount) bytes")
    self.init(memory: memory, offset: 0, count: count)
  }

  package subscript(index: Int) -> Float {
    @inlinable get {
      precondition(index >= 0 && index < count, "the index of a float is out of range")
      return base[index]
    }
    @inlinable nonmutating set {
      precondition(index >= 0 && index < count, "the index of a float is out of range")
      base[index] = newValue
    }
  }

  /// A view of a part. A write to the view changes this memory.
  package subscript(range: Range<Int>) -> Floats {
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "\(range) is outside 0..<\(count)")
    return Floats(memory: memory, offset: offset + range.lowerBound, count: range.count)
  }

  /// A view of all values as a row-major matrix with `columns` columns.
  package func rows(of columns: Int) -> Matrix {
    precondition(columns > 0 && count % columns == 0, "\(count) floats do not make whole rows of \(columns)")
    return Matrix(values: self, rows: count / columns, columns: columns)
  }

  package var array: [Float] { Array(UnsafeBufferPointer(start: base, count: count)) }

  /// The mean, in Double; 0 of nothing. Eight partial sums in a fixed order: the same bits on every processor.
  package var mean: Double {
    var sums = SIMD8<Double>()
    let whole = count / 8 * 8
    for start in stride(from: 0, to: whole, by: 8) {
      sums += SIMD8<Double>(UnsafeRawPointer(base + start).loadUnaligned(as: SIMD8<Float>.self))
    }
    var sum = 0.0
    for lane in 0..<8 { sum += sums[lane] }
    for index in whole..<count { sum += Double(base[index]) }
    return sum / Double(max(count, 1))
  }

  package func fill(_ value: Float, team: Team? = nil) {
    share(count, team) { part, _ in (base + part.lowerBound).update(repeating: value, count: part.count) }
  }

  package func copy(from source: Floats, team: Team? = nil) {
    precondition(source.count == count, "copying \(source.count) floats into \(count)")
    share(count, team) { part, _ in
      (base + part.lowerBound).update(from: source.base + part.lowerBound, count: part.count)
    }
  }

  package func copy(from source: [Float]) {
    precondition(source.count == count, "copying \(source.count) floats into \(count)")
    source.withUnsafeBufferPointer { from in
      if let start = from.baseAddress { base.update(from: start, count: count) }
    }
  }

  /// Calls `body` with the values, to read them or to pass them to a C library (a collective, a file).
  package func withUnsafeBuffer<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeMutableBufferPointer(start: base, count: count))
  }
}

/// Rows of float32 values, without gaps.
package struct Matrix: Sendable {
  package let values: Floats
  package let rows: Int
  package let columns: Int

  /// A matrix of zeroes.
  package init(rows: Int, columns: Int) {
    self.init(values: Floats(count: rows * columns), rows: rows, columns: columns)
  }

  init(values: Floats, rows: Int, columns: Int) {
    self.values = values
    self.rows = rows
    self.columns = columns
  }

  var base: UnsafeMutablePointer<Float> { values.base }

  package func row(_ index: Int) -> Floats { values[index * columns..<(index + 1) * columns] }

  /// A view of consecutive rows.
  package subscript(rows range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) are outside 0..<\(rows)")
    return Matrix(
      values: values[range.lowerBound * columns..<range.upperBound * columns], rows: range.count, columns: columns)
  }
}

/// Rows that are the input of a matrix multiplication, in float32 or bfloat16.
package struct Operand: Sendable {
  private let memory: Memory
  /// In bytes, from the start of the memory.
  private let offset: Int
  package let rows: Int
  package let columns: Int
  package let type: DataType

  var base: UnsafeMutableRawPointer { memory.base + offset }

  /// An operand of zeroes.
  package init(rows: Int, columns: Int, type: DataType) {
    memory = Memory(byteCount: rows * columns * type.bytes)
    offset = 0
    self.rows = rows
    self.columns = columns
    self.type = type
  }

  init(memory: Memory, offset: Int = 0, rows: Int, columns: Int, type: DataType) {
    precondition(offset + rows * columns * type.bytes <= memory.byteCount, "\(rows)x\(columns) values do not fit")
    self.memory = memory
    self.offset = offset
    self.rows = rows
    self.columns = columns
    self.type = type
  }

  /// A view of a matrix, in float32.
  package init(viewing matrix: Matrix) {
    self.init(
      memory: matrix.values.memory, offset: matrix.values.offset * 4, rows: matrix.rows, columns: matrix.columns,
      type: .float32)
  }

  var isBFloat16: Bool { type == .bfloat16 }

  /// A view of consecutive rows.
  package subscript(rows range: Range<Int>) -> Operand {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) are outside 0..<\(rows)")
    let start = offset + range.lowerBound * columns * type.bytes
    return Operand(memory: memory, offset: start, rows: range.count, columns: columns, type: type)
  }

  /// A view of the same memory as narrower or wider rows. Values that do not fill a row are left out.
  package func reshaped(rows: Int, columns: Int) -> Operand {
    precondition(rows * columns <= self.rows * self.columns, "\(rows)x\(columns) values do not fit an operand")
    return Operand(memory: memory, offset: offset, rows: rows, columns: columns, type: type)
  }

  /// Copies some columns of the first `rows` rows to those of `out`, which has only these columns.
  package func copy(columns range: Range<Int>, rows count: Int, to out: Operand) {
    precondition(
      range.lowerBound >= 0 && range.upperBound <= columns && range.count == out.columns && count <= rows
        && count <= out.rows && out.type == type, "the columns \(range) do not fit an operand")
    let bytes = range.count * type.bytes
    for row in 0..<count {
      (out.base + row * bytes).copyMemory(
        from: base + (row * columns + range.lowerBound) * type.bytes, byteCount: bytes)
    }
  }

  /// Sets rows to zero, so that old values in the unused rows of a block are not multiplied.
  package func clear(rows range: Range<Int>) {
    guard !range.isEmpty else { return }
    precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) are outside 0..<\(rows)")
    let rowBytes = columns * type.bytes
    (base + range.lowerBound * rowBytes).initializeMemory(as: UInt8.self, repeating: 0, count: range.count * rowBytes)
  }

  /// All values, as float32; for tests.
  package var array: [Float] {
    (0..<rows * columns).map { index in
      isBFloat16
        ? Float(bitPattern: UInt32(base.load(fromByteOffset: index * 2, as: UInt16.self)) << 16)
        : base.load(fromByteOffset: index * 4, as: Float.self)
    }
  }
}

extension Floats {
  /// Adds another array of the same length, element by element.
  package func add(_ other: Floats) {
    precondition(other.count == count, "adding \(other.count) floats to \(count)")
    for index in 0..<count { base[index] += other.base[index] }
  }

  /// Multiplies every value.
  package func scale(by factor: Float, team: Team? = nil) {
    share(count, team) { part, _ in for index in part { base[index] *= factor } }
  }
}
