// AttentionBackward: the backward pass of softmax attention in one layer.
//
// Threads share the key/value heads of the prompts, because their gradients are separate. Within one head, the
// responses add to the gradients of their prompt in a fixed order.

import Base
import Tensors

struct AttentionBackward: MixerBackward {
  let pass: BackwardPass
  let weights: PreparedAttention
  let names: ParameterLayout.Attention
  let kept: AttentionBuffers

  private var heads: Heads { pass.plan.heads }
  private var kernels: Kernels { pass.kernels }
  private var dattention: Matrix { pass.scratch.dmixed(width: heads.queryWidth) }
  private var dqkv: Matrix { pass.scratch.dprojected(width: heads.width) }

  var projectedWidth: Int { heads.width }
  var projection: LinearWeights { weights.queryKeyValue }
  var projections: [Int] { [names.query, names.key, names.value] }

  func output(_ dy: Operand, _ rows: Range<Int>, _ room: Range<Int>) throws(ModelError) {
    let dout = dattention
    let dh = try pass.inputGradient(dy, rows.count, weights.output, dout[rows: room])
    try pass.weights(dy, dh, rows.count, x: kept.output[rows: room], weights.output, [names.output])
    guard let ungated = kept.ungated else { return }
    let (gates, dgates) = (OutputGates(kept.queryKeyValue, heads: heads), dqkv)
    pass.team.share(rows.count, unit: 8) { part, _ in
      let part = rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound
      kernels.gateBackward(ungated[rows: part], by: gates[rows: part], dy: dout[rows: part], dgates: dgates[rows: part])
    }
  }

  func mix() {
    guard let statistics = kept.statistics else { return }
    let (dout, dqkv) = (dattention, dqkv)
    let prompts = pass.batch.groups
    // By prompt and then by head: as many adjacent pieces for every thread as take the same time.
    let sums = runningSums(prompts.flatMap { Array(repeating: products($0), count: heads.keyValue) })
    let threads = min(pass.team.size, sums.count)
    let all = sums.last ?? 0
    pass.team.run(threads) { thread in
      for (piece, sum) in sums.enumerated() where (sum - 1) * threads / all == thread {
        let head = piece % heads.keyValue
        for segment in prompts[piece / heads.keyValue] {
          kernels.attentionBackward(
            kept.queryKeyValue, heads: heads, window: weights.window, groups: head..<head + 1, prefix: segment.prefix,
            own: segment.own, statistics: statistics, dout: dout, dqkv: dqkv, scratch: pass.scratch.mixer[thread])
        }
      }
    }
  }

  /// How many pairs of a query and a key the segments of a prompt have, at least 1.
  private func products(_ segments: [Segment]) -> Int {
    segments.reduce(1) { $0 + $1.own.count * ($1.prefix.count + $1.own.count / 2) }
  }

  private func runningSums(_ values: [Int]) -> [Int] {
    var sum = 0
    return values.map {
      sum += $0
      return sum
    }
  }

  /// Undoes rotation and the norms of queries and keys. Threads share the rows, unless there are such norms: all rows
  /// add to the gradients of those.
  func finish(_ rows: Range<Int>) {
    let dqkv = dqkv[rows: rows]
    let raw = kept.rawQueryKeyValue.map { $0[rows: rows] }
    let hasNorms = weights.finish.queryNorm != nil
    pass.team.share(rows.count, unit: hasNorms ? rows.count : 8) { part, _ in
      kernels.finishQueryKeyValueBackward(
        dqkv[rows: part], heads: heads, finish: weights.finish, rows: pass.batch.rows,
        range: rows.lowerBound + part.lowerBound..<rows.lowerBound + part.upperBound, raw: raw.map { $0[rows: part] },
        dqueryNorm: names.queryNorm.map(pass.computedTensor), dkeyNorm: names.keyNorm.map(pass.computedTensor))
    }
    addBiases(dqkv)
  }

  private func addBiases(_ dqkv: Matrix) {
    guard let query = names.queryBias.flatMap(pass.tensor), let key = names.keyBias.flatMap(pass.tensor),
      let value = names.valueBias.flatMap(pass.tensor)
    else { return }
    let sums = Floats(count: dqkv.columns)
    kernels.addColumns(dqkv, to: sums)
    let keyWidth = heads.keyWidth
    let queryWidth = dqkv.columns - 2 * keyWidth
    kernels.add(sums[0..<queryWidth], to: query)
    kernels.add(sums[queryWidth..<queryWidth + keyWidth], to: key)
    kernels.add(sums[queryWidth + keyWidth..<queryWidth + 2 * keyWidth], to: value)
  }
}
