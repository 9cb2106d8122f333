// Who may see a page: by the names a request may use, and by the token.

import PageRole
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

  @Test func `base 64 is that of RFC 4648`() {
    let cases = ["": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "foobar": "Zm9vYmFy"]
    for (text, encoded) in cases { #expect(Page.base64(Array(text.utf8)) == encoded) }
  }
}
