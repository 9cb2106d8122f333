// AdapterInitialization: the parameters of a new adapter, as a function of a seed.
//
// As in PEFT: A is uniform between ±1/√inputs (Kaiming's distribution with a = √5), B is zero. So a new adapter adds
// zeroes, and the first version computes what the base computes. Each value's random numbers depend only on its tensor
// and its index there.

import Base
package import Tensors

/// All parameters of a new adapter, in layout order.
package func initialAdapter(_ layout: AdapterLayout, seed: UInt64) -> Floats {
  let parameters = Floats(count: layout.tensors.count)
  let key = RandomPurpose.initialAdapter.key(seed: seed)
  for (index, tensor) in layout.tensors.stored.enumerated() where tensor.name.hasSuffix(AdapterLayout.downSuffix) {
    let values = parameters[tensor.range]
    let bound = 1 / Double(tensor.shape[1]).squareRoot()
    for place in 0..<values.count {
      let low = UInt32(truncatingIfNeeded: place)
      let high = UInt32(truncatingIfNeeded: place >> 32)
      let uniform = Philox.uniform(counter: SIMD4(low, high, UInt32(truncatingIfNeeded: index), 0), key: key)
      values[place] = Float(bound * (2 * uniform - 1))
    }
  }
  return parameters
}
