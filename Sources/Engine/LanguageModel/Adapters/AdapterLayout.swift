// AdapterLayout: the place of each of an adapter's tensors in the flat array that is trained.
//
// The array has one A and one B for every targeted linear layer, layer after layer. Linear layers that read the same
// input are neighbours in a layer: first their As, which are multiplied as one, then their Bs. Which linear layers
// there are follows from the tensors as files have them, so a model whose files have q, k and v as one has one adapter
// there.
// Not here: their names in other programs' files (HuggingFace/), packing (PreparedAdapter.swift).

package struct AdapterLayout: Sendable, Hashable {
  /// The adapter of linear layers that read the same input.
  struct Group: Sendable, Hashable {
    /// The As, one below the other: [parts · rank, inputs].
    var down: Range<Int>
    var inputs: Int
    var parts: [Part]
  }

  struct Part: Sendable, Hashable {
    /// B: [columns, rank].
    var up: Range<Int>
    /// Which of the fused product's columns are the linear layer's outputs.
    var columns: Range<Int>
  }

  struct Layer: Sendable, Hashable {
    /// Where the layer's tensors begin in the flat array.
    var offset: Int
    var mixerInput, mixerOutput, gateUp, down: Group?
  }

  package let configuration: AdapterConfiguration
  package let tensors: TensorLayout
  let layers: [Layer]

  /// - Throws: if a target is not a linear layer of the model.
  package init(_ configuration: AdapterConfiguration, of model: ParameterLayout) throws(AdapterError) {
    guard 1...AdapterConfiguration.rankMax ~= configuration.rank else { throw .badRank(configuration.rank) }
    guard configuration.alpha > 0, configuration.scale.isFinite else { throw .badAlpha(configuration.alpha) }
    guard !configuration.targets.isEmpty else { throw .noTargets }
    try Self.check(configuration.targets, model)
    var list = AdapterList(configuration)
    var layers: [Layer] = []
    for layer in model.layers {
      let groups = LinearGroups(layer)
      let offset = list.count
      layers.append(
        Layer(
          offset: offset, mixerInput: list.add(groups.mixerInput, model),
          mixerOutput: list.add(groups.mixerOutput, model),
          gateUp: list.add(groups.gateUp, model), down: list.add(groups.down, model)))
    }
    self.configuration = configuration
    self.layers = layers
    tensors = TensorLayout(stored: list.tensors, count: list.count)
  }

  private static func check(_ targets: [String], _ model: ParameterLayout) throws(AdapterError) {
    let modules = model.layers.flatMap { layer in
      LinearGroups(layer).all.flatMap { model.modules(of: $0).map(\.name) }
    }
    for target in targets where !modules.contains(where: { AdapterConfiguration.matches(target, $0) }) {
      let others = [ParameterLayout.embeddingName, "lm_head.weight"].map { String($0.dropLast(".weight".count)) }
      if others.contains(where: { AdapterConfiguration.matches(target, $0) }) { throw .notALayer(target: target) }
      throw .noSuchTarget(target, known: AdapterTargets.all.names(in: model))
    }
  }
}

/// The tensors of a layer's linear layers, as indices into the layout; those with the same input together.
struct LinearGroups {
  let mixerInput, mixerOutput, gateUp, down: [Int]

  init(_ layer: ParameterLayout.Layer) {
    switch layer.mixer {
    case .attention(let names): mixerInput = [names.query, names.key, names.value]
    case .deltaRule(let names): mixerInput = names.projections
    }
    mixerOutput = [layer.mixer.output]
    gateUp = [layer.gate, layer.up]
    down = [layer.down]
  }

  var mixer: [[Int]] { [mixerInput, mixerOutput] }
  var feedForward: [[Int]] { [gateUp, down] }
  var all: [[Int]] { mixer + feedForward }
}

extension ParameterLayout {
  /// A linear layer as files have it.
  struct Module {
    /// The name of its weight, without ".weight".
    var name: String
    var inputs: Int
    /// Its outputs, among those of the whole group.
    var columns: Range<Int>
  }

  /// The linear layers of tensors that are multiplied with the same input.
  func modules(of group: [Int]) -> [Module] {
    var (modules, first): ([Module], Int) = ([], 0)
    for index in group {
      let tensor = tensors[index]
      // What files have as one begins at the first of its tensors.
      if let whole = stored(at: tensor.offset) {
        modules.append(
          Module(
            name: String(whole.name.dropLast(".weight".count)), inputs: tensor.shape[1],
            columns: first..<first + whole.shape[0]))
      }
      first += tensor.shape[0]
    }
    return modules
  }

  private func stored(at offset: Int) -> ParameterTensor? {
    var (low, high) = (0, stored.count)
    while low < high {
      let middle = (low + high) / 2
      if stored[middle].offset < offset { low = middle + 1 } else { high = middle }
    }
    return low < stored.count && stored[low].offset == offset ? stored[low] : nil
  }
}

/// The tensors so far.
private struct AdapterList {
  let configuration: AdapterConfiguration
  var tensors: [ParameterTensor] = []
  var count = 0

  init(_ configuration: AdapterConfiguration) { self.configuration = configuration }

  /// nil if no linear layer of the group is a target.
  mutating func add(_ group: [Int], _ model: ParameterLayout) -> AdapterLayout.Group? {
    let modules = model.modules(of: group).filter { configuration.isTarget($0.name) }
    guard let inputs = modules.first?.inputs else { return nil }
    let start = count
    for module in modules { _ = add(module, AdapterLayout.downSuffix, [configuration.rank, inputs]) }
    let down = start..<count
    let parts = modules.map { module in
      AdapterLayout.Part(
        up: add(module, AdapterLayout.upSuffix, [module.columns.count, configuration.rank]), columns: module.columns)
    }
    return AdapterLayout.Group(down: down, inputs: inputs, parts: parts)
  }

  private mutating func add(_ module: ParameterLayout.Module, _ suffix: String, _ shape: [Int]) -> Range<Int> {
    let tensor = ParameterTensor(
      name: AdapterLayout.namePrefix + module.name + suffix, shape: shape, offset: count)
    tensors.append(tensor)
    count += tensor.count
    return tensor.range
  }
}

extension AdapterLayout {
  /// How the names in an adapter's file begin: PEFT's model has the base model inside it.
  static let namePrefix = "base_model.model."
  static let downSuffix = ".lora_A.weight"
  static let upSuffix = ".lora_B.weight"
}
