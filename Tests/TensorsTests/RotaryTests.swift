// The rotary table of each kind of scaling, against numbers that transformers computed.

import Foundation
import Tensors
import Testing

@Suite struct RotaryTests {
  /// A head of 16 dimensions; cosines, then sines of position 77, from Qwen3RotaryEmbedding of transformers 5.24.
  static let golden: [(theta: Double, scaling: YaRNScaling, table: [Double])] = [
    (
      10000, YaRNScaling(factor: 4, originalMaxPositions: 64),
      [
        -0.03526909, 0.947776, -0.8646744, 0.9340975, 1.117598, 1.13652, 1.138419, 1.138608, 1.138083, -0.6310291,
        -0.7408206, 0.6511059, 0.217835, 0.06926996, 0.02191726, 0.006931233,
      ]
    ),
    (
      1e6,
      YaRNScaling(
        factor: 8, originalMaxPositions: 512, betaFast: 16, betaSlow: 2, scales: (each: 1, all: 0.5), truncates: false),
      [
        -0.03389226, 0.9296499, 0.9247027, 1.092578, 1.094129, 1.094178, 1.09418, 1.09418, 1.093655, 0.5770449,
        0.58494, 0.05919397, 0.01053132, 0.001872791, 0.0003330347, 5.922288e-05,
      ]
    ),
    (
      500, YaRNScaling(factor: 2.5, originalMaxPositions: 100, attentionFactor: 1.25),
      [
        -0.03871879, 0.3127912, 0.4900948, -0.6994797, 0.2402193, 1.007507, 1.197343, 1.238802, 1.2494, -1.210232,
        -1.149916, -1.035967, 1.226701, 0.7398849, 0.3589832, 0.1669408,
      ]
    ),
  ]

  /// 1e-5: float32 frequencies there, float64 here, times 77.
  @Test(arguments: golden.indices) func `YaRN's table is that of transformers`(_ index: Int) {
    let (theta, scaling, expected) = Self.golden[index]
    let table = RotaryTable(positions: 78, dimension: 16, theta: theta, scaling: .yarn(scaling))
    let found = table.cosines.row(77).array + table.sines.row(77).array
    for (found, expected) in zip(found, expected) { #expect(abs(Double(found) - expected) < 1e-5, "\(found)") }
  }

  @Test func `strange values give a table without a trap`() {
    for theta in [1, 1e-30, 1e30] {
      for positions in [1, 1 << 30] {
        let scaling = YaRNScaling(factor: 1e-30, originalMaxPositions: positions, betaFast: 1e-30, betaSlow: 1e30)
        #expect(RotaryTable(positions: 2, dimension: 2, theta: theta, scaling: .yarn(scaling)).cosines.rows == 2)
      }
    }
  }
}
