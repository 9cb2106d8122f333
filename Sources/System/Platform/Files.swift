// Files: whole files and directories.
//
// What must survive a crash is written with `AtomicFile`: a reader sees the old content or the new, never a mixture,
// and the new content is on the disk when `commit` returns. Neither writing nor removing a tree follows symbolic links.
// Elsewhere: AtomicFile, OwnedDirectory (directories that others cannot change), SecretFile, MappedFile (weights),
// LineFile (metrics), RunLock.

import CLinux
import Glibc

package enum Files {
  /// The whole file.
  /// - Throws: `.tooLarge` above `limit` bytes, `.file` otherwise.
  package static func read(
    _ path: String, limit: Int = PlatformLimits.fileBytes
  ) throws(PlatformError) -> [UInt8] {
    let file = try Descriptor(opening: path, O_RDONLY, to: "read")
    let size = try file.size()
    guard size <= limit else { throw .tooLarge(path: path, bytes: size, limit: limit) }
    var bytes: [UInt8] = []
    // Files in /proc and pipes have size 0, so the end is found by reading: one byte more than the size.
    var chunk = [UInt8](repeating: 0, count: max(size + 1, 4096))
    while true {
      let count = try file.read(into: &chunk)
      guard bytes.count + count <= limit else {
        throw .tooLarge(path: path, bytes: bytes.count + count, limit: limit)
      }
      bytes.append(contentsOf: chunk[..<count])
      if count < chunk.count { return bytes }
    }
  }

  /// A part of a file.
  ///
  /// - Parameters:
  ///   - path: of the file.
  ///   - start: where the part begins.
  ///   - count: its bytes; fewer are returned if the file ends before.
  /// - Throws: `.file`.
  package static func read(_ path: String, from start: Int, count: Int) throws(PlatformError) -> [UInt8] {
    let file = try Descriptor(opening: path, O_RDONLY, to: "read")
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let read = bytes.withUnsafeMutableBytes {
        pread(file.number, $0.baseAddress?.advanced(by: done), count - done, start + done)
      }
      if read < 0, errno == EINTR { continue }
      guard read >= 0 else { throw .file(operation: "read", path: path, code: errno) }
      if read == 0 { break }
      done += read
    }
    return Array(bytes.prefix(done))
  }

  /// The whole file as text; bytes that are not UTF-8 become U+FFFD.
  package static func readText(
    _ path: String, limit: Int = PlatformLimits.fileBytes
  ) throws(PlatformError) -> String {
    String(decoding: try read(path, limit: limit), as: UTF8.self)
  }

  /// Replaces the file as one step that survives a crash.
  package static func write(_ bytes: [UInt8], to path: String, mode: UInt32 = 0o644) throws(PlatformError) {
    let file = try AtomicFile(path, mode: mode)
    try file.write(bytes)
    try file.commit()
  }

  /// Replaces the file as one step that survives a crash.
  package static func write(_ text: String, to path: String, mode: UInt32 = 0o644) throws(PlatformError) {
    try write(Array(text.utf8), to: path, mode: mode)
  }

  /// Replaces the file as one step, without waiting for the disk: for what is worthless after a crash.
  package static func writeForNow(_ bytes: [UInt8], to path: String) throws(PlatformError) {
    let file = try AtomicFile(path)
    try file.write(bytes)
    try file.takeName()
  }

  /// Appends all of the bytes, or none, to a file that is made if it does not exist.
  package static func append(_ bytes: [UInt8], to path: String) throws(PlatformError) {
    let file = try Descriptor(writing: path, O_WRONLY | O_CREAT | O_APPEND, to: "append to")
    let before = try file.size()
    do throws(PlatformError) {
      try bytes.span.withUnsafeBytes { buffer throws(PlatformError) in try file.write(buffer) }
    } catch {
      ftruncate(file.number, before)
      throw error
    }
  }

  /// Cuts off the end of a file.
  package static func shorten(_ path: String, to bytes: Int) throws(PlatformError) {
    let file = try Descriptor(writing: path, O_WRONLY, to: "shorten")
    guard ftruncate(file.number, bytes) == 0 else { throw .file(operation: "shorten", path: path, code: errno) }
  }

  /// Whether the path leads to something. What this user may not see is an error, not "no".
  ///
  /// - Throws: `.file`.
  package static func exists(_ path: String) throws(PlatformError) -> Bool {
    if access(path, F_OK) == 0 { return true }
    guard errno == ENOENT || errno == ENOTDIR else { throw .file(operation: "look at", path: path, code: errno) }
    return false
  }

  package static func isDirectory(_ path: String) -> Bool {
    var facts = stat()
    return stat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether two paths lead to the same file or directory.
  package static func areSame(_ path: String, _ other: String) -> Bool {
    var (facts, others) = (stat(), stat())
    guard stat(path, &facts) == 0, stat(other, &others) == 0 else { return false }
    return facts.st_dev == others.st_dev && facts.st_ino == others.st_ino
  }

  /// Bytes in the file.
  package static func size(of path: String) throws(PlatformError) -> Int {
    try Descriptor(opening: path, O_RDONLY, to: "read the size of").size()
  }

  /// What is known about a file or directory without opening it. A link is not followed.
  package struct Facts: Sendable {
    package var bytes: Int
    /// When its content was changed, or `markUsed` was called: seconds since 1970.
    package var changed: Double
    /// Different for all files of a file system that exist at the same time.
    package var number: UInt64
  }

  /// - Returns: nil if nothing has this name.
  /// - Throws: `.file`.
  package static func facts(of path: String) throws(PlatformError) -> Facts? {
    var facts = stat()
    guard lstat(path, &facts) == 0 else {
      guard errno == ENOENT || errno == ENOTDIR else { throw .file(operation: "look at", path: path, code: errno) }
      return nil
    }
    let changed = Double(facts.st_mtim.tv_sec) + Double(facts.st_mtim.tv_nsec) / 1e9
    return Facts(bytes: Int(facts.st_size), changed: changed, number: UInt64(facts.st_ino))
  }

  /// Sets the time of a file's last change to now.
  ///
  /// - Throws: `.file`.
  package static func markUsed(_ path: String) throws(PlatformError) {
    guard utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW) == 0 else {
      throw .file(operation: "mark as used", path: path, code: errno)
    }
  }

  /// Bytes that this user can still write to the file system of a directory.
  ///
  /// - Throws: `.file`.
  package static func room(in path: String) throws(PlatformError) -> Int {
    var facts = statvfs()
    guard statvfs(path, &facts) == 0 else { throw .file(operation: "look at", path: path, code: errno) }
    let (bytes, isTooLarge) = Int(clamping: facts.f_bavail).multipliedReportingOverflow(by: Int(facts.f_frsize))
    return isTooLarge ? .max : bytes
  }

  /// Makes the directory and its parents, by default with mode 0700. A directory that exists is not changed.
  package static func createDirectory(_ path: String, mode: UInt32 = 0o700) throws(PlatformError) {
    if isDirectory(path) { return }
    let parent = directory(of: path)
    if parent != path { try createDirectory(parent, mode: mode) }
    // Another process can have made it in the meantime.
    guard mkdir(path, mode) == 0 || errno == EEXIST && isDirectory(path) else {
      throw .file(operation: "create directory", path: path, code: errno)
    }
    try syncDirectory(parent)
  }

  /// The names in a directory, sorted by their bytes, without "." and "..".
  package static func list(_ path: String) throws(PlatformError) -> [String] {
    guard let stream = opendir(path) else { throw .file(operation: "list", path: path, code: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    errno = 0
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
        tuple.withMemoryRebound(to: CChar.self, capacity: Int(NAME_MAX) + 1) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
      errno = 0
    }
    guard errno == 0 else { throw .file(operation: "list", path: path, code: errno) }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Removes a file, or a directory with everything in it. Does nothing if the path does not exist.
  package static func removeTree(_ path: String) throws(PlatformError) {
    if unlink(path) == 0 || errno == ENOENT { return }
    guard errno == EISDIR || errno == EPERM, isRealDirectory(path) else {
      throw .file(operation: "remove", path: path, code: errno)
    }
    for name in try list(path) { try removeTree(path + "/" + name) }
    guard rmdir(path) == 0 || errno == ENOENT else { throw .file(operation: "remove", path: path, code: errno) }
  }

  /// Renames a file or directory in one step; the change is on the disk when this returns. An existing file is
  /// replaced, an existing directory only if it is empty.
  package static func rename(_ old: String, to new: String) throws(PlatformError) {
    try renameForNow(old, to: new)
    try syncDirectory(directory(of: new))
    if directory(of: old) != directory(of: new) { try syncDirectory(directory(of: old)) }
  }

  /// Gives a directory a name that another one can have. At every moment, one of the two has it; on file systems that
  /// cannot exchange names there is a moment at which none has it. The other one is removed.
  ///
  /// - Throws: `.file`.
  package static func replaceDirectory(_ name: String, with new: String) throws(PlatformError) {
    guard try exists(name) else { return try rename(new, to: name) }
    if ttrl_exchange(new, name) == 0 {
      try syncDirectory(directory(of: name))
      return try removeTree(new)
    }
    try removeTree(name)
    try rename(new, to: name)
  }

  /// Renames a file in one step, without waiting for the disk.
  package static func renameForNow(_ old: String, to new: String) throws(PlatformError) {
    guard Glibc.rename(old, new) == 0 else { throw .file(operation: "rename to \(new)", path: old, code: errno) }
  }

  /// Gives a file a second name, which stays when the first is removed. Where that is not possible, for example on
  /// another file system, the file is copied. A link is followed.
  ///
  /// - Throws: `.file`.
  package static func linkOrCopy(_ old: String, to new: String) throws(PlatformError) {
    if linkat(AT_FDCWD, old, AT_FDCWD, new, AT_SYMLINK_FOLLOW) == 0 { return }
    guard errno != EEXIST else { throw .file(operation: "link to \(old)", path: new, code: errno) }
    try copy(old, to: new)
  }

  /// Copies a file.
  ///
  /// - Throws: `.file`.
  package static func copy(_ old: String, to new: String) throws(PlatformError) {
    let source = try Descriptor(opening: old, O_RDONLY, to: "copy")
    let copy = try AtomicFile(new)
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = try source.read(into: &chunk)
      try copy.write(Array(chunk[..<count]))
      if count < chunk.count { return try copy.commit() }
    }
  }

  /// Makes a link to a path that is relative to the link's directory. An existing link is replaced in one step.
  ///
  /// - Throws: `.file`.
  package static func linkSymbolically(_ path: String, from link: String) throws(PlatformError) {
    let temporary = "\(link).tmp-\(getpid())"
    unlink(temporary)
    guard symlink(path, temporary) == 0 else { throw .file(operation: "make a link", path: link, code: errno) }
    try rename(temporary, to: link)
  }

  /// Starts to write the content of a file to the disk, so that `sync` has to wait less.
  package static func startSync(_ path: String) throws(PlatformError) {
    try Descriptor(opening: path, O_RDONLY, to: "sync").startSync()
  }

  /// Returns when the content of a file is on the disk.
  package static func sync(_ path: String) throws(PlatformError) {
    try Descriptor(opening: path, O_RDONLY, to: "sync").sync()
  }

  /// Returns when the names in a directory are on the disk. The content of its files is not synced.
  package static func syncDirectory(_ path: String) throws(PlatformError) {
    try Descriptor(opening: path, O_RDONLY | O_DIRECTORY, to: "sync").sync()
  }

  /// The part of a path before the last name: "a/b" → "a", "/a" → "/", "a" → ".".
  package static func directory(of path: String) -> String {
    let trimmed = path.count > 1 && path.hasSuffix("/") ? String(path.dropLast()) : path
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  /// Whether it is a directory and not a link to one.
  package static func isRealDirectory(_ path: String) -> Bool {
    var facts = stat()
    return lstat(path, &facts) == 0 && facts.st_mode & S_IFMT == S_IFDIR
  }
}
