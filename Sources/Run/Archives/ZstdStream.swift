// ZstdStream: bytes through zstd, a little at a time, in constant memory.

import CZstd

/// Compresses on one thread, so that the same bytes give the same bytes with the same version of zstd.
package final class ZstdCompressor {
  /// zstd's default. Higher levels make archives a tenth smaller and take several times as long.
  private static let level: Int32 = 3

  private let stream: OpaquePointer
  private var room = [UInt8](repeating: 0, count: ZSTD_CStreamOutSize())

  package init() {
    guard let stream = ZSTD_createCCtx() else { preconditionFailure("zstd has no memory for its tables (some 2 MB)") }
    self.stream = stream
    for (parameter, value) in [(ZSTD_c_compressionLevel, Self.level), (ZSTD_c_checksumFlag, 1)] {
      let code = ZSTD_CCtx_setParameter(stream, parameter, value)
      precondition(ZSTD_isError(code) == 0, "zstd refused a parameter of its own")
    }
  }

  deinit { ZSTD_freeCCtx(stream) }

  /// - Parameters:
  ///   - bytes: what comes next.
  ///   - isLast: nothing comes after it.
  ///   - write: gets what is packed so far.
  package func compress(_ bytes: [UInt8], isLast: Bool, _ write: ([UInt8]) throws -> Void) throws {
    try bytes.withUnsafeBytes { source in
      var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
      while true {
        let (left, packed) = room.withUnsafeMutableBytes { target in
          var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
          let left = ZSTD_compressStream2(stream, &output, &input, isLast ? ZSTD_e_end : ZSTD_e_continue)
          return (left, output.pos)
        }
        precondition(ZSTD_isError(left) == 0, "zstd cannot pack \(source.count) bytes")
        if packed > 0 { try write(Array(room[..<packed])) }
        if isLast ? left == 0 : input.pos == input.size { return }
      }
    }
  }
}

/// Bytes from anywhere: they are not trusted.
package final class ZstdDecompressor {
  private let stream: OpaquePointer
  private var room = [UInt8](repeating: 0, count: ZSTD_DStreamOutSize())
  /// Whether all bytes so far are whole frames: the input can end here.
  private(set) var isAtEnd = true

  package init() {
    guard let stream = ZSTD_createDCtx() else { preconditionFailure("zstd has no memory for its tables (some 2 MB)") }
    self.stream = stream
  }

  deinit { ZSTD_freeDCtx(stream) }

  /// Unpacks what comes next. Until the input is used up, what is unpacked is given to `write`.
  ///
  /// - Returns: why zstd refuses the bytes; nil if it does not.
  package func decompress(_ bytes: ArraySlice<UInt8>, _ write: (ArraySlice<UInt8>) -> Void) -> String? {
    bytes.withUnsafeBytes { source -> String? in
      var input = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
      while true {
        let (left, unpacked) = room.withUnsafeMutableBytes { target in
          var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
          let left = ZSTD_decompressStream(stream, &output, &input)
          return (left, output.pos)
        }
        if ZSTD_isError(left) != 0 { return String(cString: ZSTD_getErrorName(left)) }
        if unpacked > 0 { write(room[..<unpacked]) }
        isAtEnd = left == 0
        // A full buffer can mean that zstd holds more, except at the end of a frame.
        if input.pos == input.size, isAtEnd || unpacked < room.count { return nil }
      }
    }
  }
}
