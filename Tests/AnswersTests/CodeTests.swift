// Programs and exact texts: what is found, and what is equal.

import Answers
import Base
import Testing

@Suite struct CodeTests {
  @Test(arguments: [
    ("Here:\n```python\ndef f(x):\n    return x\n```\nDone.", "def f(x):\n    return x"),
    ("```\na\n```\nbetter:\n```py\nb\n```", "b"), ("```\na\n```\nand\n```\nb", "a"), ("```\na\n```\n```\n \n```", "a"),
    ("<think>```\na\n```</think>\n  ```c\r\nb\r\n  ```\r\n", "b"), ("```\na\n````\n```", "a\n````"),
  ])
  func `the program of a response is its last block that is closed and says something`(
    _ response: String, _ code: String
  ) {
    #expect(extractAnswer(from: response, kind: .code) == code)
  }

  @Test(arguments: ["", "def f(x): return x", "```", "```\na", "\\boxed{a}", "<think>```\na\n```", "```\n```"])
  func `a response without such a block has no program`(_ response: String) {
    #expect(extractAnswer(from: response, kind: .code) == nil)
  }

  @Test func `programs are equal if they differ only in white space at the ends of lines`() {
    #expect(areEquivalent("a\n  b", "\n\na  \r\n  b\t\n\n", kind: .code))
    #expect(!areEquivalent("a\n  b", "a\nb", kind: .code) && !areEquivalent("a", "A", kind: .code))
  }

  @Test func `exact texts are equal if their characters are`() {
    #expect(extractAnswer(from: "so \\boxed{New  York}", kind: .exact) == "New  York")
    #expect(areEquivalent(" New York", "New York ", kind: .exact))
    for other in ["new York", "New  York", "New York.", "0.50"] {
      #expect(!areEquivalent("New York", other, kind: .exact))
    }
    #expect(!areEquivalent("0.5", "0.50", kind: .exact) && areEquivalent("0.5", "0.50", kind: .math))
  }
}
