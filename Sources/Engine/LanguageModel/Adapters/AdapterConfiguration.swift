// AdapterConfiguration: the shape of a LoRA adapter.
//
// An adapter leaves a model's weights as they are and adds to some of its linear layers a product of low rank:
// y = W·x + scale · B·(A·x), with A [rank, inputs] and B [outputs, rank]. Only A and B are trained.
// Not here: which tensors an adapter has for a given model (AdapterLayout.swift), its files (HuggingFace/).
//
// Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685; rank-stabilised:
// Kalajdzievski, arXiv 2312.03732. Names and rules are those of PEFT 0.21 (LoraConfig).

/// What an adapter adds, and where.
package struct AdapterConfiguration: Sendable, Hashable {
  package var rank: Int
  package var alpha: Double
  /// rsLoRA: the products are scaled by alpha / √rank in place of alpha / rank.
  package var isRankStabilized: Bool
  /// Names of linear layers as PEFT has them: a name, or the end of one from a dot on, stands for every layer that is
  /// called so.
  package var targets: [String]

  /// Far above any adapter (PEFT's examples end at 512), and low enough that no size overflows.
  package static let rankMax = 1 << 14

  package init(rank: Int, alpha: Double, isRankStabilized: Bool = false, targets: [String]) {
    self.rank = rank
    self.alpha = alpha
    self.isRankStabilized = isRankStabilized
    self.targets = targets
  }

  /// What B·(A·x) is multiplied with.
  package var scale: Float {
    Float(isRankStabilized ? alpha / Double(rank).squareRoot() : alpha / Double(rank))
  }

  /// Whether a linear layer of this name gets an adapter.
  func isTarget(_ module: String) -> Bool { targets.contains { Self.matches($0, module) } }

  static func matches(_ target: String, _ module: String) -> Bool { module == target || module.hasSuffix("." + target) }
}

/// The usual choices of targets.
package enum AdapterTargets: String, Sendable, CaseIterable {
  /// Every linear layer, except the embedding and the head.
  case all
  /// The linear layers of the parts that mix positions.
  case attention
  case mlp

  /// The last parts of the layers' names in a model.
  package func names(in layout: ParameterLayout) -> [String] {
    var names: [String] = []
    for layer in layout.layers {
      let groups = LinearGroups(layer)
      let chosen =
        switch self {
        case .all: groups.mixer + groups.feedForward
        case .attention: groups.mixer
        case .mlp: groups.feedForward
        }
      for module in chosen.flatMap({ layout.modules(of: $0) }) {
        let name = String(module.name.split(separator: ".").last ?? "")
        if !names.contains(name) { names.append(name) }
      }
    }
    return names
  }
}

/// Why an adapter does not fit a model.
package enum AdapterError: Error, Equatable, Sendable, CustomStringConvertible {
  case noSuchTarget(String, known: [String])
  /// The embedding or the head.
  case notALayer(target: String)
  case badRank(Int)
  case badAlpha(Double)
  case noTargets

  package var description: String {
    switch self {
    case .noSuchTarget(let target, let known):
      "the adapter's target \"\(target)\" is not a linear layer of this model, which has "
        + "\(known.joined(separator: ", ")). Was the adapter made for another model?"
    case .notALayer(let target):
      "the adapter's target \"\(target)\" is the embedding or the head, which ttrl does not adapt; remove it from the "
        + "targets"
    case .badRank(let rank): "the adapter's rank is \(rank), expected 1 to \(AdapterConfiguration.rankMax)"
    case .badAlpha(let alpha): "the adapter's alpha is \(alpha), expected a number above 0"
    case .noTargets: "the adapter has no targets; name at least one linear layer"
    }
  }
}
