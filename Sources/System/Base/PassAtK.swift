// PassAtK: what k samples can do, estimated without bias from n samples of which c are right.

/// The chance that at least one of k samples is right: 1 − C(n−c, k)/C(n, k) (Chen et al. 2021, arXiv 2107.03374).
package func passAt(_ k: Int, _ right: Int, _ count: Int) -> Double { 1 - passHat(k, count - right, count) }

/// The chance that all of k samples are right: C(c, k)/C(n, k) (Yao et al. 2024, arXiv 2406.12045), as a product that
/// cannot overflow.
package func passHat(_ k: Int, _ right: Int, _ count: Int) -> Double {
  (0..<k).reduce(1) { $0 * Double(max(right - $1, 0)) / Double(count - $1) }
}
