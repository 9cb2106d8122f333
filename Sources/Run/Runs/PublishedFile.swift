// PublishedFile: the .safetensors file of a policy version, written from the version's bytes.

import Base
import LanguageModel
import Platform

extension SafeTensorsWriter {
  /// Writes the file, whose data are the bytes of a policy version.
  ///
  /// - Returns: the file's SHA-256, in hexadecimal.
  /// - Throws: `PlatformError`, for example on a full disk.
  func write(_ published: HeldBytes, to path: String) throws -> String {
    let file = try AtomicFile(path)
    var sum = SHA256()
    try file.write(header)
    sum.update(header)
    try published.forEachPiece { piece in
      try file.write(piece)
      sum.update(piece)
    }
    try file.commit()
    return sum.hex()
  }
}
