// Limits: the bound on attempts with a key that the coordinator refuses.

import Base

extension Limits {
  /// How many times in a row the coordinator can refuse the key of a process that it has never admitted, before that
  /// process gives up. More than one: another program can hold the coordinator's port for a moment.
  static let keyRefusals = 3
}
