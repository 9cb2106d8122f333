// Who can see a page: by the host that a request names, and by the token. And what the page can do in a browser.

import PageRole
import Platform
import Testing

@Suite struct PageAccessTests {
  @Test(arguments: ["127.0.0.1:80", "127.0.0.1", "localhost:7000", "localhost", "[::1]:7000"])
  func `a request that names this machine is answered`(host: String) {
    #expect(PageAccess.namesLoopback(host))
  }

  @Test(arguments: ["", "example.org", "example.org:80", "127.0.0.1.example.org", "10.0.0.1:80", "localhost.evil:1"])
  func `a request that a stranger's site sends under its own name is not`(host: String) {
    #expect(!PageAccess.namesLoopback(host))
  }

  @Test func `texts are the same only if they are`() {
    #expect(PageAccess.isSame("abc", "abc") && !PageAccess.isSame("abc", "abd") && !PageAccess.isSame("ab", "abc"))
    #expect(PageAccess.isSame("", "") && !PageAccess.isSame("", "a"))
  }

  @Test func `a form's value is decoded, whatever it holds`() {
    #expect(
      PageAccess.decoded("a+b%21") == "a b!" && PageAccess.decoded("%") == "%" && PageAccess.decoded("%zz") == "%zz")
  }

  @Test func `the policy allows the page's own script and style, by their hashes, and nothing from elsewhere`() {
    let page = String(decoding: Page.bytes, as: UTF8.self)
    for element in ["script", "style"] {
      let parts = page.split(separator: "<\(element)>", omittingEmptySubsequences: false)
      let end = parts.last?.firstRange(of: "</\(element)>")
      let text = end.flatMap { end in parts.last?[..<end.lowerBound] } ?? ""
      let hash = Page.base64(SHA256.digest(of: Array(text.utf8)))
      #expect(parts.count == 2 && text.count > 1000)
      #expect(Page.policy.contains("\(element)-src 'sha256-\(hash)'"))
    }
    #expect(Page.policy.hasPrefix("default-src 'none'; connect-src 'self'; "))
    #expect(!Page.policy.contains("unsafe") && !Page.policy.contains("http"))
  }

  @Test func `base 64 is that of RFC 4648`() {
    let cases = ["": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "foobar": "Zm9vYmFy"]
    for (text, encoded) in cases { #expect(Page.base64(Array(text.utf8)) == encoded) }
  }
}
