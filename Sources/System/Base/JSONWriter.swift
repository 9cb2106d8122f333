// JSONWriter: JSON to bytes. The same value always gives the same bytes.
//
// Members keep their order and numbers their spelling, so a parsed text is written as it was, except for white space.
// Text stays UTF-8; only quotes, backslashes and control characters are escaped.

extension JSON {
  package enum Layout: Sendable {
    /// No white space: one line of JSONL.
    case compact
    /// Two spaces of indentation, one member or element per line.
    case pretty
  }

  /// The value as UTF-8, without a newline at the end.
  package func bytes(_ layout: Layout = .compact) -> [UInt8] {
    var out: [UInt8] = []
    write(to: &out, layout: layout, depth: 0)
    return out
  }

  package func text(_ layout: Layout = .compact) -> String { String(decoding: bytes(layout), as: UTF8.self) }

  private func write(to out: inout [UInt8], layout: Layout, depth: Int) {
    switch self {
    case .null: out.append(contentsOf: "null".utf8)
    case .bool(let value): out.append(contentsOf: (value ? "true" : "false").utf8)
    case .number(let value): out.append(contentsOf: value.literal.utf8)
    case .string(let value): writeString(value, to: &out)
    case .array(let values):
      writeList("[", values, "]", to: &out, layout: layout, depth: depth) { value, out in
        value.write(to: &out, layout: layout, depth: depth + 1)
      }
    case .object(let members):
      writeList("{", members, "}", to: &out, layout: layout, depth: depth) { member, out in
        writeString(member.key, to: &out)
        out.append(contentsOf: (layout == .pretty ? ": " : ":").utf8)
        member.value.write(to: &out, layout: layout, depth: depth + 1)
      }
    }
  }
}

private func writeList<Item>(
  _ open: Unicode.Scalar, _ items: [Item], _ close: Unicode.Scalar, to out: inout [UInt8], layout: JSON.Layout,
  depth: Int, item: (Item, inout [UInt8]) -> Void
) {
  func breakLine(_ depth: Int) {
    guard layout == .pretty, !items.isEmpty else { return }
    out.append(UInt8(ascii: "\n"))
    out.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
  }
  out.append(UInt8(ascii: open))
  for (index, element) in items.enumerated() {
    if index > 0 { out.append(UInt8(ascii: ",")) }
    breakLine(depth + 1)
    item(element, &out)
  }
  breakLine(depth)
  out.append(UInt8(ascii: close))
}

private func writeString(_ text: String, to out: inout [UInt8]) {
  out.append(UInt8(ascii: "\""))
  for byte in text.utf8 {
    switch byte {
    case UInt8(ascii: "\""): out.append(contentsOf: #"\""#.utf8)
    case UInt8(ascii: "\\"): out.append(contentsOf: #"\\"#.utf8)
    case 0x0A: out.append(contentsOf: #"\n"#.utf8)
    case 0x0D: out.append(contentsOf: #"\r"#.utf8)
    case 0x09: out.append(contentsOf: #"\t"#.utf8)
    case 0..<0x20: out.append(contentsOf: #"\u00\#(byte < 16 ? "0" : "")\#(String(byte, radix: 16))"#.utf8)
    default: out.append(byte)
    }
  }
  out.append(UInt8(ascii: "\""))
}
