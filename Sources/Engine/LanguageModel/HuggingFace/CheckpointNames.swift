// CheckpointNames: what the tensors of a file are called here, and which of them are not used.
//
// Qwen3.5's models see pictures too. Their files have the language model inside the whole, under another name, beside
// the vision part and a head that predicts several tokens. Only the language model is read; what is left out is said.
// The same model without the whole around it has the usual names.

struct CheckpointNames: Sendable, Hashable {
  enum Use: Equatable {
    /// The tensor of this name.
    case tensor(String)
    /// A part that ttrl does not use.
    case unused(part: String)
  }

  private let isWrapped: Bool

  init(_ family: ModelConfiguration.Family) { isWrapped = family == .qwen35 }

  /// Beginnings of names: of the language model in the whole, and of the parts that are not used.
  private static let wrapped = "model.language_model."
  private static let unused = [("model.visual.", "the vision part"), ("mtp.", "the multi-token prediction head")]

  func use(of name: String) -> Use {
    guard isWrapped else { return .tensor(name) }
    if name.hasPrefix(Self.wrapped) { return .tensor("model." + name.dropFirst(Self.wrapped.count)) }
    for (beginning, part) in Self.unused where name.hasPrefix(beginning) { return .unused(part: part) }
    return .tensor(name)
  }
}
