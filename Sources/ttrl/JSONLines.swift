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
        for answer in try body(value) { print(answer.text()) }
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
    guard let input = fdopen(STDIN_FILENO, "r") else { throw UserError("there is no standard input") }
    if isatty(STDIN_FILENO) == 1 { Command.complain("reading JSON lines from the terminal; Ctrl-D ends them") }
    var buffer: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(buffer) }
    var number = 0
    while case let count = getline(&buffer, &capacity, input), count > 0 {
      number += 1
      let bytes = Array(UnsafeRawBufferPointer(start: buffer, count: count))
      if bytes.allSatisfy({ $0 == 0x20 || (0x09...0x0D).contains($0) }) { continue }
      do {
        try body(number, try JSON.parse(bytes))
      } catch let error as JSONError {
        throw UserError("line \(number) of the input is not JSON: \(error.problem) (column \(error.column))")
      }
    }
  }
}

extension JSON {
  /// A member that must be a string.
  func text(_ key: String) throws -> String {
    guard let text = self[key]?.string else { throw UserError("\"\(key)\" is missing or not a string") }
    return text
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
