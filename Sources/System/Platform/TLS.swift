// TLS: encryption and mutual authentication of one connection: bytes in, bytes out.
//
// TLS 1.3 with an external pre-shared key (RFC 8446, 2.2 and 4.2.11) and X25519, so that a key that is stolen later
// does not decrypt earlier recordings. OpenSSL does all of it; this file only restricts it. There is one cipher suite
// and one group, and nothing is negotiated. There are no certificates, no session tickets and no early data. Both sides
// prove that they have the key before either trusts a byte of the other. A client's first message has a MAC under the
// key, so a stranger costs the server one hash and no public-key arithmetic. Its last message proves that the first was
// not a recording.
//
// Not here: sockets, deadlines and queues (Connection), and the number of strangers (Listener).

import Base
import COpenSSL

/// What all connections of a process share: its keys, and what OpenSSL has to know.
package final class TLSContext {
  package private(set) var ring: KeyRing
  fileprivate let recordsPerKey: Int
  fileprivate let context: OpaquePointer
  /// The names by which clients have said which key they have, the latest last. OpenSSL reads one after the callback
  /// has returned, so the memory must stay valid.
  private var identities: [UnsafeMutableBufferPointer<UInt8>] = []

  /// The suite that the key belongs to: TLS_AES_128_GCM_SHA256, by its number in the standard.
  fileprivate static let suite: [UInt8] = [0x13, 0x01]
  private static let suiteName = "TLS_AES_128_GCM_SHA256"
  fileprivate static let identityPrefix = "ttrl-key-"

  /// - Parameters:
  ///   - ring: the keys of this side. The other side needs the first one, or offers one of them.
  ///   - recordsPerKey: the number of records after which a sender changes its traffic key.
  /// - Throws: `.openSSL` if the library does not support this.
  package init(_ ring: KeyRing, recordsPerKey: Int = PlatformLimits.recordsPerKey) throws(PlatformError) {
    self.ring = ring
    self.recordsPerKey = recordsPerKey
    guard let context = SSL_CTX_new(TLS_method()) else {
      throw .openSSL(operation: "begin", reason: takeErrors().text)
    }
    self.context = context
    guard ttrl_ssl_set_versions(context, TLS1_3_VERSION, TLS1_3_VERSION) == 1,
      SSL_CTX_set_ciphersuites(context, Self.suiteName) == 1, ttrl_ssl_set_groups(context, "X25519") == 1,
      SSL_CTX_set_num_tickets(context, 0) == 1
    else { throw .openSSL(operation: "set up TLS 1.3 with \(Self.suiteName) and X25519", reason: takeErrors().text) }
    ttrl_ssl_no_tickets(context)
    ttrl_ssl_set_cache(context, Int(SSL_SESS_CACHE_OFF))
    ttrl_ssl_set_mode(context, Int(SSL_MODE_RELEASE_BUFFERS))
    SSL_CTX_set_psk_use_session_callback(context, offerKey)
    SSL_CTX_set_psk_find_session_callback(context, findKey)
    name(ring.first)
  }

  /// - Parameters:
  ///   - key: the key that both sides have.
  ///   - recordsPerKey: the number of records after which a sender changes its traffic key.
  /// - Throws: `.openSSL` if the library does not support this.
  package convenience init(
    _ key: ClusterKey, recordsPerKey: Int = PlatformLimits.recordsPerKey
  ) throws(PlatformError) {
    try self.init(KeyRing(key), recordsPerKey: recordsPerKey)
  }

  deinit {
    SSL_CTX_free(context)
    for identity in identities { identity.deallocate() }
  }

  /// Uses these keys from now on. Connections that are open stay open.
  package func use(_ ring: KeyRing) {
    if ring.first != self.ring.first { name(ring.first) }
    self.ring = ring
  }

  /// Whether a connection with this key would be made now. Plain TCP has none.
  package func accepts(_ keyID: String?) -> Bool { keyID.map { ring[$0] != nil } ?? true }

  private func name(_ key: ClusterKey) {
    let name = Array((Self.identityPrefix + key.id).utf8)
    let identity = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: name.count)
    _ = identity.initialize(from: name)
    identities.append(identity)
  }

  fileprivate var identity: UnsafeMutableBufferPointer<UInt8> { identities[identities.count - 1] }

  /// A key in the form that OpenSSL takes. The caller owns it.
  fileprivate func session(_ key: ClusterKey, for connection: OpaquePointer) -> OpaquePointer? {
    guard let cipher = SSL_CIPHER_find(connection, Self.suite), let session = SSL_SESSION_new() else { return nil }
    guard SSL_SESSION_set1_master_key(session, key.secret, key.secret.count) == 1,
      SSL_SESSION_set_cipher(session, cipher) == 1, SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1
    else {
      SSL_SESSION_free(session)
      return nil
    }
    return session
  }
}

/// Why a connection is not trusted, or not trusted any more.
package enum TLSFailure: Error, Equatable, Sendable {
  /// A caller named another key than ours.
  case otherKey(theirs: String, ours: String)
  /// A caller named our key but does not have it.
  case falseKey(id: String)
  /// The other side does not accept our key, or has no key.
  case refused(alert: String, ours: String)
  /// The received bytes are not TLS.
  case notTLS
  /// The other side finished a handshake that did not use our key.
  case notByKey
  /// Bytes after the handshake were changed on the way; the text is OpenSSL's.
  case damaged(String)
  /// Anything else; the text is OpenSSL's.
  case failed(String)
}

/// The TLS of one connection. Give it the bytes from the network, and send the bytes that it makes.
package final class TLSSession {
  package enum Side: Sendable {
    /// The side that connects.
    case client
    /// The side that accepts.
    case server
  }

  /// Both sides have proved that they have the key.
  package private(set) var isEstablished = false
  /// Of a server: the caller's first message had the MAC, which needs the key. The message can be a recording; only the
  /// caller's last message proves that it is not.
  private(set) var hasShownKey = false
  /// The other side has said that it sends no more.
  private(set) var hasEnded = false
  /// The id of the key that this side, or a caller, offered.
  fileprivate(set) var offered: String?

  fileprivate let context: TLSContext
  private let side: Side
  private let connection: OpaquePointer
  private let incoming: OpaquePointer
  private let outgoing: OpaquePointer
  private var recordsUnderKey = 0

  package init(_ context: TLSContext, _ side: Side) throws(PlatformError) {
    self.context = context
    self.side = side
    guard let connection = SSL_new(context.context) else {
      throw .openSSL(operation: "open a connection", reason: takeErrors().text)
    }
    guard let incoming = BIO_new(BIO_s_mem()), let outgoing = BIO_new(BIO_s_mem()) else {
      SSL_free(connection)
      throw .openSSL(operation: "open a connection", reason: "no memory")
    }
    (self.connection, self.incoming, self.outgoing) = (connection, incoming, outgoing)
    // From here on the connection owns both.
    SSL_set_bio(connection, incoming, outgoing)
    SSL_set_ex_data(connection, 0, Unmanaged.passUnretained(self).toOpaque())
    if side == .client {
      SSL_set_connect_state(connection)
      // Every certificate is refused: there is no certificate authority.
      SSL_set_verify(connection, SSL_VERIFY_PEER, nil)
    } else {
      SSL_set_accept_state(connection)
    }
  }

  deinit { SSL_free(connection) }

  /// Alerts that mean that the key was not accepted: handshake_failure, illegal_parameter, decrypt_error,
  /// unknown_psk_identity.
  private static let refusals: [Int32] = [40, 47, 51, 115]

  /// A server's answer to a caller that does not speak TLS: the fatal alert "protocol_version". OpenSSL sends nothing
  /// in this case, and a process that was started without the key would not learn why the connection was closed.
  static let protocolAlert: [UInt8] = [21, 3, 3, 0, 2, 2, 70]

  /// Makes a client's first message; it waits in `takeOutgoing`.
  package func begin() throws(TLSFailure) { try shakeHands() }

  /// Takes bytes from the network, all of them.
  ///
  /// - Returns: the decrypted bytes; empty during the handshake.
  /// - Throws: why the connection must end. An alert can still wait in `takeOutgoing`.
  package func receive(_ bytes: [UInt8]) throws(TLSFailure) -> [UInt8] {
    let taken = BIO_write(incoming, bytes, Int32(bytes.count))
    guard taken == bytes.count else { throw .failed("no memory for \(bytes.count) bytes") }
    if !isEstablished { try shakeHands() }
    var plain: [UInt8] = []
    while isEstablished, !hasEnded, let part = try readRecord() { plain += part }
    return plain
  }

  /// Removes and returns the bytes to send to the network, in order.
  package func takeOutgoing() -> [UInt8] {
    let count = BIO_ctrl_pending(outgoing)
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = max(0, Int(BIO_read(outgoing, buffer.baseAddress, Int32(count))))
    }
  }

  /// Encrypts bytes; they wait in `takeOutgoing`. Only for an established connection.
  package func send(_ bytes: [UInt8]) throws(TLSFailure) {
    ERR_clear_error()
    recordsUnderKey += bytes.count / PlatformLimits.recordBytes + 1
    if recordsUnderKey > context.recordsPerKey {
      guard SSL_key_update(connection, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 else { throw failure() }
      recordsUnderKey = 0
    }
    // A memory BIO takes all bytes, so a write is never partial.
    guard SSL_write(connection, bytes, Int32(bytes.count)) == bytes.count else { throw failure() }
  }

  /// Tells the other side that no more bytes follow.
  func end() { if isEstablished { SSL_shutdown(connection) } }

  private func shakeHands() throws(TLSFailure) {
    ERR_clear_error()
    let code = SSL_do_handshake(connection)
    guard code == 1 else {
      guard SSL_get_error(connection, code) == SSL_ERROR_WANT_READ else { throw failure() }
      hasShownKey = side == .server && SSL_session_reused(connection) == 1
      return
    }
    // An attacker can answer with a certificate instead of the key.
    guard SSL_session_reused(connection) == 1 else { throw .notByKey }
    isEstablished = true
  }

  /// The decrypted bytes of one record, or nil until more bytes have come.
  private func readRecord() throws(TLSFailure) -> [UInt8]? {
    ERR_clear_error()
    var code: Int32 = 0
    let part = [UInt8](unsafeUninitializedCapacity: PlatformLimits.recordBytes) { buffer, filled in
      code = SSL_read(connection, buffer.baseAddress, Int32(buffer.count))
      filled = max(0, Int(code))
    }
    if code > 0 { return part }
    switch SSL_get_error(connection, code) {
    case SSL_ERROR_WANT_READ: return nil
    case SSL_ERROR_ZERO_RETURN:
      hasEnded = true
      return nil
    default: throw failure()
    }
  }

  private func failure() -> TLSFailure {
    let (reason, text) = takeErrors()
    // Reasons from this number on are alerts: the other side sent them.
    let isAlert = reason >= SSL_AD_REASON_OFFSET
    if isEstablished { return isAlert ? .failed(text) : .damaged(text) }
    if isAlert {
      return Self.refusals.contains(reason - SSL_AD_REASON_OFFSET)
        ? .refused(alert: text, ours: offered ?? context.ring.first.id) : .failed(text)
    }
    if let offered, context.ring[offered] == nil { return .otherKey(theirs: offered, ours: context.ring.first.id) }
    switch reason {
    case SSL_R_BINDER_DOES_NOT_VERIFY: return .falseKey(id: offered ?? context.ring.first.id)
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return .notByKey
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_BAD_RECORD_TYPE,
      SSL_R_RECORD_LENGTH_MISMATCH, SSL_R_PACKET_LENGTH_TOO_LONG:
      return .notTLS
    default: return .failed(text)
    }
  }
}

// MARK: OpenSSL's callbacks

/// Called on a client: says which key it has.
private let offerKey: SSL_psk_use_session_cb_func = { connection, _, identity, identityLength, session in
  guard let connection, let tls = tls(of: connection) else { return 0 }
  let context = tls.context
  tls.offered = context.ring.first.id
  identity?.pointee = UnsafePointer(context.identity.baseAddress)
  identityLength?.pointee = context.identity.count
  session?.pointee = context.session(context.ring.first, for: connection)
  return session?.pointee == nil ? 0 : 1
}

/// Called on a server: looks up the key that a client says it has. Without a key the handshake fails, because there is
/// no certificate either.
private let findKey: SSL_psk_find_session_cb_func = { connection, identity, length, session in
  guard let connection, let tls = tls(of: connection) else { return 0 }
  session?.pointee = nil
  let id = TLSContext.keyID(in: Array(UnsafeBufferPointer(start: identity, count: length)))
  tls.offered = id
  if let key = tls.context.ring[id] { session?.pointee = tls.context.session(key, for: connection) }
  return 1
}

private func tls(of connection: OpaquePointer) -> TLSSession? {
  SSL_get_ex_data(connection, 0).map { Unmanaged<TLSSession>.fromOpaque($0).takeUnretainedValue() }
}

extension TLSContext {
  /// The key id in a stranger's identity, in a form that can be written to a log.
  fileprivate static func keyID(in identity: [UInt8]) -> String {
    let name = String(decoding: identity, as: UTF8.self)
    let id = String(name.dropFirst(identityPrefix.count))
    let isID = name.hasPrefix(identityPrefix) && id.utf8.count == 16 && !Hexadecimal.bytes(id).isEmpty
    return isID ? id : "of another program"
  }
}

/// The first of this thread's OpenSSL errors; clears all of them.
private func takeErrors() -> (reason: Int32, text: String) {
  let error = ERR_peek_error()
  defer { ERR_clear_error() }
  return (ttrl_error_reason(error), ERR_reason_error_string(error).map { String(cString: $0) } ?? "no reason given")
}

extension TLSFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .otherKey(let theirs, let ours): "it offered another key (\(theirs)) than ours (\(ours))"
    case .falseKey(let id): "it named our key (\(id)) but does not have it"
    case .refused(let alert, let ours):
      "the other side refused our key (\(ours)): \(alert). Give both sides the same key file; the coordinator's log "
        + "names the two keys"
    case .notTLS:
      "the other side does not speak TLS. Is it a coordinator with --key none, or another program's port?"
    case .notByKey: "the other side did not prove that it has the key; it does not belong to this cluster"
    case .damaged(let text): "bytes were changed on the way (\(text))"
    case .failed(let text): "TLS failed: \(text)"
    }
  }
}
