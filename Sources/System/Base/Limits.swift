// Limits: the bounds that several modules share, each with its reason. Reaching one is an error or an effect; nothing
// grows past it. A bound of one module is in an extension beside its code, in the module's own Limits.swift.

package enum Limits {
  /// Buckets of gradients in transfer between learner ranks: enough that adding one overlaps with the transfer of the
  /// next, and few enough that the buffers for arriving buckets are small compared with the gradient. The memory plan
  /// counts those buffers.
  package static let bucketsInFlight = 4
  /// Restarts of one process within `restartWindow` before the supervisor gives up. The schedule of `ttrl-dev chaos`
  /// does not exceed it.
  package static let restarts = 5
  package static let restartWindow = Instant.Span.seconds(60)
}
