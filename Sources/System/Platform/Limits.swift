// Limits: every bound of the outside world's queues and waits, with its reason.
//
// Reaching one is an error or an event, never growth.

package import Base

package enum PlatformLimits {
  /// Bytes taken from one socket per turn of the loop: enough that a call's cost vanishes (64 KiB at loopback speed is
  /// some 10 µs), little enough that one busy peer cannot starve the others.
  package static let receiveBytes = 65_536
  /// Connections taken from one listener per turn.
  package static let acceptsPerTurn = 64
  /// Connections the kernel may hold before we take them: every worker of a large fleet reconnecting at once.
  package static let listenBacklog: Int32 = 1024
  /// How long a listener rests when the process has no descriptor left. Without a rest it would spin.
  package static let acceptRest = Instant.Span.milliseconds(500)
  /// How long `Connection.finish()` waits for the peer to read what is queued and hang up.
  package static let linger = Instant.Span.seconds(5)
  /// Keepalive probes; see `ConnectionLimits.probeAfterSeconds` for why the number hardly matters.
  package static let lostProbes: Int32 = 3
  /// How long a caller may take to prove that it has the key. A handshake takes a round trip and some milliseconds.
  package static let handshake = Instant.Span.seconds(5)
  /// Callers that have not proved it yet, from one address and from all. One more makes the oldest give way: an honest
  /// one is done within milliseconds, so the oldest is the idlest. Each costs up to 50 kB once it has begun to speak.
  package static let strangersPerAddress = 256
  package static let strangers = 1024
  /// What everybody has before giving way: far more than it takes to read a first message that has come.
  package static let strangerGrace = Instant.Span.milliseconds(250)
  /// Of the descriptors that the process may open, the share that strangers may hold: files must still open.
  package static let strangersShare = 4
  /// How often callers who were turned away are told of in the log; in between they are counted.
  package static let refusalReport = Instant.Span.seconds(10)
  /// TLS records under one key, after which it is changed. AES-GCM is safe for 2^24.5 of them (RFC 8446, 5.5).
  package static let recordsPerKey = 1 << 23
  /// Plaintext bytes in one TLS record (RFC 8446, 5.1).
  package static let recordBytes = 16_384
  /// A key file has some 200.
  package static let keyFileBytes = 4096
  /// Messages in an inbox. Its senders are this process's own threads, which never have that much work out.
  package static let inboxMessages = 65_536
  /// What `Files.read` accepts unless told otherwise: settings, tokenizers, question sets. Weights are mapped instead.
  package static let fileBytes = 1 << 30
  /// Addresses that a host name may have; the rest are not tried.
  package static let addressesPerHost = 8
}

/// What a connection may hold, and how long it may stay silent.
package struct ConnectionLimits: Equatable, Sendable {
  /// Bytes queued but not yet taken by the kernel. Above it the connection fails with `.queueFull`.
  package var queuedBytes: Int
  /// How long sent bytes may stay unacknowledged, or the peer's window shut, before the kernel gives up. A peer that is
  /// paused or computes for longer without reading is cut off; it will connect again.
  package var unacknowledged: Instant.Span
  /// Idle seconds before the kernel probes the peer, then between probes. A peer that answers none is given up when
  /// `unacknowledged` has passed: with that set, Linux does not count probes.
  package var probeAfterSeconds: Int32
  package var probeEverySeconds: Int32

  package init(
    queuedBytes: Int = 256 << 20, unacknowledged: Instant.Span = .seconds(120), probeAfterSeconds: Int32 = 20,
    probeEverySeconds: Int32 = 5
  ) {
    self.queuedBytes = queuedBytes
    self.unacknowledged = unacknowledged
    self.probeAfterSeconds = probeAfterSeconds
    self.probeEverySeconds = probeEverySeconds
  }
}
