// GEMMBenchmark: the model's matrix products as the engine computes them, compared with the multiply-add peak.

import Base
import Ceilings
import LanguageModel
import Platform
import Tensors

/// Measures each product of the model's forward pass, with as many rows as one thread has in a rollout.
///
/// In the value, each shape has the weight of its share of a token's arithmetic.
package func benchmarkGEMM(_ options: BenchmarkOptions) throws -> BenchmarkResult {
  let rows = max(1, min(Generator.batchRowsMax, options.rollout.sequences / options.threads))
  let shapes = MatrixShape.all(of: options.model.configuration)
  let peak = try peakMultiplyAdds(options)
  var parts: [BenchmarkResult.Part] = []
  var (engineSeconds, librarySeconds, flops) = (0.0, 0.0, 0.0)
  for shape in shapes {
    let work = shape.flops * Double(rows * options.threads) / Double(shape.uses)
    for path in [MatrixPath.engine, .library] {
      let seconds = try shape.seconds(path, rows: rows, type: options.type, threads: options.threads)
      let name = "\(path == .engine ? "engine" : "library") \(shape.name) [\(rows), \(shape.inner)] x \(shape.columns)"
      parts.append(.init(name: name, seconds: seconds, gigaflops: work / seconds / 1e9))
      if path == .engine { engineSeconds += seconds * Double(shape.uses) }
      if path == .library { librarySeconds += seconds * Double(shape.uses) }
    }
    flops += work * Double(shape.uses)
  }
  return BenchmarkResult(
    name: "gemm", value: flops / engineSeconds / 1e9, unit: "GFLOP/s", ceiling: peak.used,
    peakBytes: Machine.peakResidentBytes, conditions: options.conditions + [.init("rows_per_thread", .int(rows))],
    parts: parts, times: [engineSeconds],
    limits: [("onednn_gflops", flops / librarySeconds / 1e9)] + peak.all
      + [("memory_gigabytes_per_second", try Ceilings.memoryReads(threads: options.threads))],
    hash: "")
}

/// The multiply-add peak for the type that is multiplied, and the peaks for both types.
///
/// A processor without bfloat16 instructions multiplies bfloat16 as float32.
func peakMultiplyAdds(_ options: BenchmarkOptions) throws -> (used: Double, all: [(name: String, value: Double?)]) {
  let float = try Ceilings.multiplyAdds(.float32, threads: options.threads)
  let half = try Ceilings.multiplyAdds(.bfloat16, threads: options.threads)
  let used = options.type == .bfloat16 ? half ?? float : float
  return (used ?? .infinity, [("fma_float32_gflops", float), ("fma_bfloat16_gflops", half)])
}
