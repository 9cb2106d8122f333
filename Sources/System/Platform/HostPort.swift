// HostPort: an address as users write it, and as the kernel takes it.

import CLinux

/// HOST:PORT. The host is a name, an IPv4 address, an IPv6 address (written in brackets), or empty for all interfaces.
package struct HostPort: Hashable, Sendable {
  package var host: String
  package var port: UInt16

  package init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  /// - Parameter text: "node1:7000", "127.0.0.1:0", "[::1]:7000", ":7000" (every IPv4 interface).
  /// - Throws: `.badAddress`.
  package init(parsing text: String) throws(PlatformError) {
    guard let colon = text.lastIndex(of: ":") else { throw .badAddress(text: text, problem: "it has no port") }
    let digits = text[text.index(after: colon)...]
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let port = UInt16(digits) else {
      throw .badAddress(text: text, problem: "\"\(digits)\" is not a port (0 to 65535)")
    }
    let host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]"), host.count > 2 {
      self.init(host: String(host.dropFirst().dropLast()), port: port)
    } else if host.contains(where: { "[]:".contains($0) }) {
      throw .badAddress(text: text, problem: "an IPv6 address must be in brackets")
    } else if host.contains(where: { $0.isWhitespace || $0 == "/" }) {
      throw .badAddress(text: text, problem: "\"\(host)\" is not a host name")
    } else {
      self.init(host: String(host), port: port)
    }
  }

  /// Addresses with commas between them.
  ///
  /// - Throws: `.badAddress`.
  package static func list(parsing text: String) throws(PlatformError) -> [HostPort] {
    var addresses: [HostPort] = []
    for part in text.split(separator: ",") { addresses.append(try HostPort(parsing: String(part))) }
    guard !addresses.isEmpty else { throw .badAddress(text: text, problem: "it has no address") }
    return addresses
  }

  init(_ address: ttrl_address) {
    var address = address
    var text = [CChar](repeating: 0, count: 64)
    var port: UInt16 = 0
    let code = ttrl_address_text(&address, &text, Int32(text.count), &port)
    self.init(host: code == 0 ? String(nulTerminated: text) : "unknown", port: port)
  }

  /// Whether packets to this address stay on this machine: a literal loopback address, or "localhost".
  package var isLoopback: Bool {
    // Only digits and dots: "127.0.0.1.example.org" is a host name.
    let isIPv4Loopback = host.hasPrefix("127.") && host.allSatisfy { "0123456789.".contains($0) }
    return host == "localhost" || host == "::1" || isIPv4Loopback
  }

  /// Looks up the addresses behind the host.
  /// - Parameter numericOnly: do not ask a name server; then a name has no address.
  /// - Returns: at least one, in the order to try them.
  /// - Throws: `.unresolvable`. Without `numericOnly` the call blocks for as long as the name service takes.
  func resolve(numericOnly: Bool) throws(PlatformError) -> [ttrl_address] {
    var found = [ttrl_address](repeating: ttrl_address(), count: PlatformLimits.addressesPerHost)
    var count: Int32 = 0
    let code = ttrl_resolve(
      host.isEmpty ? nil : host, port, numericOnly, &found, Int32(found.count), &count)
    guard code == 0, count > 0 else {
      let reason = code == 0 ? "it has neither an IPv4 nor an IPv6 address" : String(cString: ttrl_resolve_error(code))
      throw .unresolvable(self, reason: reason)
    }
    return Array(found.prefix(Int(count)))
  }
}

extension HostPort: CustomStringConvertible {
  package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
