// Limits: the times of the supervisor, of processes on other machines, and of progress on a terminal.

import Base

extension Limits {
  /// How often `ttrl reach` tells a process on another machine that it is still wanted, and the silence after which it
  /// ends: several lost beats, as for workers. A process that must end is killed after the grace.
  static let attendBeat = Instant.Span.seconds(2)
  static let attendSilence = Instant.Span.seconds(15)
  static let attendGrace = Instant.Span.seconds(3)
  /// The first and the longest pause before a process on a machine that cannot be reached is started again.
  static let reachAgainFirst = Instant.Span.milliseconds(500)
  static let reachAgainLongest = Instant.Span.seconds(15)
  /// A process that ran longer than this started well: the count of its deaths, and with it the pauses, begins anew.
  static let goodStart = Instant.Span.seconds(20)
  /// How long a machine has to answer before the learner's ranks are started without it.
  static let probe = Instant.Span.seconds(12)
  /// How long a finished run's learner has to write its last checkpoint: that of the largest model on a slow disk.
  static let lastCheckpoint = Instant.Span.seconds(600)
  /// A command that ends before this shows no progress. Then a line is drawn again so often on a terminal, and
  /// elsewhere added so often: by a command that only samples, and by a run whose steps have their own lines.
  static let quiet = Instant.Span.seconds(2)
  static let progressRedrawn = Instant.Span.milliseconds(250)
  static let progressLine = Instant.Span.seconds(15)
  static let progressLineOfRun = Instant.Span.seconds(60)
}
