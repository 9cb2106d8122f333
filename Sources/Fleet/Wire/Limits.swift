// Limits: the bound of a frame.

package import Base

extension Limits {
  /// The payload of a frame. The largest messages are chunks of weights and parts of batches, both much smaller.
  package static let frameBytes = 16 << 20
}
