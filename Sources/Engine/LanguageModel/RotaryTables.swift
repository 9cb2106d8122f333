// RotaryTables: the rotary positions of each layer of a model.
//
// They are made when a model is first prepared, and all policy versions share them. For hundreds of thousands of
// positions they take a second and a hundred megabytes, which a plan that only counts bytes does not need.

import Synchronization
import Tensors

final class RotaryTables: Sendable {
  private let configuration: ModelConfiguration
  private let made = Mutex<[RotaryTable]?>(nil)

  init(_ configuration: ModelConfiguration) { self.configuration = configuration }

  /// By layer. Layers with the same positions share one table.
  var byLayer: [RotaryTable] {
    made.withLock { made in
      let tables = made ?? Self.tables(configuration)
      made = tables
      return tables
    }
  }

  private static func tables(_ configuration: ModelConfiguration) -> [RotaryTable] {
    func table(_ rotary: ModelConfiguration.Rotary, dimension: Int) -> RotaryTable {
      RotaryTable(
        positions: configuration.maxPositions, dimension: dimension, theta: Double(rotary.theta),
        scaling: rotary.scaling, queryScaling: configuration.queryScaling)
    }
    let usual = ModelConfiguration.Rotary(theta: configuration.ropeTheta, scaling: configuration.ropeScaling)
    let whole = table(usual, dimension: configuration.rotatedDimension)
    let windowed = configuration.windowRotary.map { table($0, dimension: configuration.rotatedDimension) }
    let none = table(.init(theta: 1), dimension: 0)
    return configuration.layerKinds.map { kind in
      guard case .attention(let reach) = kind, reach.isRotated else { return none }
      return reach.window == nil ? whole : windowed ?? whole
    }
  }

  var byteCount: Int {
    let tables = configuration.windowRotary == nil ? 1 : 2
    // Cosines and sines, of half of the rotated dimensions each.
    return tables * configuration.maxPositions * configuration.rotatedDimension * 4
  }
}
