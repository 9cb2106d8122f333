// DistributionTests: which tokens are kept, their probabilities, and which token is drawn.

import Base
import Glibc
import Tensors
import Testing

/// Logits with ties, as quantised weights make them.
private func logits(_ random: inout RandomSequence, _ count: Int) -> [Float] {
  random.floats(count, scale: 5).map { ($0 * 8).rounded() / 8 }
}

@Suite struct `The token distribution` {
  @Test(arguments: [1, 2, 15, 16, 17, 48, 333, 5000])
  func `has the kept tokens and probabilities of the readable reference`(_ size: Int) throws {
    var random = choices(UInt64(size))
    let scratch = DistributionScratch(vocabularySize: size)
    for topK in [0, 1, 7, 50] {
      for topP in [1, 0.95, 0.5, 0.01] as [Float] {
        for temperature in [0.5, 1, 4] as [Float] {
          let row = logits(&random, size)
          let z = Floats(row)
          let d = try #require(
            Kernels.best.distribution(
              of: z, inverseTemperature: 1 / temperature, topK: topK, topP: topP, scratch: scratch))
          let expected = Reference.probabilities(
            doubles(row), temperature: Double(temperature), topK: topK, topP: Double(topP))
          let found = (0..<size).map { exp(d.logprob(z: z[$0])) }
          #expect(worst(found, expected) < 3e-6, "top-k \(topK), top-p \(topP), temperature \(temperature)")
          #expect(zip(found, expected).allSatisfy { ($0 == 0) == ($1 == 0) }, "top-k \(topK), top-p \(topP)")
          let entropy = expected.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
          #expect(abs(Double(d.entropy) - entropy) < 1e-5)
        }
      }
    }
  }

  @Test(arguments: [0, 0.01, 1, 20])
  func `keeps exactly the tokens that a sorted list gives, however flat it is`(_ scale: Double) throws {
    var random = choices(11)
    let size = 20_011
    let scratch = DistributionScratch(vocabularySize: size)
    let row = random.floats(size, scale: scale).map { ($0 * 4096).rounded() / 4096 }
    for (topP, topK) in [(0.05, 0), (0.5, 0), (0.95, 0), (0.9999, 0), (0.95, 9000), (1, 12_345)] as [(Float, Int)] {
      let z = Floats(row)
      _ = try #require(
        Kernels.best.distribution(of: z, inverseTemperature: 1, topK: topK, topP: topP, scratch: scratch))
      // The definition, with weights in units of 2^-40, as in the kernel.
      var ranked = row.indices.sorted { (-row[$0], $0) < (-row[$1], $1) }
      if topK > 0 { ranked = Array(ranked.prefix(topK)) }
      let maximum = row.max() ?? 0
      let shares = Floats(count: ranked.count)
      Kernels.best.exponential(Floats(ranked.map { row[$0] - maximum }), into: shares)
      let weights = shares.array.map { Int64((Double($0) * 0x1p40).rounded(.toNearestOrEven)) }
      let limit = Int64((Double(topP) * Double(weights.reduce(0, +))).rounded(.up))
      var before: Int64 = 0
      var kept = [Bool](repeating: false, count: size)
      for (token, weight) in zip(ranked, weights) where topP == 1 || before < limit {
        kept[token] = true
        before += weight
      }
      let wrong = kept.indices.count { kept[$0] != (z[$0] != -.infinity) }
      #expect(wrong == 0, "top-p \(topP), top-k \(topK)")
    }
  }

  @Test func `gives the token where the cumulative probability exceeds the number, and never a dropped one`() throws {
    var random = choices(9)
    for size in [3, 48, 1000] {
      let row = logits(&random, size)
      let z = Floats(row)
      let d = try #require(
        Kernels.best.distribution(
          of: z, inverseTemperature: 1, topK: 0, topP: 0.8, scratch: DistributionScratch(vocabularySize: size)))
      let p = Reference.probabilities(doubles(row), temperature: 1, topK: 0, topP: 0.8)
      for _ in 0..<500 {
        let uniform = random.uniform()
        let token = Int(Kernels.best.sample(z, d, uniform: uniform))
        let before = p[..<token].reduce(0, +)
        #expect(p[token] > 0)
        #expect(before <= uniform + 1e-6 && uniform <= before + p[token] + 1e-6)
      }
      #expect(p[Int(Kernels.best.sample(z, d, uniform: 1.0.nextDown))] > 0)
      #expect(p[Int(Kernels.best.sample(z, d, uniform: 0))] > 0)
    }
  }

  @Test func `gives greedy sampling the lowest index of the largest value`() {
    #expect(Kernels.best.largest(Floats([1, 3, 2, 3])) == 1)
    #expect(Kernels.best.largest(Floats([Float](repeating: -5, count: 40))) == 0)
  }

  @Test func `reports a logit that is not finite`() {
    for value in [Float.nan, .infinity, -.infinity] {
      for place in [0, 20, 36] {
        let z = Floats(count: 37)
        z[place] = value
        let d = Kernels.best.distribution(
          of: z, inverseTemperature: 1, topK: 0, topP: 1, scratch: DistributionScratch(vocabularySize: 37))
        #expect(d == nil)
      }
    }
  }
}
