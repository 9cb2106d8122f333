// ReplicaCodec: the messages between a coordinator and its standbys, as bytes.

import Base
import Records

extension MessageCodec {
  static func encode(_ position: LedgerPosition, into out: inout ByteWriter) {
    out.write(position.term.number)
    out.write(position.number)
  }

  static func encode(_ request: FollowRequest, into out: inout ByteWriter) {
    out.write(request.runID)
    encode(request.position, into: &out)
    out.write(request.patience.nanoseconds)
  }

  static func encode(_ snapshot: ReplicaSnapshot, into out: inout ByteWriter) {
    out.write(snapshot.schema)
    encode(snapshot.position, into: &out)
    out.write(UInt32(snapshot.files.count))
    for file in snapshot.files {
      out.write(file.name)
      out.write(file.byteCount)
      out.append(file.digest.bytes)
    }
    encode(snapshot.kept, into: &out)
  }

  static func encode(_ commit: LedgerCommit, into out: inout ByteWriter) {
    out.write(commit.number)
    encode(commit.added, into: &out)
    out.write(UInt32(commit.removed.count))
    for version in commit.removed { out.write(version.number) }
    out.write(commit.changes)
  }

  private static func encode(_ manifests: [PolicyManifest], into out: inout ByteWriter) {
    out.write(UInt32(manifests.count))
    for manifest in manifests { encode(manifest, into: &out) }
  }

  static func addresses(_ reader: inout ByteReader) throws(ByteError) -> [String] {
    let count = try reader.readCount("standbys", limit: Limits.standbys, elementBytes: 4)
    var addresses: [String] = []
    for _ in 0..<count { addresses.append(try address(&reader)) }
    return addresses
  }

  private static func position(_ reader: inout ByteReader) throws(ByteError) -> LedgerPosition {
    LedgerPosition(term: Term(try reader.read()), number: try reader.read())
  }

  static func followRequest(_ reader: inout ByteReader) throws(ByteError) -> FollowRequest {
    FollowRequest(
      runID: try text(&reader, "run"), position: try position(&reader),
      patience: Instant.Span(nanoseconds: try reader.read()))
  }

  static func snapshot(_ reader: inout ByteReader) throws(ByteError) -> ReplicaSnapshot {
    let schema = try reader.read(UInt32.self)
    let position = try position(&reader)
    let count = try reader.readCount("files", limit: Limits.replicaFiles, elementBytes: 12 + ChunkDigest.byteCount)
    var files: [ReplicaFile] = []
    for _ in 0..<count {
      files.append(
        ReplicaFile(
          name: try reader.readString("name of a file", limit: Limits.addressBytes), byteCount: try reader.read(),
          digest: try digest(&reader)))
    }
    return ReplicaSnapshot(schema: schema, position: position, files: files, kept: try manifests(&reader))
  }

  static func commit(_ reader: inout ByteReader) throws(ByteError) -> LedgerCommit {
    let number = try reader.read(UInt64.self)
    let added = try manifests(&reader)
    let count = try reader.readCount("versions", limit: Limits.versionsPerCommit, elementBytes: 4)
    var removed: [PolicyVersion] = []
    for _ in 0..<count { removed.append(try version(&reader)) }
    return LedgerCommit(
      number: number, added: added, removed: removed,
      changes: try reader.readBytes("changes", limit: Limits.chunkBytes))
  }

  private static func manifests(_ reader: inout ByteReader) throws(ByteError) -> [PolicyManifest] {
    // 16 bytes: a version, a length, and the length of a digest.
    let count = try reader.readCount("versions", limit: Limits.versionsPerCommit, elementBytes: 16)
    var manifests: [PolicyManifest] = []
    for _ in 0..<count { manifests.append(try manifest(&reader)) }
    return manifests
  }
}
