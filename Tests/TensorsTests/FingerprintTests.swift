// A fingerprint depends on every bit.

import Tensors
import Testing

@Suite struct FingerprintTests {
  @Test func `equal floats have equal fingerprints, and every changed bit changes the fingerprint`() {
    for count in [1, 7, 8, 9, 64, 65] {
      let values = (0..<count).map { Float($0) + 0.5 }
      let whole = Floats(values).fingerprint
      #expect(Floats(values).fingerprint == whole)
      for index in 0..<count {
        for bit in [0, 13, 31] {
          var changed = values
          changed[index] = Float(bitPattern: values[index].bitPattern ^ 1 << bit)
          #expect(Floats(changed).fingerprint != whole, "bit \(bit) of value \(index) of \(count)")
        }
      }
    }
  }

  @Test func `order, number and the sign of zero change the fingerprint`() {
    #expect(Floats([1, 2, 3]).fingerprint != Floats([2, 1, 3]).fingerprint)
    #expect(Floats([0, 0]).fingerprint != Floats([0, 0, 0]).fingerprint)
    #expect(Floats([0]).fingerprint != Floats([-0.0]).fingerprint)
  }
}
