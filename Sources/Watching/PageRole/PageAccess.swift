// PageAccess: who may see a run's page.
//
// On loopback, without a token: whoever has an account on the machine. But a browser there also runs the scripts of
// strangers' sites, and such a script can point its site's name at 127.0.0.1 and ask; so only requests that name a
// loopback host are answered. Beyond loopback: who shows the token, as `Authorization: Bearer …` (Prometheus, curl) or
// by the cookie that a browser gets for it. The cookie is a digest: it lets into the page and does not give the token
// away. HTTP is not encrypted: over a network that is not trusted, go through `ssh -L` or a proxy that speaks TLS.

import Base
import Glibc
package import Platform

/// Why a token cannot be used.
package enum PageTokenError: Error, Sendable, CustomStringConvertible {
  case open(path: String, mode: UInt32)
  case short(path: String, count: Int)
  case needed(HostPort)

  package var description: String {
    switch self {
    case .open(let path, let mode):
      "cannot use the token in \(path): others may read it (mode 0\(String(mode, radix: 8))). chmod 600 \(path), or "
        + "name a file that does not exist: it will be made"
    case .short(let path, let count):
      "cannot use the token in \(path): it has \(count) characters, and at least \(PageToken.lengthMin) keep it from "
        + "being guessed. Name a file that does not exist: one will be made"
    case .needed(let address):
      "\(address) is not on this machine: a page there shows the run to whoever asks. Give --page-token FILE (it is "
        + "made if it is not there), or serve on 127.0.0.1 and look through ssh -L"
    }
  }
}

/// The secret that opens a page.
package struct PageToken: Sendable {
  let text: String

  static let lengthMin = 16
  private static let bytesMax = 4096

  /// Reads the file's first line; makes the file with a new token where there is none.
  ///
  /// - Returns: the token, and whether it was made.
  /// - Throws: `PageTokenError`, or `PlatformError`.
  package static func readOrMake(_ path: String) throws -> (token: PageToken, isNew: Bool) {
    if !Files.exists(path) {
      var bytes = [UInt8](repeating: 0, count: 24)
      let code = getentropy(&bytes, bytes.count)
      precondition(code == 0, "the kernel gave no random bytes; every kernel since 3.17 does")
      let text = Hexadecimal.text(bytes)
      try Files.write(text + "\n", to: path, mode: 0o600)
      return (PageToken(text: text), true)
    }
    var facts = stat()
    guard stat(path, &facts) == 0 else { throw PlatformError.file(operation: "read", path: path, code: errno) }
    guard facts.st_mode & 0o077 == 0 else {
      throw PageTokenError.open(path: path, mode: UInt32(facts.st_mode & 0o777))
    }
    let line = try Files.readText(path, limit: bytesMax).prefix { !$0.isNewline }
    let text = String(line.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    guard text.count >= lengthMin else { throw PageTokenError.short(path: path, count: text.count) }
    return (PageToken(text: text), false)
  }

  /// What a browser keeps instead of the token.
  var cookie: String { SHA256.hex(of: Array("ttrl page cookie\0\(text)".utf8)) }
}

package struct PageAccess {
  /// nil: everybody on this machine.
  let token: PageToken?

  static let cookieName = "ttrl_page"

  enum Verdict: Equatable {
    case allowed
    case needsToken
    /// The request names a host that is not this machine's loopback.
    case otherHost
  }

  func verdict(on request: HTTPRequest) -> Verdict {
    guard let token else { return Self.namesLoopback(request.header("Host") ?? "") ? .allowed : .otherHost }
    if let given = request.header("Authorization"), given.hasPrefix("Bearer "),
      Self.isSame(String(given.dropFirst(7)), token.text)
    {
      return .allowed
    }
    return Self.isSame(request.cookie(Self.cookieName) ?? "", token.cookie) ? .allowed : .needsToken
  }

  /// "127.0.0.1:8080", "localhost", "[::1]:8080".
  package static func namesLoopback(_ host: String) -> Bool {
    let address = (try? HostPort(parsing: host)) ?? (try? HostPort(parsing: host + ":80"))
    return address?.isLoopback ?? false
  }

  /// Takes as long for every wrong token of the same length.
  package static func isSame(_ left: String, _ right: String) -> Bool {
    let (left, right) = (Array(left.utf8), Array(right.utf8))
    guard left.count == right.count else { return false }
    return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }

  // MARK: Coming in

  /// What a browser without the token sees.
  static let door = HTTPResponse(
    401, type: "text/html; charset=utf-8",
    Array(
      """
      <!doctype html><html lang="en"><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1"><title>ttrl: a token is needed</title>
      <style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:32em;margin:4rem auto;
      padding:0 1rem}input,button{font:inherit;padding:.4rem .6rem}</style>
      <h1>This run's page needs a token</h1>
      <p>It is the line in the file that was given with <code>--page-token</code> where the run was started. Programs
      send it as <code>Authorization: Bearer TOKEN</code>.</p>
      <form method="post" action="/enter"><label>Token <input name="token" type="password" autofocus
      autocomplete="current-password"></label> <button>Enter</button></form>

      """.utf8))

  /// Answers the form of the door.
  func enter(_ body: [UInt8]) -> HTTPResponse {
    let given =
      String(decoding: body, as: UTF8.self).split(separator: "&")
      .first { $0.hasPrefix("token=") }.map { Self.decoded($0.dropFirst(6)) } ?? ""
    guard let token, Self.isSame(given, token.text) else { return Self.door }
    var response = HTTPResponse(303, type: "text/plain; charset=utf-8", [])
    response.headers = [
      ("Location", "/"), ("Set-Cookie", "\(Self.cookieName)=\(token.cookie); HttpOnly; SameSite=Strict; Path=/"),
    ]
    return response
  }

  /// A form's value: "a+b%21" is "a b!".
  package static func decoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "%"), rest.count >= 2,
        let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16)
      {
        bytes.append(value)
        rest = rest.dropFirst(2)
      } else {
        bytes.append(byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
