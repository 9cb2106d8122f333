// ModelError: the errors of preparing and running a model.

import Base
package import Tensors

/// A model that cannot be prepared or run.
package enum ModelError: LastingError, CustomStringConvertible {
  case multiplication(MultiplicationError)
  /// `source` names the sequence, as "prompt 17" or "sequence 3".
  case emptyPrompt(source: String)
  case tokenOutsideVocabulary(token: Int32, source: String, vocabularySize: Int)
  case tooLong(source: String, tokens: Int, ModelConfiguration)
  case notFinite(source: String)

  package var description: String {
    switch self {
    case .multiplication(let error): error.description
    case .emptyPrompt(let source):
      "running the model on \(source): the prompt has no tokens; it needs at least 1. Add a beginning-of-text token"
    case .tokenOutsideVocabulary(let token, let source, let size):
      "running the model on \(source): token \(token) is outside the vocabulary 0..<\(size). "
        + "Does the tokenizer belong to this model?"
    case .tooLong(let source, let tokens, let model):
      "running the model on \(source): it has \(tokens) tokens; "
        + (model.contextNote ?? "the model has positions for \(model.maxPositions)")
        + ". Use shorter prompts or fewer new tokens"
    case .notFinite(let source):
      "running the model on \(source): a logit is NaN or infinite. The weights are damaged or training diverged; "
        + "start from an earlier checkpoint"
    }
  }

  package var isLasting: Bool {
    // A multiplication can fail for lack of memory, and there can be enough memory the next time.
    if case .multiplication = self { return false }
    return true
  }
}

/// Runs `body` and turns the error of a multiplication into a `ModelError`.
func multiplying<Result>(_ body: () throws(MultiplicationError) -> Result) throws(ModelError) -> Result {
  do {
    return try body()
  } catch {
    throw .multiplication(error)
  }
}
