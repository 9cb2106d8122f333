// Layers: the layers of the program, read from Package.swift.
//
// The manifest is read as text: each module is one `module(…)`, each layer one list of the array `layers`.

import Foundation

struct Module {
  var name: String
  /// Its folder in Sources; empty for a program.
  var folder: String
  /// `pure`, `numeric` or `shell`.
  var kind: String
  var imports: [String]
  /// 0 is the lowest.
  var layer: Int

  /// Whether results depend on arguments only.
  var isPure: Bool { kind != "shell" }
}

enum Layers {
  static let modules: [Module] = {
    guard let text = SourceTree.read("Package.swift")?.text,
      let start = text.range(of: "let layers: [[Module]] = ["),
      let end = text.range(of: "\n]\n", range: start.upperBound..<text.endIndex)
    else { return [] }
    let body = text[start.upperBound..<end.lowerBound]
    return body.components(separatedBy: "\n  [\n").dropFirst().enumerated().flatMap { layer, part in
      part.matches(of: /module\(\s*"([^"]+)", in: "([^"]*)", \.(\w+),\s*imports: \[([^\]]*)\]/).map { match in
        Module(
          name: String(match.1), folder: String(match.2), kind: String(match.3),
          imports: match.4.matches(of: /"([^"]+)"/).map { String($0.1) }, layer: layer)
      }
    }
  }()

  static func module(_ name: String) -> Module? { modules.first { $0.name == name } }

  /// Whether a target is C: its name begins with C, and it is not a module of a layer.
  static func isShim(_ target: String) -> Bool { target.hasPrefix("C") && module(target) == nil }
}
