// Prompt: one question as the model sees it. Written when a run is prepared; policies and the judge read it.

package import Base

package struct Prompt: Sendable, Equatable {
  /// Index in its question set.
  package var index: UInt32
  /// The question's tokens, template applied.
  package var tokens: [Int32]
  package var kind: AnswerKind
  /// Whether the prompt ends inside of thinking, so that a response begins there.
  package var opensThinking: Bool
  /// As `Question.order`.
  package var order: [UInt8]

  package init(
    index: UInt32, tokens: [Int32], kind: AnswerKind, opensThinking: Bool = false, order: [UInt8] = []
  ) {
    self.index = index
    self.tokens = tokens
    self.kind = kind
    self.opensThinking = opensThinking
    self.order = order
  }
}

/// One question of a run as the model sees it, for the user: the first training question, in full.
package struct ExamplePrompt: Sendable, Equatable {
  /// The question's.
  package var id: String
  package var text: String
  /// How many tokens the text has.
  package var tokens: Int
  /// How questions become prompts, in words.
  package var form: String

  package init(id: String, text: String, tokens: Int, form: String) {
    self.id = id
    self.text = text
    self.tokens = tokens
    self.form = form
  }

  package var json: JSON {
    ["id": .string(id), "text": .string(text), "tokens": .int(tokens), "form": .string(form)]
  }

  /// - Returns: nil for another JSON value.
  package init?(_ json: JSON) {
    guard let id = json["id"]?.string, let text = json["text"]?.string, let tokens = json["tokens"]?.int,
      let form = json["form"]?.string
    else { return nil }
    self.init(id: id, text: text, tokens: tokens, form: form)
  }

  /// What it is: "question 7, 43 tokens".
  package var title: String { "question \(id.visible), \(counted(tokens, "token"))" }
}

/// The trajectories of one prompt in one round that count, in the order of their samples: all, unless early stop left
/// some out.
package struct Group: Sendable, Equatable {
  package var prompt: UInt32
  package var trajectories: [Trajectory]

  package init(prompt: UInt32, trajectories: [Trajectory]) {
    self.prompt = prompt
    self.trajectories = trajectories
  }

  /// A step's batch as groups, in its order. The batch is in slot order, so the trajectories of a prompt are next to
  /// each other.
  package static func groups(of batch: [Trajectory]) -> [Group] {
    var groups: [Group] = []
    for trajectory in batch {
      if groups.last?.prompt == trajectory.slot.prompt {
        groups[groups.count - 1].trajectories.append(trajectory)
      } else {
        groups.append(Group(prompt: trajectory.slot.prompt, trajectories: [trajectory]))
      }
    }
    return groups
  }
}
