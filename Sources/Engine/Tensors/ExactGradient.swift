// ExactGradient: a sum of gradients that does not depend on the order of the summands.
//
// Floating-point sums depend on their order, so a gradient summed by two ranks would differ from one summed by three.
// Here every value is rounded once to a multiple of 2^-40 and added as a 64-bit integer. Integer addition is
// associative, so the bits do not depend on how micro-batches are divided among threads and ranks. Ranks add the
// integers too. The price is a fixed range: the magnitudes of all summands together must stay below 2^22; if they do
// not, there is an error. The resolution, 2^-40, is 9e-13; gradients of mean losses are of the order of 1e-8 to 1.

/// A gradient that cannot be added exactly.
package enum ExactGradientError: Error, Equatable, CustomStringConvertible {
  case notFinite
  case tooLarge(magnitudes: Double, limit: Double)

  package var description: String {
    switch self {
    case .notFinite:
      "adding a micro-batch's gradient: it has a NaN or an infinity. Training diverged: lower the learning rate, "
        + "or start again from an earlier checkpoint"
    case .tooLarge(let magnitudes, let limit):
      "adding a micro-batch's gradient: the magnitudes add up to \(magnitudes); the limit of fixed-point sums is "
        + "\(limit). Training diverged: lower the learning rate; or use --reduction fast"
    }
  }
}

/// A flat gradient as 64-bit fixed-point numbers with 40 fractional bits.
///
/// `@unchecked Sendable`: it belongs to one thread at a time.
package final class ExactGradient: @unchecked Sendable {
  package let count: Int
  private let memory: Memory
  /// The sum of the summands' largest magnitudes. No value of the sum can be larger.
  private var magnitudes = 0.0
  /// The largest magnitude of the summand that is being added.
  private var largest: Float = 0

  /// The limit of one rank's `magnitudes`. The sum of 64 ranks then stays below 2^22, which leaves one bit of a 64-bit
  /// integer unused.
  package static let magnitudeLimit = 65536.0

  /// Zero.
  package init(count: Int) {
    self.count = count
    memory = Memory(byteCount: 8 * count)
  }

  /// By parameter, in units of 2^-40. Ranks can add these in any order.
  private var values: UnsafeMutableBufferPointer<Int64> {
    UnsafeMutableBufferPointer(start: memory.base.assumingMemoryBound(to: Int64.self), count: count)
  }

  package var array: [Int64] { Array(values) }

  /// Calls `body` with the integers. Their address does not change as long as the sum exists.
  package func withUnsafeBuffer<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Int64>) throws(Failure) -> Result
  ) throws(Failure) -> Result { try body(values) }

  /// Adds the gradient of one micro-batch.
  package func add(_ gradient: Floats, team: Team? = nil) throws(ExactGradientError) {
    precondition(gradient.count == count, "adding \(gradient.count) gradients to \(count)")
    add(gradient, in: 0..<count, team: team)
    try endSummand()
  }

  /// Adds a part of the gradient of one micro-batch. Call `endSummand` after the last part.
  package func add(_ gradient: Floats, in range: Range<Int>, team: Team? = nil) {
    let found = magnitude(range.count, team) { part in
      let part = range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
      return Kernels.best.accumulateFixed(gradient[part], into: UnsafeMutableBufferPointer(rebasing: values[part]))
    }
    largest = found.isFinite && largest.isFinite ? max(found, largest) : .infinity
  }

  /// Adds some values of a micro-batch's gradient, of this or another rank. The caller collects the magnitudes for
  /// `require`.
  ///
  /// - Returns: the largest magnitude; infinity if a value is not finite.
  package func add(_ values: UnsafeBufferPointer<Float>, to range: Range<Int>, team: Team? = nil) -> Float {
    precondition(values.count == range.count, "adding \(values.count) gradients to \(range.count)")
    return magnitude(range.count, team) { part in
      let target = range.lowerBound + part.lowerBound..<range.lowerBound + part.upperBound
      return Kernels.best.accumulateFixed(
        UnsafeBufferPointer(rebasing: values[part]), into: UnsafeMutableBufferPointer(rebasing: self.values[target]))
    }
  }

  /// Checks the largest magnitudes of one rank's micro-batches, in their order.
  package static func require(_ magnitudes: [Float]) throws(ExactGradientError) {
    let sum = ExactGradient(count: 0)
    for magnitude in magnitudes { try sum.take(magnitude) }
  }

  /// The memory, as float32 values. What is written there replaces the sum.
  package var floats: Floats { Floats(viewing: memory, count: count) }

  package func endSummand() throws(ExactGradientError) {
    let found = largest
    largest = 0
    try take(found)
  }

  /// Replaces a gradient by what the sum would be if it were the only summand, times `scale`. It needs no integers.
  package static func round(_ gradient: Floats, scale: Double, team: Team? = nil) throws(ExactGradientError) {
    let found = magnitude(gradient.count, team) { Kernels.best.roundFixed(gradient[$0], scale: scale) }
    try ExactGradient(count: 0).take(found)
  }

  private func take(_ magnitude: Float) throws(ExactGradientError) {
    guard magnitude.isFinite else { throw .notFinite }
    magnitudes += Double(magnitude)
    guard magnitudes < ExactGradient.magnitudeLimit else {
      throw .tooLarge(magnitudes: magnitudes, limit: ExactGradient.magnitudeLimit)
    }
  }

  /// Adds the sum of another thread or rank.
  package func add(_ other: ExactGradient) throws(ExactGradientError) {
    precondition(other.count == count, "adding \(other.count) gradients to \(count)")
    let values = values
    for index in values.indices { values[index] &+= other.values[index] }
    magnitudes += other.magnitudes
    guard magnitudes < 64 * ExactGradient.magnitudeLimit else {
      throw .tooLarge(magnitudes: magnitudes, limit: 64 * ExactGradient.magnitudeLimit)
    }
  }

  /// Sets the sum to zero and keeps the memory.
  package func reset(team: Team? = nil) {
    share(count, team) { part, _ in values[part].update(repeating: 0) }
    magnitudes = 0
    largest = 0
  }

  /// out = sum · scale, rounded to float32 once.
  package func write(to out: Floats, scale: Double, team: Team? = nil) {
    precondition(out.count == count, "writing \(count) gradients to \(out.count)")
    write(0..<count, to: out, scale: scale, team: team)
  }

  /// out = sum · scale for the parameters `range`; `out` has as many values.
  package func write(_ range: Range<Int>, to out: Floats, scale: Double, team: Team? = nil) {
    let values = UnsafeBufferPointer(rebasing: values[range])
    share(range.count, team) { part, _ in
      Kernels.best.fromFixed(UnsafeBufferPointer(rebasing: values[part]), scale: scale, into: out[part])
    }
  }
}

/// The largest of the parts' results; infinity if one of them is infinite or NaN.
private func magnitude(_ count: Int, _ team: Team?, _ body: (Range<Int>) -> Float) -> Float {
  var found = [Float](repeating: 0, count: team?.size ?? 1)
  found.withUnsafeMutableBufferPointer { found in
    share(count, team) { range, part in found[part] = body(range) }
  }
  return found.reduce(0) { $0.isFinite && $1.isFinite ? max($0, $1) : .infinity }
}
