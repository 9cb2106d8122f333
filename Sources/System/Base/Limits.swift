// Limits: the bounds that several modules share, each with its reason. Reaching one is an error or an effect; nothing
// grows past it. A bound of one module is in an extension beside its code, in the module's own Limits.swift.

package enum Limits {
  /// Buckets of gradients in transfer between learner ranks: enough that adding one overlaps with the transfer of the
  /// next, and few enough that the buffers for arriving buckets are small compared with the gradient. The memory plan
  /// counts those buffers.
  package static let bucketsInFlight = 4
  /// Restarts of one process within `restartWindow` before the supervisor gives up. The schedule of `ttrl-dev chaos`
  /// does not exceed it.
  package static let restarts = 5
  package static let restartWindow = Instant.Span.seconds(60)

  // MARK: What users give

  /// One line of JSON lines, and one element of a JSON array of questions: a prompt of `questionBytes`, or all
  /// responses of a group, with room for columns that are ignored. Work on a line takes up to 30 times its bytes of
  /// memory.
  package static let lineBytes = 16 << 20
  /// The text of one question: as many tokens as a prompt can have (`tokensPerSequence`), at 4 bytes each.
  package static let questionBytes = 4 << 20
  /// A question's right answer. Whole proofs are shorter.
  package static let answerBytes = 64 << 10
  /// A question's id, source and set: names that logs, tables and pages show.
  package static let questionNameBytes = 4096
  /// Problems of one question file; reading stops there. Each is as long as a line of text, and a line of the file can
  /// be two bytes.
  package static let questionProblems = 10_000
  /// The value of one setting. The longest are templates, system lines and suffixes, which are a part of every prompt:
  /// this is half of a context of 131,072 tokens.
  package static let settingBytes = 256 << 10
  /// Settings of one command line, file or run: ten times as many as there are. Each unknown name is compared with all
  /// names.
  package static let settingsGiven = 1000
  /// A --config file: all its texts can be long, but not all of them as long as `settingBytes`.
  package static let settingsFileBytes = 2 << 20
  /// A file of machines, and machines in it: more than a launch can start.
  package static let hostsFileBytes = 1 << 20
  package static let hosts = 4096

  // MARK: Files of a model directory

  /// config.json and generation_config.json, which have a few kilobytes.
  package static let configurationBytes = 4 << 20
  /// tokenizer_config.json. The largest in use have 2 MB, because they repeat the added tokens.
  package static let tokenizerConfigBytes = 16 << 20
  /// A chat template, as text.
  package static let chatTemplateBytes = 1 << 20
  /// tokenizer.json. The largest in use have 260,000 tokens in 35 MB.
  package static let tokenizerBytes = 256 << 20
  /// One added token. Each is searched for at every place of a text. The longest in use have some 50 bytes.
  package static let addedTokenBytes = 1024
  /// model.safetensors.index.json. The largest in use have 90,000 tensors in 9 MB.
  package static let weightIndexBytes = 64 << 20
}

extension String {
  /// For messages that repeat what a user gave: a long text is cut off.
  package var excerpt: String { utf8.count <= 200 ? self : "\(prefix(60))… (\(utf8.count) bytes)" }
}
