// CheckpointNames: how the tensors of a file become the tensors of the layout.
//
// Models that see pictures have the language model inside the whole, under another name, beside the vision part and
// others. Only the language model is read; what is left out is said. The same model without the whole around it has the
// usual names. Phi-3's files have some neighbours of the layout as one tensor; they are read and written as one.

struct CheckpointNames: Sendable, Hashable {
  enum Use: Equatable {
    /// The tensor of this name.
    case tensor(String)
    /// A part that ttrl does not use.
    case unused(part: String)
  }

  private let family: ModelConfiguration.Family

  init(_ family: ModelConfiguration.Family) { self.family = family }

  /// How the language model's names begin in the whole, and how they begin here.
  private var wrapped: [(whole: String, own: String)] {
    switch family {
    case .qwen35: [("model.language_model.", "model.")]
    case .mistral, .ministral3, .gemma3: [("language_model.", ""), ("model.language_model.", "model.")]
    default: []
    }
  }

  /// Beginnings of names of the parts that are not used.
  private var unused: [(beginning: String, part: String)] {
    switch family {
    case .qwen35: [("model.visual.", "the vision part"), ("mtp.", "the multi-token prediction head")]
    case .mistral, .ministral3, .gemma3:
      ["", "model."].flatMap {
        [($0 + "vision_tower.", "the vision part"), ($0 + "multi_modal_projector.", "the vision part")]
      }
    default: []
    }
  }

  func use(of name: String) -> Use {
    for (whole, own) in wrapped where name.hasPrefix(whole) { return .tensor(own + name.dropFirst(whole.count)) }
    for (beginning, part) in unused where name.hasPrefix(beginning) { return .unused(part: part) }
    return .tensor(name)
  }

  /// The same for an adapter's tensors, whose names have those of the base's layers inside them.
  func useInAdapter(of name: String) -> Use {
    let prefix = AdapterLayout.namePrefix
    guard name.hasPrefix(prefix) else { return .tensor(name) }
    switch use(of: String(name.dropFirst(prefix.count))) {
    case .tensor(let own): return .tensor(prefix + own)
    case .unused(let part): return .unused(part: part)
    }
  }

  /// Ends of the names of neighbours in the layout, and the end of the name of what they are in files.
  private var fused: [(parts: [String], whole: String)] {
    switch family {
    case .phi3:
      [
        (["q_proj.weight", "k_proj.weight", "v_proj.weight"], "qkv_proj.weight"),
        (["gate_proj.weight", "up_proj.weight"], "gate_up_proj.weight"),
      ]
    default: []
    }
  }

  /// The tensors as files have them.
  func stored(_ tensors: [ParameterTensor]) -> [ParameterTensor] {
    var stored: [ParameterTensor] = []
    var rest = tensors[...]
    while let first = rest.popFirst() {
      guard let (parts, whole) = fused.first(where: { first.name.hasSuffix("." + $0.parts[0]) }) else {
        stored.append(first)
        continue
      }
      let others = rest.prefix(parts.count - 1)
      precondition(zip(others, parts.dropFirst()).allSatisfy { $0.name.hasSuffix($1) }, "\(whole) is not in one piece")
      rest = rest.dropFirst(others.count)
      let rows = others.reduce(first.shape[0]) { $0 + $1.shape[0] }
      let name = String(first.name.dropLast(parts[0].count)) + whole
      stored.append(ParameterTensor(name: name, shape: [rows, first.shape[1]], offset: first.offset))
    }
    return stored
  }
}
