// TrainingBatch: sequences laid out as rows, every shared prompt once, no padding.
//
// Rows are tokens that go through the model: a group's prompt, then each of its responses without its last token (which
// is predicted, never fed). A row predicts the next token; the last row of a prompt predicts the first token of every
// response of its group. Those predictions are the only rows that reach the head.
// Not here: running the rows (Backpropagation).

import Tensors

/// One response and the prompt it continues.
package struct TrainingSequence: Sendable {
  package var prompt: [Int32]
  package var response: [Int32]
  /// Sequences of one group have the same prompt, which goes through the model once.
  package var group: UInt32

  package init(prompt: [Int32], response: [Int32], group: UInt32) {
    self.prompt = prompt
    self.response = response
    self.group = group
  }

  /// Token ids to be scored one by one: all but the first are the response.
  package init(ids: [Int32], group: UInt32) {
    self.init(prompt: Array(ids.prefix(1)), response: Array(ids.dropFirst()), group: group)
  }
}

/// Rows that attend to a prefix and to each other.
struct Segment {
  let prefix: Range<Int>
  let own: Range<Int>
  let table: PageTable
  /// Of the prefix, where there is one: its last page is copied.
  let prefixTable: PageTable?
}

/// A token that a row predicts.
struct Target {
  let sequence: Int
  /// In the response.
  let position: Int
  let token: Int32
}

/// A row that reaches the head, and what it predicts there: one token, or the first one of every response.
struct HeadRow {
  let row: Int
  var targets: [Target]
}

/// The rows of one micro-batch.
struct TrainingBatch {
  private(set) var tokens: [Int32] = []
  private(set) var segments: [Segment] = []
  private(set) var headRows: [HeadRow] = []
  let rows: RowList
  /// Keys of the longest sequence.
  private(set) var keysMax = 0

  /// - Parameter pages: of one layer.
  init(_ sequences: [TrainingSequence], configuration: ModelConfiguration, pages: KeyValuePages) throws(ModelError) {
    rows = RowList(pages, capacity: 1024)
    for (index, sequence) in sequences.enumerated() {
      try check(sequence, index, configuration)
    }
    for members in groups(of: sequences) { add(members, of: sequences, pages: pages) }
  }

  private func check(
    _ sequence: TrainingSequence, _ index: Int, _ configuration: ModelConfiguration
  ) throws(ModelError) {
    let source = "sequence \(index)"
    guard !sequence.prompt.isEmpty else { throw .emptyPrompt(source: source) }
    let count = sequence.prompt.count + sequence.response.count
    guard count <= configuration.maxPositions else {
      throw .tooLong(source: source, tokens: count, maxPositions: configuration.maxPositions)
    }
    let vocabulary = 0..<Int32(configuration.vocabularySize)
    for tokens in [sequence.prompt, sequence.response] {
      if let token = tokens.first(where: { !vocabulary.contains($0) }) {
        throw .tokenOutsideVocabulary(token: token, source: source, vocabularySize: configuration.vocabularySize)
      }
    }
  }

  /// Indices of the sequences of each group, groups in order of their first sequence.
  private func groups(of sequences: [TrainingSequence]) -> [[Int]] {
    var places: [UInt32: Int] = [:]  // looked up, never iterated
    var groups: [[Int]] = []
    for (index, sequence) in sequences.enumerated() {
      if let place = places[sequence.group] {
        groups[place].append(index)
      } else {
        places[sequence.group] = groups.count
        groups.append([index])
      }
    }
    return groups
  }

  private mutating func add(_ members: [Int], of sequences: [TrainingSequence], pages: KeyValuePages) {
    let prompt = sequences[members[0]].prompt
    let table = PageTable(pages, positions: prompt.count)
    let promptRows = append(prompt, firstPosition: 0, table: table)
    segments.append(Segment(prefix: 0..<0, own: promptRows, table: table, prefixTable: nil))
    var first = HeadRow(row: promptRows.upperBound - 1, targets: [])
    var others: [HeadRow] = []
    for member in members {
      let sequence = sequences[member]
      precondition(sequence.prompt == prompt, "sequence \(member): the prompts of group \(sequence.group) differ")
      guard let token = sequence.response.first else { continue }
      first.targets.append(Target(sequence: member, position: 0, token: token))
      keysMax = max(keysMax, prompt.count + sequence.response.count)
      guard sequence.response.count > 1 else { continue }
      let own = PageTable(
        continuing: table, after: prompt.count, positions: prompt.count + sequence.response.count - 1)
      let range = append(sequence.response.dropLast(), firstPosition: prompt.count, table: own)
      segments.append(Segment(prefix: promptRows, own: range, table: own, prefixTable: table))
      for (offset, token) in sequence.response.dropFirst().enumerated() {
        let target = Target(sequence: member, position: offset + 1, token: token)
        others.append(HeadRow(row: range.lowerBound + offset, targets: [target]))
      }
    }
    keysMax = max(keysMax, prompt.count)
    if !first.targets.isEmpty { headRows.append(first) }
    headRows += others
  }

  private mutating func append(
    _ added: some Collection<Int32>, firstPosition: Int, table: PageTable
  ) -> Range<Int> {
    let start = tokens.count
    tokens += added
    for position in firstPosition..<firstPosition + added.count { rows.append(position: position, table: table) }
    return start..<tokens.count
  }
}
