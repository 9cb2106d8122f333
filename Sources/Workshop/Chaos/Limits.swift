// Limits: the times of `ttrl-dev chaos`.

package import Base

extension Limits {
  /// The mean time between two disturbances in a long run, and the shortest mean that a short run gets.
  package static let chaosPause = Instant.Span.milliseconds(2500)
  package static let chaosPauseLeast = Instant.Span.milliseconds(100)
  /// How long a disturbance waits for its victim. Every process is started again in less time.
  static let chaosVictim = Instant.Span.seconds(20)
}
