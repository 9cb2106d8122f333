// JSONLines: commands that read one JSON object per line and write one per line, in order.

import Base
import Commands
import Foundation
import Platform

enum JSONLines {
  /// Calls `body` for every line of standard input and prints each object that it returns on a line.
  ///
  /// - Throws: at the first bad line, with its number. The results of the lines before it are printed.
  static func transform(_ body: (JSON) throws -> [JSON]) throws -> Int32 {
    try forEachLine { line, value in
      do {
        for answer in try body(value) { Command.showJSON(answer.text()) }
      } catch {
        throw UserError("line \(line) of the input: \(error)")
      }
    }
    return ExitStatus.done
  }

  /// All objects of standard input, with their line numbers.
  static func read() throws -> [(line: Int, value: JSON)] {
    var objects: [(Int, JSON)] = []
    try forEachLine { objects.append(($0, $1)) }
    return objects
  }

  /// Lines as bytes, so that the parser refuses text that is not UTF-8. Blank lines are skipped.
  private static func forEachLine(_ body: (_ line: Int, JSON) throws -> Void) throws {
    if isatty(STDIN_FILENO) == 1 { Command.complain("reading JSON lines from the terminal; Ctrl-D ends them") }
    var input = InputLines()
    var number = 0
    while let bytes = try input.next() {
      number += 1
      if bytes.allSatisfy({ $0 == 0x20 || (0x09...0x0D).contains($0) }) { continue }
      do {
        try body(number, try JSON.parse(bytes))
      } catch let error as JSONError {
        throw UserError("line \(number) of the input is not JSON: \(error.problem) (column \(error.column))")
      }
    }
  }
}

/// Standard input, line by line. At most one line of `Limits.lineBytes` is in memory, also if the input has no end.
private struct InputLines {
  private var bytes: [UInt8] = []
  /// Bytes at the beginning that have been returned, and bytes that have no newline.
  private var taken = 0
  private var searched = 0
  private var number = 0
  private var chunk = [UInt8](repeating: 0, count: 1 << 16)

  /// - Returns: the next line without its newline; nil at the end.
  mutating func next() throws -> [UInt8]? {
    number += 1
    while true {
      let newline = bytes[searched...].firstIndex(of: UInt8(ascii: "\n"))
      searched = newline ?? bytes.count
      guard searched - taken <= Limits.lineBytes else {
        throw UserError("line \(number) of the input has more than \(Limits.lineBytes) bytes. Is a line break missing?")
      }
      if let newline {
        defer { (taken, searched) = (newline + 1, newline + 1) }
        return Array(bytes[taken..<newline])
      }
      guard try read() else {
        defer { taken = bytes.count }
        return taken < bytes.count ? Array(bytes[taken...]) : nil
      }
    }
  }

  /// - Returns: whether there were more bytes.
  private mutating func read() throws -> Bool {
    bytes.removeFirst(taken)
    (taken, searched) = (0, searched - taken)
    while true {
      let count = Glibc.read(STDIN_FILENO, &chunk, chunk.count)
      if count > 0 { bytes += chunk[..<count] }
      if count >= 0 { return count > 0 }
      guard errno == EINTR else { throw UserError("cannot read standard input: \(String(cString: strerror(errno)))") }
    }
  }
}

extension JSON {
  /// A member that must be a string.
  func text(_ key: String) throws -> String {
    guard let text = self[key]?.string else { throw UserError("\"\(key)\" is missing or not a string") }
    return text
  }

  /// A member that must be an answer: a string, or a number as it is written.
  func answer(_ key: String) throws -> String {
    switch self[key] {
    case .string(let text): return text
    case .number(let number): return number.literal
    case let other:
      throw UserError("\"\(key)\" is \(other?.summary ?? "missing"), expected an answer: a string or a number")
    }
  }

  /// A member that must be a list of token ids below a bound.
  func ids(_ key: String, below bound: Int) throws -> [Int32] {
    guard let elements = self[key]?.elements else { throw UserError("\"\(key)\" is missing or not a list of integers") }
    return try elements.map { element in
      guard let id = element.int, id >= 0, id < bound else {
        throw UserError("\"\(key)\" has \(element.summary), expected token ids from 0 to \(bound - 1)")
      }
      return Int32(id)
    }
  }
}
