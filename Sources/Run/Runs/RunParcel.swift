// RunParcel: a run's small files, for learner ranks that do not share a disk with rank 0.
//
// Rank 0 opens the run from its directory and sends these files to the other ranks; they open the same run from them.
// So another machine needs the program and nothing else: no run directory, no model, no key. Weights and optimizer
// state travel by themselves (LearnerRole). The files live for as long as it takes to read them, in a private
// directory: everything that a rank needs is in memory then.

import Base
import Platform
import Records

package enum RunParcel {
  /// More than any tokenizer and question set; bounds what a rank allocates.
  private static let fileBytesMax = 1 << 30
  /// What opening a run reads of its model, apart from the weights.
  private static let modelFiles = [
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
  ]

  /// The files of an open run, as bytes.
  ///
  /// - Throws: `PlatformError` if one cannot be read.
  package static func pack(_ run: Run) throws -> [UInt8] {
    let own = [run.directory.settings] + QuestionSet.allCases.map(run.directory.questions)
    let sources =
      own.map { ($0, String($0.dropFirst(run.directory.path.count + 1))) }
      + modelFiles.map { ("\(run.model.path)/\($0)", "model/\($0)") }
    var writer = ByteWriter()
    for (path, name) in sources where Files.exists(path) {
      writer.write(name)
      writer.write(try Files.read(path))
    }
    return writer.bytes
  }

  /// The run that another rank has packed.
  ///
  /// Its directory is gone when this returns; rank 0 alone reads and writes files of the run.
  /// - Throws: if the bytes are no parcel, or there is no room for the files.
  package static func open(_ bytes: [UInt8]) throws -> Run {
    let directory = try Files.makeTemporaryDirectory(prefix: "ttrl-rank")
    defer { try? Files.removeTree(directory) }
    try Files.createDirectory(directory + "/model")
    var reader = ByteReader(bytes)
    while reader.remaining > 0 {
      let name = try reader.readString("name of a file", limit: 256)
      let content = try reader.readBytes("file", limit: fileBytesMax)
      try Files.write(content, to: "\(directory)/\(name)", mode: 0o600)
    }
    return try Run(opening: RunDirectory(directory), modelAt: directory + "/model")
  }
}
