// Limits: every bound of the system, with its reason. Reaching one is an error or an effect, never growth.

package enum Limits {
  /// Buckets of gradients under way between learner ranks: enough that adding one overlaps with the transfer of the
  /// next, few enough that what arrives stays small beside the gradient.
  package static let bucketsInFlight = 4
  /// Bytes queued towards one peer before the connection is given up as stuck.
  package static let outgoingBytes = 256 << 20
  /// How long an attempt to connect may take.
  package static let connectDeadline = Instant.Span.seconds(10)
  /// Times in a row that a process that was never in lets its key be refused before it gives up: enough that somebody
  /// else on the port for a moment does not end it.
  package static let keyRefusals = 3
  /// Restarts of one process within `restartWindow` before the supervisor gives up.
  package static let restarts = 5
  package static let restartWindow = Instant.Span.seconds(60)
  /// From one disturbance of `ttrl chaos` to the next, in the mean: in a long run, and at least.
  package static let chaosPause = Instant.Span.milliseconds(2500)
  package static let chaosPauseLeast = Instant.Span.milliseconds(100)
  /// How long it waits for a victim: longer than anybody takes to be started again.
  package static let chaosVictim = Instant.Span.seconds(20)
  /// How often a process on another machine is told that it is still wanted, and the silence after which it ends: as
  /// for workers, several lost beats. One that is to end gets the grace before it is killed.
  package static let attendBeat = Instant.Span.seconds(2)
  package static let attendSilence = Instant.Span.seconds(15)
  package static let attendGrace = Instant.Span.seconds(3)
  /// First and longest pause before a process on a machine that cannot be reached is tried again.
  package static let reachAgainFirst = Instant.Span.milliseconds(500)
  package static let reachAgainLongest = Instant.Span.seconds(15)
  /// A start that outlived this was a good one: the pauses begin anew.
  package static let goodStart = Instant.Span.seconds(20)
  /// How long a machine may take to answer before the learner's ranks are started without it.
  package static let probe = Instant.Span.seconds(12)
}
