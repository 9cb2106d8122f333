// TLS: encryption and mutual authentication of one connection, as bytes in and bytes out.
//
// TLS 1.3 with an external pre-shared key (RFC 8446, 2.2 and 4.2.11) and X25519, so that a key that is lost later opens
// nothing recorded earlier. OpenSSL does all of it; here it is told what not to do. There is one cipher suite and one
// group, nothing is negotiated; there are no certificates, no session tickets, no early data. Both sides prove that
// they have the key before either believes a byte of the other: a client's first message carries a MAC under it (so
// that a stranger costs the server one hash and no arithmetic), its last one proves that it is no recording.
//
// Not here: sockets, deadlines and queues (Connection), and how many strangers may knock (Listener).

import Base
import COpenSSL

/// What holds for all connections under one key.
package final class TLSContext {
  package let key: ClusterKey
  fileprivate let recordsPerKey: Int
  fileprivate let context: OpaquePointer
  /// What a client says which key it has by. OpenSSL reads it after the callback has returned, so it has to stay.
  fileprivate let identity: UnsafeMutableBufferPointer<UInt8>

  /// The suite that the key belongs to: TLS_AES_128_GCM_SHA256, by its number in the standard.
  fileprivate static let suite: [UInt8] = [0x13, 0x01]
  private static let suiteName = "TLS_AES_128_GCM_SHA256"
  fileprivate static let identityPrefix = "ttrl-key-"

  /// - Parameters:
  ///   - key: both sides have it.
  ///   - recordsPerKey: records after which a sender changes its traffic key.
  /// - Throws: `.openSSL` if the library cannot do this.
  package init(_ key: ClusterKey, recordsPerKey: Int = PlatformLimits.recordsPerKey) throws(PlatformError) {
    self.key = key
    self.recordsPerKey = recordsPerKey
    let name = Array((Self.identityPrefix + key.id).utf8)
    guard let context = SSL_CTX_new(TLS_method()) else {
      throw .openSSL(operation: "begin", reason: takeErrors().text)
    }
    identity = .allocate(capacity: name.count)
    _ = identity.initialize(from: name)
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
  }

  deinit {
    SSL_CTX_free(context)
    identity.deallocate()
  }

  /// The key, in the form in which OpenSSL takes it; the caller owns it.
  fileprivate func session(for connection: OpaquePointer) -> OpaquePointer? {
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

/// Why a connection is not, or no longer, to be trusted.
package enum TLSFailure: Error, Equatable, Sendable {
  /// A caller named another key than ours.
  case otherKey(theirs: String, ours: String)
  /// A caller named our key and does not have it.
  case falseKey(id: String)
  /// The other side does not accept ours, or has none.
  case refused(alert: String, ours: String)
  /// What came is not TLS.
  case notTLS
  /// The other side finished a handshake in which our key played no part.
  case notByKey
  /// What came later was changed on the way; the text is OpenSSL's.
  case damaged(String)
  /// Anything else; the text is OpenSSL's.
  case failed(String)
}

/// The TLS of one connection. Feed it what the network brings; send what it puts out.
package final class TLSSession {
  package enum Side: Sendable {
    /// Calls.
    case client
    /// Is called.
    case server
  }

  /// Both sides have proved that they have the key.
  package private(set) var isEstablished = false
  /// Of a server: the caller's first message carried the MAC that only who has the key can make. It may be a recording
  /// until the caller's last message proves otherwise.
  private(set) var hasShownKey = false
  /// The other side said that it will send no more.
  private(set) var hasEnded = false
  /// The name of the key that a caller offered.
  fileprivate var offered: String?

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
    // The connection owns both from here on.
    SSL_set_bio(connection, incoming, outgoing)
    SSL_set_ex_data(connection, 0, Unmanaged.passUnretained(self).toOpaque())
    if side == .client {
      SSL_set_connect_state(connection)
      // No certificate is ever right: there is no one whose signature we would believe.
      SSL_set_verify(connection, SSL_VERIFY_PEER, nil)
    } else {
      SSL_set_accept_state(connection)
    }
  }

  deinit { SSL_free(connection) }

  /// Alerts that say: not with this key. handshake_failure, illegal_parameter, decrypt_error, unknown_psk_identity.
  private static let refusals: [Int32] = [40, 47, 51, 115]

  /// What a server says to one who speaks no TLS: a fatal alert, "protocol_version". OpenSSL says nothing, and a peer
  /// that was started without the key would not learn why it is hung up on.
  static let protocolAlert: [UInt8] = [21, 3, 3, 0, 2, 2, 70]

  /// A client's first words; they wait in `takeOutgoing`.
  package func begin() throws(TLSFailure) { try shakeHands() }

  /// Takes what the network brought, all of it.
  ///
  /// - Returns: what the other side said; empty during the handshake.
  /// - Throws: why the connection has to end. An alert may wait in `takeOutgoing` even so.
  package func receive(_ bytes: [UInt8]) throws(TLSFailure) -> [UInt8] {
    let taken = BIO_write(incoming, bytes, Int32(bytes.count))
    guard taken == bytes.count else { throw .failed("no memory for \(bytes.count) bytes") }
    if !isEstablished { try shakeHands() }
    var plain: [UInt8] = []
    while isEstablished, !hasEnded, let part = try readRecord() { plain += part }
    return plain
  }

  /// What is to be sent to the network, in order. Empties itself.
  package func takeOutgoing() -> [UInt8] {
    let count = BIO_ctrl_pending(outgoing)
    guard count > 0 else { return [] }
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      filled = max(0, Int(BIO_read(outgoing, buffer.baseAddress, Int32(count))))
    }
  }

  /// Encrypts bytes; they wait in `takeOutgoing`. Only when established.
  package func send(_ bytes: [UInt8]) throws(TLSFailure) {
    ERR_clear_error()
    recordsUnderKey += bytes.count / PlatformLimits.recordBytes + 1
    if recordsUnderKey > context.recordsPerKey {
      guard SSL_key_update(connection, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 else { throw failure() }
      recordsUnderKey = 0
    }
    // Memory takes everything: there is no writing in part.
    guard SSL_write(connection, bytes, Int32(bytes.count)) == bytes.count else { throw failure() }
  }

  /// Tells the other side that nothing follows.
  func end() { if isEstablished { SSL_shutdown(connection) } }

  private func shakeHands() throws(TLSFailure) {
    ERR_clear_error()
    let code = SSL_do_handshake(connection)
    guard code == 1 else {
      guard SSL_get_error(connection, code) == SSL_ERROR_WANT_READ else { throw failure() }
      hasShownKey = side == .server && SSL_session_reused(connection) == 1
      return
    }
    // An impostor may answer with a certificate instead of the key.
    guard SSL_session_reused(connection) == 1 else { throw .notByKey }
    isEstablished = true
  }

  /// What one record says, or nil until more bytes have come.
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
    // Reasons from here on are alerts: what the other side said, and not what we found.
    let isAlert = reason >= SSL_AD_REASON_OFFSET
    if isEstablished { return isAlert ? .failed(text) : .damaged(text) }
    if isAlert {
      return Self.refusals.contains(reason - SSL_AD_REASON_OFFSET)
        ? .refused(alert: text, ours: context.key.id) : .failed(text)
    }
    if let offered, offered != context.key.id { return .otherKey(theirs: offered, ours: context.key.id) }
    switch reason {
    case SSL_R_BINDER_DOES_NOT_VERIFY: return .falseKey(id: context.key.id)
    case SSL_R_CERTIFICATE_VERIFY_FAILED: return .notByKey
    case SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST, SSL_R_BAD_RECORD_TYPE,
      SSL_R_RECORD_LENGTH_MISMATCH, SSL_R_PACKET_LENGTH_TOO_LONG:
      return .notTLS
    default: return .failed(text)
    }
  }
}

// MARK: OpenSSL's callbacks

/// A client says which key it has.
private let offerKey: SSL_psk_use_session_cb_func = { connection, _, identity, identityLength, session in
  guard let connection, let context = tls(of: connection)?.context else { return 0 }
  identity?.pointee = UnsafePointer(context.identity.baseAddress)
  identityLength?.pointee = context.identity.count
  session?.pointee = context.session(for: connection)
  return session?.pointee == nil ? 0 : 1
}

/// A server looks up the key that a client says it has. Without one the handshake finds nothing to go on with.
private let findKey: SSL_psk_find_session_cb_func = { connection, identity, length, session in
  guard let connection, let tls = tls(of: connection) else { return 0 }
  session?.pointee = nil
  let name = Array(UnsafeBufferPointer(start: identity, count: length))
  tls.offered = TLSContext.keyID(in: name)
  if name == Array(tls.context.identity) { session?.pointee = tls.context.session(for: connection) }
  return 1
}

private func tls(of connection: OpaquePointer) -> TLSSession? {
  SSL_get_ex_data(connection, 0).map { Unmanaged<TLSSession>.fromOpaque($0).takeUnretainedValue() }
}

extension TLSContext {
  /// What a stranger calls its key, as far as it may go into a log.
  fileprivate static func keyID(in identity: [UInt8]) -> String {
    let name = String(decoding: identity, as: UTF8.self)
    let id = String(name.dropFirst(identityPrefix.count))
    let isID = name.hasPrefix(identityPrefix) && id.utf8.count == 16 && !Hexadecimal.bytes(id).isEmpty
    return isID ? id : "of another program"
  }
}

/// The first of OpenSSL's errors of this thread; forgets them all.
private func takeErrors() -> (reason: Int32, text: String) {
  let error = ERR_peek_error()
  defer { ERR_clear_error() }
  return (ttrl_error_reason(error), ERR_reason_error_string(error).map { String(cString: $0) } ?? "no reason given")
}

extension TLSFailure: CustomStringConvertible {
  package var description: String {
    switch self {
    case .otherKey(let theirs, let ours): "it offered another key (\(theirs)) than ours (\(ours))"
    case .falseKey(let id): "it named our key (\(id)) without having it"
    case .refused(let alert, let ours):
      "the other side refused our key (\(ours)): \(alert). Give both sides the same key file; the coordinator's log "
        + "names the two keys"
    case .notTLS:
      "the other side does not speak TLS. Is it a coordinator with --key none, or another program's port?"
    case .notByKey: "the other side did not prove that it has the key; it is not who we look for"
    case .damaged(let text): "what came was changed on the way (\(text))"
    case .failed(let text): "TLS failed: \(text)"
    }
  }
}
