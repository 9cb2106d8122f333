// ProductOrderTests: every instruction set computes bfloat16 products in the same two orders, bit for bit.
//
// `ttrl-dev products` compares more elements.

import Base
import CKernels
import CSoftwareTiles
import Tensors
import Testing

@Suite struct `The orders of bfloat16 products` {
  @Test(arguments: ProductOrder.allCases)
  func `every instruction set computes the bits of the readable form`(_ order: ProductOrder) throws {
    var elements = 0
    for seed in 0..<UInt64(120) {
      let product = RandomProduct(seed: seed)
      let expected = product.expected(order)
      for kernels in Kernels.available {
        let found = try product.results(kernels, order)
        for (kind, (found, expected)) in zip(["forward", "input", "weights"], zip(found, expected)) {
          let count = differences(found, expected)
          #expect(count == 0, "seed \(seed), \(kernels.name), \(kind), [\(product.rows), \(product.inner)]")
        }
      }
      elements += product.rows * product.columns
    }
    #expect(elements > 150_000)
  }

  @Test func `threads change no bit`() throws {
    for (seed, order) in zip(UInt64(1000)..., [ProductOrder.tile, .pair]) {
      let product = RandomProduct(seed: seed)
      let alone = try product.results(.best, order)
      for threads in 2...3 {
        #expect(try zip(product.results(.best, order, threads: threads), alone).allSatisfy { differences($0, $1) == 0 })
      }
    }
  }

  @Test func `the blocks around AMX's instructions compute the bits of the readable form`() {
    let scratch = Scratch()
    for seed in 0..<UInt64(60) {
      let product = RandomProduct(seed: seed)
      let expected = product.expected(.tile)
      #expect(differences(scratch.product(product, adds: true), expected[0]) == 0, "seed \(seed)")
      #expect(differences(scratch.product(product, adds: false), expected[1]) == 0, "seed \(seed)")
    }
  }

  @Test func `a zero that fills up the last step is part of the order`() {
    // The sum before it is -0, because the only product is too small and negative; a further +0 makes it +0.
    let (small, zero) = ([Float(-0x1p-100)], [Float(0x1p-100)])
    #expect(ProductOrder.pair.sum(small, zero, from: -0.0).bitPattern == 0x8000_0000)
    #expect(ProductOrder.pair.sum(small + [0, 0, 0], zero + [0, 0, 0], from: -0.0).bitPattern == 0)
    // An infinite value is not multiplied with the zeroes that fill up a step.
    #expect(ProductOrder.tile.sum([.infinity], [1], from: 0) == .infinity)
  }

  @Test func `an order is not the other one, nor that of float32`() {
    let product = RandomProduct(seed: 3)
    let (tile, pair) = (product.expected(.tile), product.expected(.pair))
    #expect(differences(tile[1], pair[1]) > 0)
  }
}

/// Memory for the product for AMX, whose instructions are C here.
private final class Scratch {
  private let floats = UnsafeMutablePointer<Float>.allocate(capacity: Int(TTRL_MULTIPLY_SCRATCH))

  init() { floats.initialize(repeating: 0, count: Int(TTRL_MULTIPLY_SCRATCH)) }

  deinit { floats.deallocate() }

  func product(_ product: RandomProduct, adds: Bool) -> [Float] {
    var out = product.initial
    let left = product.left.map(half)
    let columns = product.columns
    let right = (0..<product.inner * columns).map { half(product.right[$0 % columns * product.inner + $0 / columns]) }
    left.withUnsafeBufferPointer { left in
      right.withUnsafeBufferPointer { right in
        out.withUnsafeMutableBufferPointer { out in
          guard let a = left.baseAddress, let b = right.baseAddress, let result = out.baseAddress else { return }
          ttrl_multiply_software_tiles(
            ttrl_left(values: a, stride: Int64(product.inner), is_transposed: false),
            ttrl_right(values: b, inner: Int64(product.inner), columns: Int64(columns), layout: TTRL_ROW_MAJOR),
            Int64(product.rows), 0, Int64((columns + 15) / 16), result, Int64(columns), adds, floats)
        }
      }
    }
    return out
  }

  private func half(_ value: Float) -> UInt16 { UInt16(value.bitPattern >> 16) }
}
