// PageAccess: which requests can see a run's page.
//
// On loopback, without a token: requests of every user of the machine. But a browser on this machine also runs the
// scripts of other sites, and such a site can point its own name at 127.0.0.1 (DNS rebinding); so only requests that
// name a loopback host are answered. On other addresses: requests with the token, as `Authorization: Bearer …`
// (Prometheus, curl) or by the cookie that a browser gets for it. The cookie is a digest: it opens the page and does
// not reveal the token. Its name has the run in it, because a browser sends the cookies of a host to all its ports: the
// pages of two runs on one host would otherwise sign each other out. HTTP is not encrypted: on a network that is not
// trusted, use `ssh -L` or a proxy with TLS.

import Base
import Glibc
package import Platform

/// Why a token cannot be used.
package enum PageTokenError: Error, Sendable, CustomStringConvertible {
  case refused(path: String, SecretFile.Problem)
  case short(path: String, count: Int)
  case needed(HostPort)

  package var description: String {
    switch self {
    case .refused(let path, let problem):
      "cannot use the token in \(path): \(problem.text(path)). Or give a file that does not exist: it will be made"
    case .short(let path, let count):
      "cannot use the token in \(path): it has \(count) characters, and a token that cannot be guessed needs at least "
        + "\(PageToken.lengthMin). Give a file that does not exist: a token will be made"
    case .needed(let address):
      "\(address) is not a loopback address: everyone on the network could see the run. Give --page-token FILE (it is "
        + "made if it does not exist), or serve on 127.0.0.1 and use ssh -L"
    }
  }
}

/// The secret that opens a page.
package struct PageToken: Sendable {
  let text: String

  static let lengthMin = 16
  private static let bytesMax = 4096

  /// Reads the file's first line. If there is no file, makes it with a new token.
  ///
  /// - Returns: the token, and whether it was made.
  /// - Throws: `PageTokenError`, or `PlatformError`.
  package static func readOrMake(_ path: String) throws -> (token: PageToken, isNew: Bool) {
    if try !Files.exists(path) {
      var bytes = [UInt8](repeating: 0, count: 24)
      let code = getentropy(&bytes, bytes.count)
      precondition(code == 0, "the kernel gave no random bytes; kernels since 3.17 do")
      let text = Hexadecimal.text(bytes)
      // If another process was faster, its token is read.
      if try SecretFile.make(Array((text + "\n").utf8), at: path, "the token") { return (PageToken(text: text), true) }
    }
    let bytes: [UInt8]
    switch try SecretFile.read(path, limit: bytesMax, "the token") {
    case .success(let found): bytes = found
    case .failure(let problem): throw PageTokenError.refused(path: path, problem)
    }
    let line = String(decoding: bytes, as: UTF8.self).prefix { !$0.isNewline }
    let text = String(line.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    guard text.count >= lengthMin else { throw PageTokenError.short(path: path, count: text.count) }
    return (PageToken(text: text), false)
  }

  /// A browser keeps this instead of the token.
  var cookie: String { SHA256.hex(of: Array("ttrl page cookie\0\(text)".utf8)) }
}

package struct PageAccess {
  /// nil: every request from this machine is answered.
  let token: PageToken?
  private let cookieName: String

  /// - Parameters:
  ///   - token: nil answers every request from this machine.
  ///   - run: the run's id. A digest of it is in the cookie's name, whatever characters it has.
  package init(token: PageToken?, run: String) {
    self.token = token
    cookieName = "ttrl_page_" + SHA256.hex(of: Array("ttrl page cookie of run\0\(run)".utf8)).prefix(16)
  }

  enum Verdict: Equatable {
    case allowed
    case needsToken
    /// The request names a host that is not loopback.
    case otherHost
  }

  func verdict(on request: HTTPRequest) -> Verdict {
    guard let token else { return Self.namesLoopback(request.header("Host") ?? "") ? .allowed : .otherHost }
    if let given = request.header("Authorization"), given.hasPrefix("Bearer "),
      Self.isSame(String(given.dropFirst(7)), token.text)
    {
      return .allowed
    }
    return Self.isSame(request.cookie(cookieName) ?? "", token.cookie) ? .allowed : .needsToken
  }

  /// "127.0.0.1:8080", "localhost", "[::1]:8080".
  package static func namesLoopback(_ host: String) -> Bool {
    let address = (try? HostPort(parsing: host)) ?? (try? HostPort(parsing: host + ":80"))
    return address?.isLoopback ?? false
  }

  /// Takes the same time for every wrong token of the same length.
  package static func isSame(_ left: String, _ right: String) -> Bool {
    let (left, right) = (Array(left.utf8), Array(right.utf8))
    guard left.count == right.count else { return false }
    return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
  }

  // MARK: The form for the token

  /// What a browser without the token sees.
  static let form = HTTPResponse(
    401, type: "text/html; charset=utf-8",
    Array(
      """
      <!doctype html><html lang="en"><meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1"><title>ttrl: a token is needed</title>
      <style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:32em;margin:4rem auto;
      padding:0 1rem}input,button{font:inherit;padding:.4rem .6rem}</style>
      <h1>This run's page needs a token</h1>
      <p>The token is the first line of the file that was given with <code>--page-token</code> when the run was started.
      Programs send it as <code>Authorization: Bearer TOKEN</code>.</p>
      <form method="post" action="/enter"><label>Token <input name="token" type="password" autofocus
      autocomplete="current-password"></label> <button>Enter</button></form>

      """.utf8))

  /// Answers the form.
  func enter(_ body: [UInt8]) -> HTTPResponse {
    let given =
      String(decoding: body, as: UTF8.self).split(separator: "&")
      .first { $0.hasPrefix("token=") }.map { Self.decoded($0.dropFirst(6)) } ?? ""
    guard let token, Self.isSame(given, token.text) else { return Self.form }
    var response = HTTPResponse(303, type: "text/plain; charset=utf-8", [])
    response.headers = [
      ("Location", "/"), ("Set-Cookie", "\(cookieName)=\(token.cookie); HttpOnly; SameSite=Strict; Path=/"),
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
