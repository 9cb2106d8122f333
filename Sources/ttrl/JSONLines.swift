// JSONLines: commands that read one JSON object per line and write one per line, in order.

import Base
import Foundation
import Platform
import Settings

enum JSONLines {
  /// Calls `body` for every line of standard input and prints what it returns, one line each.
  ///
  /// - Throws: at the first bad line, with its number; what came before it has been printed.
  static func transform(_ body: (JSON) throws -> [JSON]) throws -> Int32 {
    var number = 0
    while let line = readLine(strippingNewline: true) {
      number += 1
      if line.allSatisfy(\.isWhitespace) { continue }
      do {
        for answer in try body(try JSON.parse(line)) { print(answer.text()) }
      } catch let error as JSONError {
        throw UserError("line \(number) of the input is not JSON: \(error.problem) (column \(error.column))")
      } catch {
        throw UserError("line \(number) of the input: \(error)")
      }
    }
    return ExitStatus.done
  }

  /// All objects of standard input, with their line numbers.
  static func read() throws -> [(line: Int, value: JSON)] {
    var objects: [(Int, JSON)] = []
    var number = 0
    while let line = readLine(strippingNewline: true) {
      number += 1
      if line.allSatisfy(\.isWhitespace) { continue }
      do {
        objects.append((number, try JSON.parse(line)))
      } catch {
        throw UserError("line \(number) of the input is not JSON: \(error.problem) (column \(error.column))")
      }
    }
    return objects
  }
}

extension JSON {
  /// A member that must be a string.
  func text(_ key: String) throws -> String {
    guard let text = self[key]?.string else { throw UserError("\"\(key)\" is missing or no string") }
    return text
  }

  /// A member that must be a list of token ids below a bound.
  func ids(_ key: String, below bound: Int) throws -> [Int32] {
    guard let elements = self[key]?.elements else { throw UserError("\"\(key)\" is missing or no list of integers") }
    return try elements.map { element in
      guard let id = element.int, id >= 0, id < bound else {
        throw UserError("\"\(key)\" has \(element.summary), expected token ids from 0 to \(bound - 1)")
      }
      return Int32(id)
    }
  }
}
