// TrainingBatch: sequences laid out as rows. A shared prompt is there once, and there is no padding.
//
// A row is a token that goes through the model: a group's prompt, then each of its responses without the last token,
// which is only predicted. A row predicts the next token. The last row of a prompt predicts the first token of every
// response of its group. Only rows that predict a response token reach the head.
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

  /// A sequence in which every token but the first is scored.
  package init(ids: [Int32], group: UInt32) {
    self.init(prompt: Array(ids.prefix(1)), response: Array(ids.dropFirst()), group: group)
  }
}

/// Adjacent rows of one sequence, which attend to a prefix and to the rows before them.
struct Segment {
  let prefix: Range<Int>
  let own: Range<Int>
  let table: PageTable
  /// The page table of the prefix; nil without a prefix. Its last page is copied.
  let prefixTable: PageTable?

  var delta: DeltaSegment { DeltaSegment(prefix: prefix, own: own) }
}

/// A response token that a row predicts.
struct Target {
  let sequence: Int
  /// The index in the response.
  let position: Int
  let token: Int32
}

/// A row that reaches the head. It predicts one token, or the first token of every response of its group.
struct HeadRow {
  let row: Int32
  /// Indices into the batch's targets.
  let targets: Range<Int>
}

/// The rows of one micro-batch.
struct TrainingBatch {
  private(set) var tokens: [Int32] = []
  private(set) var segments: [Segment] = []
  private(set) var headRows: [HeadRow] = []
  private(set) var targets: [Target] = []
  let rows: RowList
  /// Each prompt with the responses that continue it.
  var groups: [[Segment]] {
    segments.reduce(into: []) { groups, segment in
      if segment.prefixTable == nil { groups.append([]) }
      groups[groups.count - 1].append(segment)
    }
  }

  /// The number of keys of the longest sequence.
  private(set) var keysMax = 0

  /// Lays out sequences. `pages` have room for one layer.
  /// - Throws: `.emptyPrompt`, `.tooLong`, `.tokenOutsideVocabulary`.
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
      throw .tooLong(source: source, tokens: count, configuration)
    }
    let vocabulary = 0..<Int32(configuration.vocabularySize)
    for tokens in [sequence.prompt, sequence.response] {
      if let token = tokens.first(where: { !vocabulary.contains($0) }) {
        throw .tokenOutsideVocabulary(token: token, source: source, vocabularySize: configuration.vocabularySize)
      }
    }
  }

  /// The indices of each group's sequences. Groups are in the order of their first sequences.
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
    let firstTarget = targets.count
    for member in members {
      guard let token = sequences[member].response.first else { continue }
      targets.append(Target(sequence: member, position: 0, token: token))
    }
    if targets.count > firstTarget {
      headRows.append(HeadRow(row: Int32(promptRows.upperBound - 1), targets: firstTarget..<targets.count))
    }
    keysMax = max(keysMax, prompt.count)
    for member in members {
      let sequence = sequences[member]
      precondition(sequence.prompt == prompt, "sequence \(member): the prompts of group \(sequence.group) differ")
      if sequence.response.count > 1 { addResponse(sequence.response, of: member, after: promptRows, table) }
    }
  }

  /// A response of at least two tokens.
  private mutating func addResponse(
    _ response: [Int32], of sequence: Int, after prompt: Range<Int>, _ promptTable: PageTable
  ) {
    let count = prompt.count + response.count - 1
    let table = PageTable(continuing: promptTable, after: prompt.count, positions: count)
    let range = append(response.dropLast(), firstPosition: prompt.count, table: table)
    segments.append(Segment(prefix: prompt, own: range, table: table, prefixTable: promptTable))
    keysMax = max(keysMax, count)
    for position in 1..<response.count {
      headRows.append(
        HeadRow(row: Int32(range.lowerBound + position - 1), targets: targets.count..<targets.count + 1))
      targets.append(Target(sequence: sequence, position: position, token: response[position]))
    }
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
