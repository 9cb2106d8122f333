// BenchmarkResult: the result of a benchmark, as JSON and as text.

package import Base
import Tensors

/// What to measure and how.
package struct BenchmarkOptions: Sendable {
  package var model: BenchmarkModel
  package var rollout: Workload
  package var training: Workload
  package var type: DataType
  /// Of bfloat16 products.
  package var products: ProductOrder
  package var threads: Int
  /// The number of timed runs, after one that is not timed. The figure is their median.
  package var runs: Int
  package var seed: UInt64
  package var microBatchTokens: Int
  package var isStreamed: Bool
  /// Whether a new LoRA adapter of rank 16 is trained.
  package var hasAdapter: Bool

  package init(
    model: BenchmarkModel, rollout: Workload, training: Workload, type: DataType, products: ProductOrder, threads: Int,
    runs: Int, seed: UInt64, microBatchTokens: Int, isStreamed: Bool = false, hasAdapter: Bool = false
  ) {
    self.model = model
    self.rollout = rollout
    self.training = training
    self.type = type
    self.products = products
    self.threads = threads
    self.runs = runs
    self.seed = seed
    self.microBatchTokens = microBatchTokens
    self.isStreamed = isStreamed
    self.hasAdapter = hasAdapter
  }
}

package struct BenchmarkResult: Sendable {
  /// A part of the work, measured alone.
  package struct Part: Sendable {
    package var name: String
    package var seconds: Double
    /// 10⁹ floating-point operations per second; nil if that has no meaning.
    package var gigaflops: Double?
    /// The limit for `gigaflops`; nil if the part has none of its own.
    package var ceiling: Double?

    var json: JSON {
      [
        "name": .string(name), "seconds": .double(seconds), "gflops": gigaflops.map { .double($0) } ?? .null,
        "ceiling": ceiling.map { .double($0) } ?? .null,
      ]
    }
  }

  package var name: String
  package var value: Double
  package var unit: String
  /// The limit for `value`, in the same unit. Each benchmark says what its limit is.
  package var ceiling: Double
  /// The most memory that the process used during the work, before the ceilings were measured.
  package var peakBytes: Int
  /// What was measured: the model, its workload, the settings.
  package var conditions: [JSON.Member]
  package var parts: [Part]
  /// Seconds of the timed runs, in order.
  package var times: [Double]
  /// The names and values of further limits, for example "fma_float32_gflops".
  package var limits: [(name: String, value: Double?)]
  /// The names and numbers of things that were counted.
  package var counts: [(name: String, value: Int)] = []
  /// SHA-256 of what was computed. It is the same for the same options on the same kind of processor.
  package var hash: String

  package var json: JSON {
    let measured: [JSON.Member] = [
      .init("name", .string(name)), .init("value", .double(value)), .init("unit", .string(unit)),
      .init("ceiling", .double(ceiling)), .init("share", .double(value / ceiling)),
      .init("peak_bytes", .int(peakBytes)),
    ]
    let details: [JSON.Member] = [
      .init("seconds", .array(times.map { .double($0) })),
      .init("parts", .array(parts.map(\.json))),
      .init("limits", .object(limits.map { .init($0.name, $0.value.map { .double($0) } ?? .null) })),
      .init("counts", .object(counts.map { .init($0.name, .int($0.value)) })),
      .init("result_sha256", .string(hash)), .init("arithmetic", .string(Arithmetic.description)),
    ]
    return .object(measured + conditions + details)
  }

  /// Some lines of text.
  package var text: String {
    let settings = conditions.map { "\($0.key) \($0.value.string ?? $0.value.text())" }.joined(separator: ", ")
    var lines = [
      "\(name): \(rounded(value)) \(unit), \(rounded(100 * value / ceiling)) % of the ceiling of \(rounded(ceiling))",
      settings, "peak memory \(rounded(Double(peakBytes) / 1e6)) MB",
    ]
    for part in parts {
      let speed = part.gigaflops.map { ", \(rounded($0)) GFLOP/s" } ?? ""
      let share = zip(part.gigaflops, part.ceiling).map { ", \(rounded(100 * $0 / $1)) %" } ?? ""
      lines.append("  \(part.name): \(rounded(1000 * part.seconds)) ms\(speed)\(share)")
    }
    for limit in limits { lines.append("  \(limit.name): \(limit.value.map(rounded) ?? "none")") }
    for count in counts { lines.append("  \(count.name): \(count.value)") }
    return lines.joined(separator: "\n")
  }
}

private func zip(_ a: Double?, _ b: Double?) -> (Double, Double)? {
  if let a, let b { (a, b) } else { nil }
}

/// The value with three significant digits.
private func rounded(_ value: Double) -> String {
  guard value.isFinite, value != 0 else { return "\(value)" }
  var unit = 1.0
  while abs(value) * unit < 100 { unit *= 10 }
  let digits = (value * unit).rounded() / unit
  return unit == 1 ? "\(Int(digits))" : "\(digits)"
}
