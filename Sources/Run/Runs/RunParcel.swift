// RunParcel: a run's small files, for learner ranks that do not share a disk with rank 0.
//
// Rank 0 opens the run from its directory and sends these files to the other ranks, which open the same run from them.
// So another machine needs only the program: no run directory, no model, no key. Weights and optimizer state are sent
// separately (LearnerRole). A rank keeps the files in a private directory until it has read them into memory.

import Base
import LanguageModel
import Platform
import Records

package enum RunParcel {
  /// Larger than any tokenizer or question set. It bounds what a rank allocates.
  private static let fileBytesMax = 1 << 30
  /// The model's files that opening a run reads, without the weights.
  private static let modelFiles = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
    "chat_template.jinja",
  ]

  /// The files of an open run, as bytes.
  ///
  /// - Throws: `PlatformError` if one cannot be read.
  package static func pack(_ run: Run) throws -> [UInt8] {
    let own = [run.directory.settings] + QuestionSet.allCases.map(run.directory.questions)
    let adapter = "\(run.directory.adapter)/\(AdapterFile.configurationName)"
    let sources =
      (own + [adapter]).map { ($0, String($0.dropFirst(run.directory.path.count + 1))) }
      + modelFiles.map { ("\(run.model.path)/\($0)", "model/\($0)") }
    var writer = ByteWriter()
    for (path, name) in sources where try Files.exists(path) {
      writer.write(name)
      writer.write(try Files.read(path))
    }
    return writer.bytes
  }

  /// Opens the run that rank 0 has packed.
  ///
  /// Its directory no longer exists when this returns. Only rank 0 reads and writes the run's files.
  /// - Throws: if the bytes are not a parcel, or there is no room for the files.
  package static func open(_ bytes: [UInt8]) throws -> Run {
    let directory = try OwnedDirectory.temporary(prefix: "ttrl-rank")
    defer { try? Files.removeTree(directory) }
    for part in ["model", "adapter"] { try Files.createDirectory("\(directory)/\(part)") }
    var reader = ByteReader(bytes)
    while reader.remaining > 0 {
      let name = try reader.readString("name of a file", limit: 256)
      let content = try reader.readBytes("file", limit: fileBytesMax)
      try Files.write(content, to: "\(directory)/\(name)", mode: 0o600)
    }
    return try Run(opening: RunDirectory(directory), modelAt: directory + "/model")
  }
}
