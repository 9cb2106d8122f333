// Limits: the bounds of queues and waits of the operating system and the network, each with its reason.
//
// Reaching one is an error or an event; nothing grows past it.

package import Base

package enum PlatformLimits {
  /// Bytes that are read from one socket per turn of the loop: enough that the cost of a call is small (64 KiB at
  /// loopback speed is about 10 µs), and few enough that one busy peer cannot starve the others.
  static let receiveBytes = 65_536
  /// Connections that are accepted from one listener per turn.
  static let acceptsPerTurn = 64
  /// Connections that the kernel holds until they are accepted: all workers of a large fleet can reconnect at once.
  static let listenBacklog: Int32 = 1024
  /// How long an attempt to connect can take, including the handshake.
  package static let connectDeadline = Instant.Span.seconds(10)
  /// How long a listener pauses when the process has no descriptor left. Without a pause it would spin.
  static let acceptRest = Instant.Span.milliseconds(500)
  /// How long `Connection.finish()` waits for the peer to read what is queued and to close.
  static let linger = Instant.Span.seconds(5)
  /// Keepalive probes. The number has almost no effect; see `ConnectionLimits.probeAfterSeconds`.
  static let lostProbes: Int32 = 3
  /// How long a caller has to prove that it has the key. A handshake takes one round trip and some milliseconds.
  package static let handshake = Instant.Span.seconds(5)
  /// Callers that have not proved it yet, from one address and from all addresses. One more closes the oldest: a
  /// member's handshake takes milliseconds, so the oldest is most likely idle. Each costs up to 50 kB once it has sent
  /// something.
  package static let strangersPerAddress = 256
  static let strangers = 1024
  /// How long every caller stays before it can be closed for another: much longer than it takes to read a first message
  /// that has arrived.
  package static let strangerGrace = Instant.Span.milliseconds(250)
  /// Strangers hold at most one in so many of the process's descriptors, because files must still open.
  static let strangersShare = 4
  /// How often refused callers are reported in the log; between two reports they are counted.
  static let refusalReport = Instant.Span.seconds(10)
  /// TLS records under one traffic key; then the key is changed. AES-GCM is safe for 2^24.5 records (RFC 8446, 5.5).
  package static let recordsPerKey = 1 << 23
  /// Plaintext bytes in one TLS record (RFC 8446, 5.1).
  static let recordBytes = 16_384
  /// Bytes of a key file; a usual one has about 200.
  package static let keyFileBytes = 4096
  /// Messages in an inbox. Its senders are this process's own threads, which never have that much work in progress.
  static let inboxMessages = 65_536
  /// What `Files.read` accepts by default: question sets, and files that ttrl has written. Other files of users have
  /// limits of their own (Base/Limits.swift). Weights are mapped.
  package static let fileBytes = 1 << 30
  /// Addresses of a host name that are tried; further ones are ignored.
  static let addressesPerHost = 8
}

/// How much a connection can queue, and how long its peer can stay silent.
package struct ConnectionLimits: Equatable, Sendable {
  /// Bytes that the kernel has not taken yet. Above this the connection fails with `.queueFull`.
  package var queuedBytes: Int
  /// How long sent bytes can stay unacknowledged, or the peer's window closed, before the kernel gives up. A peer that
  /// does not read for longer, because it is paused or computes, is cut off; it connects again.
  package var unacknowledged: Instant.Span
  /// Idle seconds before the kernel probes the peer, and seconds between probes. A peer that answers no probe is given
  /// up after `unacknowledged`: when that is set, Linux does not count probes.
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
