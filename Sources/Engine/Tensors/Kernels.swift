// Kernels: the C kernels behind checked Swift calls.
//
// Each call checks the sizes of its views, then passes pointers to the kernels of the best instruction set that this
// processor has. All instruction sets give the same bits (a test compares them). Reference.swift shows in readable form
// what each kernel computes; CKernels.h explains the letters.

import Base
import CKernels

/// The numbers that make a row of z values a distribution over the vocabulary.
package struct TokenDistribution: Sendable, Equatable {
  /// The largest z.
  package var maximum: Float
  /// The sum of exp(z − maximum) over the tokens that were kept.
  package var sum: Float
  /// The natural log of `sum`.
  package var logSum: Float
  /// In nats.
  package var entropy: Float

  /// The log-probability of a token with this z, natural log; −infinity for a dropped token.
  package func logprob(z: Float) -> Float { z - maximum - logSum }
}

/// The kernels of one instruction set.
package struct Kernels: @unchecked Sendable {
  // A pointer to a constant table of functions. It is never written, so it is safe to share.
  let functions: UnsafePointer<ttrl_kernels>

  init(_ functions: UnsafePointer<ttrl_kernels>) { self.functions = functions }

  package var name: String { String(cString: functions.pointee.name) }

  // MARK: Products (checked by MatrixMultiply.swift)

  /// Packs the panels `panels`, of 16 outputs each.
  /// Packs panels of 16 rows of weights with `outputs` rows. `part` has the rows from `row` on, a multiple of 16;
  /// `panels` are counted from there.
  func pack(
    _ part: Matrix, at row: Int, of outputs: Int, panels: Range<Int>, into packed: Memory, type: DataType
  ) {
    let first = row / 16
    functions.pointee.pack(
      part.base + panels.lowerBound * 16 * part.columns, Int64(part.columns), Int64(outputs),
      Int64(first + panels.lowerBound), Int64(first + panels.upperBound), packed.base, type == .bfloat16)
  }

  func unpackRow(_ index: Int, of packed: Memory, weights: PackedWeights, into out: Floats) {
    functions.pointee.unpack_row(
      packed.base, Int64(weights.inputs), Int64(weights.outputs), Int64(index), out.base, weights.type == .bfloat16)
  }

  /// out[rows] = or += left · right, for the panels `panels` of 16 columns each.
  ///
  /// - Parameter order: of bfloat16 factors; nil for float32 factors.
  func multiply(
    _ left: ttrl_left, _ right: ttrl_right, rows: Int, panels: Range<Int>, out: UnsafeMutablePointer<Float>,
    stride: Int, adds: Bool, order: ProductOrder?, scratch: Floats
  ) {
    let multiply =
      switch order {
      case nil: functions.pointee.multiply_float32
      case .pair: functions.pointee.multiply_pair
      case .tile: functions.pointee.multiply_tile
      }
    multiply(
      left, right, Int64(rows), Int64(panels.lowerBound), Int64(panels.upperBound), out, Int64(stride), adds,
      scratch.base)
  }

  // MARK: Elementwise

  /// out = exp(x), element by element; relative error about 2e-7, 0 below −87.3.
  package func exponential(_ x: Floats, into out: Floats) {
    precondition(x.count == out.count, "exponential: \(x.count) values into \(out.count)")
    functions.pointee.exponential(x.base, out.base, Int64(x.count))
  }

  /// out = ln(x), for positive normal numbers.
  package func logarithm(_ x: Floats, into out: Floats) {
    precondition(x.count == out.count, "logarithm: \(x.count) values into \(out.count)")
    functions.pointee.logarithm(x.base, out.base, Int64(x.count))
  }

  /// Copies a matrix to the first rows of `out`; for bfloat16 the values are rounded to nearest even.
  package func convert(_ x: Matrix, into out: Operand) {
    precondition(x.columns == out.columns && x.rows <= out.rows, "convert: the operand does not fit the matrix")
    let count = x.rows * x.columns
    if out.isBFloat16 {
      functions.pointee.to_bf16(x.base, out.base.assumingMemoryBound(to: UInt16.self), Int64(count))
    } else {
      out.base.assumingMemoryBound(to: Float.self).update(from: x.base, count: count)
    }
  }

  /// out = the nearest bfloat16 of each value, as float32.
  package func roundToBFloat16(_ x: Floats, into out: Floats) {
    precondition(x.count == out.count, "roundToBFloat16: \(x.count) values into \(out.count)")
    functions.pointee.round_to_bf16(x.base, out.base, Int64(x.count))
  }

  /// y += x.
  package func add(_ x: Floats, to y: Floats) {
    precondition(x.count == y.count, "add: \(x.count) values to \(y.count)")
    functions.pointee.add(x.base, y.base, Int64(x.count))
  }

  /// out = factor · x; they can be the same.
  package func scale(_ x: Floats, by factor: Float, into out: Floats) {
    precondition(x.count == out.count, "scale: \(x.count) values into \(out.count)")
    functions.pointee.scale(x.base, factor, out.base, Int64(x.count))
  }

  /// y += factor · x, rounded once.
  package func add(_ x: Floats, times factor: Float, to y: Floats) {
    precondition(x.count == y.count, "add: \(x.count) values to \(y.count)")
    functions.pointee.add_scaled(x.base, factor, y.base, Int64(x.count))
  }

  /// out[i] = table[index[i]], row by row, into the first rows of `out`.
  package func gather(_ table: Matrix, _ index: [Int32], into out: Matrix) {
    precondition(table.columns == out.columns && index.count <= out.rows, "gather: the result does not fit")
    check(index, table)
    functions.pointee.gather(table.base, index, out.base, Int64(index.count), Int64(table.columns))
  }

  /// table[index[i]] += x[i], row by row, in order of i.
  package func scatterAdd(_ x: Matrix, _ index: [Int32], to table: Matrix) {
    precondition(table.columns == x.columns && index.count <= x.rows, "scatterAdd: rows are missing")
    check(index, table)
    functions.pointee.scatter_add(x.base, index, table.base, Int64(index.count), Int64(table.columns))
  }

  private func check(_ index: [Int32], _ table: Matrix) {
    for row in index { precondition(row >= 0 && row < table.rows, "row \(row) is outside 0..<\(table.rows)") }
  }

  /// sums += the rows of x: the gradient of a bias.
  package func addColumns(_ x: Matrix, to sums: Floats) {
    precondition(x.columns == sums.count, "addColumns: \(x.columns) columns to \(sums.count) sums")
    functions.pointee.add_columns(x.base, sums.base, Int64(x.rows), Int64(x.columns))
  }

  /// out[x.columns, out.columns] = xᵀ of the first `rows` rows; columns of `out` beyond `rows` become zero.
  package func transpose(_ x: Operand, rows: Int, into out: Operand) {
    precondition(x.type == out.type && rows <= x.rows, "transpose: the operands' types differ, or rows are missing")
    precondition(out.rows == x.columns && out.columns >= rows, "transpose: the result does not fit")
    functions.pointee.transpose(x.base, out.base, Int64(rows), Int64(x.columns), Int64(out.columns), out.isBFloat16)
  }

  // MARK: Norm and feed-forward

  /// out = x / sqrt(mean(x²) + epsilon) · weight, row by row, into the first rows of `out`.
  package func rmsNorm(_ x: Matrix, weight: Floats, epsilon: Float, into out: Operand) {
    precondition(x.columns == weight.count && x.columns == out.columns && x.rows <= out.rows, "rmsNorm: sizes differ")
    functions.pointee.rms_norm(x.base, weight.base, epsilon, out.base, Int64(x.rows), Int64(x.columns), out.isBFloat16)
  }

  /// dx += and dweight += the gradient through `rmsNorm`.
  ///
  /// The threads of a team first divide the rows, then the columns. So one thread sums a weight's gradient over all
  /// rows in order, and its bits do not depend on the number of threads.
  /// - Parameters:
  ///   - x: [rows, C], the input of `rmsNorm`.
  ///   - weight: [C].
  ///   - epsilon: as in `rmsNorm`.
  ///   - dy: [at least rows, C].
  ///   - dx: [at least rows, C].
  ///   - dweight: [C].
  ///   - inverses: room for one number per row.
  ///   - team: nil: the calling thread alone.
  package func rmsNormBackward(
    _ x: Matrix, weight: Floats, epsilon: Float, dy: Matrix, dx: Matrix, dweight: Floats?, inverses: Floats,
    team: Team? = nil
  ) {
    precondition(
      x.columns == weight.count && (dweight ?? weight).count == weight.count, "rmsNormBackward: weights do not fit")
    precondition(
      dy.columns == x.columns && dx.columns == x.columns && dy.rows >= x.rows && dx.rows >= x.rows,
      "rmsNormBackward: gradients do not fit")
    precondition(inverses.count >= x.rows, "rmsNormBackward: no room for \(x.rows) numbers")
    share(x.rows, team, unit: 8) { rows, _ in
      let (part, width) = (x[rows: rows], Int64(x.columns))
      functions.pointee.rms_norm_backward(
        part.base, weight.base, epsilon, dy[rows: rows].base, dx[rows: rows].base, inverses[rows].base,
        Int64(rows.count), width)
    }
    guard let dweight else { return }
    share(x.columns, team, unit: 16) { columns, _ in
      functions.pointee.rms_norm_weight_backward(
        x.base, inverses.base, dy.base, dweight.base, Int64(x.rows), Int64(x.columns), Int64(columns.lowerBound),
        Int64(columns.upperBound))
    }
  }

  /// out = activation(gate) · up, with gateUp[rows, 2F] = gate|up, into the first rows of `out`.
  package func gatedUnit(_ gateUp: Matrix, _ activation: GateActivation, into out: Operand) {
    precondition(gateUp.columns == 2 * out.columns && gateUp.rows <= out.rows, "gatedUnit: the result does not fit")
    functions.pointee.glu(
      gateUp.base, out.base, Int64(gateUp.rows), Int64(out.columns), activation == .geluTanh, out.isBFloat16)
  }

  /// The gradient through `gatedUnit`; also computes its output again.
  package func gatedUnitBackward(
    _ gateUp: Matrix, _ activation: GateActivation, dactivated: Matrix, into dgateUp: Operand, activated: Operand
  ) {
    let width = activated.columns
    precondition(
      gateUp.columns == 2 * width && dactivated.columns == width && dgateUp.columns == 2 * width,
      "gatedUnitBackward: widths differ")
    precondition(
      [dactivated.rows, dgateUp.rows, activated.rows].allSatisfy { $0 >= gateUp.rows }
        && dgateUp.type == activated.type, "gatedUnitBackward: rows are missing, or types differ")
    functions.pointee.glu_backward(
      gateUp.base, dactivated.base, dgateUp.base, activated.base, Int64(gateUp.rows), Int64(width),
      activation == .geluTanh, activated.isBFloat16)
  }

  // MARK: Attention

  /// Applies bias, head norms, rotation and scale, in place in qkv[rows, W]. Keys and values are also copied to the
  /// rows' pages.
  package func finishQueryKeyValue(
    _ qkv: Matrix, heads: Heads, finish: QueryKeyValueFinish, rows: RowList, range: Range<Int>, layer: Int
  ) {
    check(heads, rows, range, qkv)
    precondition(rows.positionMax < finish.rotary.cosines.rows, "a position is beyond the rotary table")
    functions.pointee.finish_qkv(
      heads.c, finish.c(heads), rows.base + range.lowerBound, Int64(range.count), qkv.base,
      rows.layerOffset(layer))
  }

  /// The gradient through `finishQueryKeyValue`, in place in dqkv[rows, W]. With norms of queries and keys, `raw` is
  /// its input with the bias added, and the gradients of the norms' weights are added to `dqueryNorm` and `dkeyNorm`.
  package func finishQueryKeyValueBackward(
    _ dqkv: Matrix, heads: Heads, finish: QueryKeyValueFinish, rows: RowList, range: Range<Int>, raw: Matrix?,
    dqueryNorm: Floats?, dkeyNorm: Floats?
  ) {
    check(heads, rows, range, dqkv)
    let hasNorm = finish.queryNorm != nil
    precondition(
      !hasNorm
        || (raw?.rows ?? 0) >= range.count && raw?.columns == heads.width
          && dqueryNorm?.count == finish.queryNorm?.count && dkeyNorm?.count == finish.keyNorm?.count,
      "finishQueryKeyValueBackward: norms need the raw rows, and room for their gradients")
    functions.pointee.finish_qkv_backward(
      heads.c, finish.c(heads), rows.base + range.lowerBound, Int64(range.count), raw?.base, dqkv.base,
      dqueryNorm?.base, dkeyNorm?.base)
  }

  /// out[rows, H·D] = softmax attention of rows over the keys and values in their pages, at most the last `window`.
  ///
  /// `statistics` [rows, 2·H], if given, gets the largest score and 1 / sum of exp, for the backward pass. `scratch`
  /// has at least `attentionScratch` floats for the largest number of keys.
  package func attention(
    _ qkv: Matrix, heads: Heads, window: Int? = nil, rows: RowList, range: Range<Int>, layer: Int, into out: Operand,
    statistics: Matrix?, scratch: Floats
  ) {
    check(heads, rows, range, qkv)
    precondition(out.columns == heads.queryWidth && out.rows >= range.count, "attention: the result does not fit")
    precondition(
      statistics.map { $0.columns == 2 * heads.query && $0.rows >= range.count } ?? true,
      "attention: the statistics do not fit")
    precondition(
      scratch.count >= Kernels.attentionScratch(keys: rows.positionMax + 1), "attention: the scratch is too small")
    functions.pointee.attention(
      heads.c, keysSeen(window), rows.base + range.lowerBound, Int64(range.count), qkv.base, rows.layerOffset(layer),
      out.base,
      statistics?.base, scratch.base, out.isBFloat16)
  }

  /// Floats of scratch for `attention` over at most `keys` keys: the weights of the queries that it processes together.
  package static func attentionScratch(keys: Int) -> Int {
    Int(TTRL_ATTENTION_QUERIES) * ((keys + 15) / 16 * 16)
  }

  /// dqkv += the gradient through the attention of one segment's rows to its prefix and itself, for some of the
  /// key/value heads and the query heads that share them.
  ///
  /// The matrices have all rows of the batch. `window` is as in `attention`. `qkv` is the result of
  /// `finishQueryKeyValue`. `scratch` has at least `attentionBackwardScratch` floats.
  package func attentionBackward(
    _ qkv: Matrix, heads: Heads, window: Int? = nil, groups: Range<Int>, prefix: Range<Int>, own: Range<Int>,
    statistics: Matrix,
    dout: Matrix, dqkv: Matrix, scratch: Floats
  ) {
    precondition(groups.lowerBound >= 0 && groups.upperBound <= heads.keyValue, "no key/value heads \(groups)")
    let end = max(prefix.upperBound, own.upperBound)
    precondition(
      qkv.columns == heads.width && dqkv.columns == heads.width && dout.columns == heads.queryWidth
        && statistics.columns == 2 * heads.query, "attentionBackward: widths differ")
    precondition(
      [qkv.rows, dqkv.rows, dout.rows, statistics.rows].allSatisfy { $0 >= end }, "attentionBackward: rows are missing")
    let keys = prefix.count + own.count
    precondition(
      scratch.count >= Kernels.attentionBackwardScratch(heads, keys: keys), "attentionBackward: scratch is too small")
    let segment = ttrl_segment(
      prefix_start: Int64(prefix.lowerBound), prefix_count: Int64(prefix.count), start: Int64(own.lowerBound),
      count: Int64(own.count))
    functions.pointee.attention_backward(
      heads.c, keysSeen(window), segment, Int64(groups.lowerBound), Int64(groups.upperBound), qkv.base, statistics.base,
      dout.base,
      dqkv.base, scratch.base)
  }

  /// Floats of scratch for `attentionBackward` over at most `keys` keys.
  package static func attentionBackwardScratch(_ heads: Heads, keys: Int) -> Int {
    Int(ttrl_attention_backward_scratch(heads.c, Int64(keys)))
  }

  private func keysSeen(_ window: Int?) -> Int64 {
    precondition((window ?? 1) > 0, "a window of \(window ?? 0) positions has no key")
    return Int64(window ?? .max)
  }

  private func check(_ heads: Heads, _ rows: RowList, _ range: Range<Int>, _ qkv: Matrix) {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows.count, "rows \(range) are not in the list")
    precondition(qkv.columns == heads.width && qkv.rows >= range.count, "a q|k|v matrix does not fit the rows")
    precondition(rows.layerFloats == heads.pageFloats, "the rows' pages were made for different heads")
  }

  // MARK: Distribution

  /// Turns a row of logits into z values, in place: logit / temperature, or −infinity for a dropped token.
  /// - Returns: nil if a logit is NaN or infinite.
  package func distribution(
    of logits: Floats, inverseTemperature: Float, topK: Int, topP: Float, scratch: DistributionScratch
  ) -> TokenDistribution? {
    precondition(scratch.vocabularySize >= logits.count, "distribution: scratch is for a smaller vocabulary")
    let d = functions.pointee.distribution(
      logits.base, Int64(logits.count), inverseTemperature, Int32(clamping: topK), topP, scratch.words)
    return d.is_finite ? TokenDistribution(maximum: d.maximum, sum: d.sum, logSum: d.log_sum, entropy: d.entropy) : nil
  }

  /// The token at `uniform` (in [0, 1)) of the cumulative distribution, in index order.
  package func sample(_ z: Floats, _ distribution: TokenDistribution, uniform: Double) -> Int32 {
    functions.pointee.sample(z.base, Int64(z.count), distribution.maximum, distribution.sum, uniform)
  }

  /// The lowest index of the largest value.
  package func largest(_ z: Floats) -> Int32 { functions.pointee.largest(z.base, Int64(z.count)) }

  /// out = coefficient · p, where p are the probabilities.
  package func scaledProbabilities(
    _ z: Floats, _ distribution: TokenDistribution, coefficient: Float, into out: Floats
  ) {
    precondition(z.count == out.count, "scaledProbabilities: \(z.count) values into \(out.count)")
    functions.pointee.scaled_probabilities(
      z.base, Int64(z.count), distribution.maximum, distribution.logSum, coefficient, out.base)
  }

  /// out = p · (coefficient + entropyCoefficient · (log p + entropy)), where p are the probabilities; 0 for dropped
  /// tokens.
  ///
  /// d entropy / dz = −p · (log p + entropy), if the set of kept tokens is treated as constant.
  package func entropyGradient(
    _ z: Floats, _ distribution: TokenDistribution, coefficient: Float, entropyCoefficient: Float, into out: Floats
  ) {
    precondition(z.count == out.count, "entropyGradient: \(z.count) values into \(out.count)")
    functions.pointee.entropy_gradient(
      z.base, Int64(z.count), distribution.maximum, distribution.logSum, distribution.entropy, coefficient,
      entropyCoefficient, out.base)
  }

  // MARK: Optimizer

  /// accumulator += round(gradient · 2^40).
  /// - Returns: the largest magnitude; infinity if a value is not finite, and then `accumulator` is unspecified.
  func accumulateFixed(_ gradient: Floats, into accumulator: UnsafeMutableBufferPointer<Int64>) -> Float {
    accumulateFixed(UnsafeBufferPointer(start: gradient.base, count: gradient.count), into: accumulator)
  }

  func accumulateFixed(
    _ gradient: UnsafeBufferPointer<Float>, into accumulator: UnsafeMutableBufferPointer<Int64>
  ) -> Float {
    precondition(gradient.count == accumulator.count, "accumulateFixed: sizes differ")
    guard let base = accumulator.baseAddress, let values = gradient.baseAddress else { return 0 }
    return functions.pointee.accumulate_fixed(base, values, Int64(gradient.count))
  }

  /// out = accumulator · 2^-40 · scale, rounded once.
  func fromFixed(_ accumulator: UnsafeBufferPointer<Int64>, scale: Double, into out: Floats) {
    precondition(out.count == accumulator.count, "fromFixed: sizes differ")
    guard let base = accumulator.baseAddress else { return }
    functions.pointee.from_fixed(base, scale, out.base, Int64(out.count))
  }

  /// Gives what `accumulateFixed` into zeroes and then `fromFixed` would give, in place.
  /// - Returns: as `accumulateFixed`.
  func roundFixed(_ gradient: Floats, scale: Double) -> Float {
    functions.pointee.round_fixed(gradient.base, scale, Int64(gradient.count))
  }

  /// The sum of squares, in float64, in a fixed order.
  package func sumOfSquares(_ x: Floats) -> Double { functions.pointee.sum_of_squares(x.base, Int64(x.count)) }

  func adamW(_ settings: ttrl_adamw, gradient: Floats, parameters: Floats, first: Floats, second: Floats) {
    precondition(
      [parameters.count, first.count, second.count].allSatisfy { $0 == gradient.count }, "adamW: sizes differ")
    functions.pointee.adamw(
      settings, gradient.base, parameters.base, first.base, second.base, Int64(gradient.count))
  }
}

/// Scratch in which `Kernels.distribution` ranks tokens. One per thread.
package final class DistributionScratch {
  let words: UnsafeMutablePointer<UInt64>
  package let vocabularySize: Int

  package init(vocabularySize: Int) {
    self.vocabularySize = vocabularySize
    words = .allocate(capacity: 2 * vocabularySize + 16)
  }

  deinit { words.deallocate() }
}
