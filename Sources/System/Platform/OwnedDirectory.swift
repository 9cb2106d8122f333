// OwnedDirectory: directories that no other user can change. The run, the cache, benchmarks and temporary files are in
// such directories only.
//
// Another user who can write to a directory can put a link where a file is about to be written, or a file of their own
// where one is about to be read. So a directory has to belong to this user, and only this user may write to it; both
// are read from the open directory, whatever has its name a moment later. Files in it are opened without following a
// link (Descriptor). Links on the way to the directory are followed: a user can keep runs on another disk. Not checked
// are the directories above it: a user who can rename there can put another directory in this one's place, and that one
// is refused when it is opened the next time.

import Glibc

package enum OwnedDirectory {
  /// Bits of a mode that let other users write.
  private static let othersWrite: mode_t = 0o022

  // MARK: Existing directories

  /// Checks a directory that is there.
  ///
  /// - Parameters:
  ///   - path: of the directory; a link is followed.
  ///   - isReadOnly: nothing is written to it, so it can also be root's.
  /// - Throws: `.directoryRefused`, or `.file` if it cannot be opened.
  package static func require(_ path: String, isReadOnly: Bool = false) throws(PlatformError) {
    _ = try open(path, isReadOnly: isReadOnly)
  }

  /// The same; the check is of the directory that is returned.
  static func open(_ path: String, isReadOnly: Bool = false) throws(PlatformError) -> Descriptor {
    let directory = try Descriptor(opening: path, O_RDONLY | O_DIRECTORY, to: "open directory")
    let facts = try directory.facts()
    try check(path, facts, isReadOnly: isReadOnly)
    guard facts.st_mode & othersWrite == 0 else {
      throw .directoryRefused(path: path, .shared(owner: facts.st_uid, mode: facts.st_mode & 0o7777))
    }
    return directory
  }

  /// The user that a directory belongs to.
  ///
  /// - Throws: `.file` if it cannot be opened.
  package static func owner(of path: String) throws(PlatformError) -> UInt32 {
    try Descriptor(opening: path, O_RDONLY | O_DIRECTORY, to: "open directory").facts().st_uid
  }

  private static func check(_ path: String, _ facts: stat, isReadOnly: Bool = false) throws(PlatformError) {
    guard facts.st_uid == User.current || isReadOnly && facts.st_uid == 0 else {
      throw .directoryRefused(path: path, .ofAnother(owner: facts.st_uid, mode: facts.st_mode & 0o7777))
    }
  }

  // MARK: New directories

  /// Makes the directory and its parents. One that is there is taken if it is this user's. Afterwards only this user
  /// can enter it (mode 0700).
  ///
  /// If others could write to it before, entries that belong to others are refused: they can be links, or can still be
  /// changed.
  /// - Throws: `.directoryRefused`, or `.file`.
  package static func make(_ path: String) throws(PlatformError) {
    try Files.createDirectory(path)
    let directory = try Descriptor(opening: path, O_RDONLY | O_DIRECTORY, to: "open directory")
    let facts = try directory.facts()
    try check(path, facts)
    guard facts.st_mode & 0o077 != 0 else { return }
    guard fchmod(directory.number, 0o700) == 0 else { throw .file(operation: "make private", path: path, code: errno) }
    let mode = try directory.facts().st_mode & 0o7777
    guard mode & othersWrite == 0 else { throw .directoryRefused(path: path, .keepsNoModes(mode: mode)) }
    if facts.st_mode & othersWrite != 0 { try refuseStrangers(in: path) }
  }

  private static func refuseStrangers(in path: String) throws(PlatformError) {
    for name in try Files.list(path) {
      var facts = stat()
      guard lstat("\(path)/\(name)", &facts) == 0, facts.st_uid != User.current else { continue }
      // A file system of its own has a directory that belongs to root.
      if name == "lost+found", facts.st_uid == 0 { continue }
      throw .directoryRefused(path: path, .stranger(entry: name, owner: facts.st_uid))
    }
  }

  /// What `make` would refuse; changes nothing.
  ///
  /// - Throws: `.directoryRefused`, or `.file`.
  package static func rehearse(_ path: String) throws(PlatformError) {
    var place = path
    while try !Files.exists(place) {
      let parent = Files.directory(of: place)
      if parent == place { break }
      place = parent
    }
    let directory = try Descriptor(opening: place, O_RDONLY | O_DIRECTORY, to: "use")
    if place == path { try check(path, try directory.facts()) }
    guard access(place, W_OK | X_OK) == 0 else {
      throw .file(operation: place == path ? "write to" : "create \(path) in", path: place, code: errno)
    }
  }

  // MARK: Temporary directories

  /// Where temporary directories can be if TMPDIR does not say, in this order.
  private static let temporaryPlaces = ["/tmp", "/var/tmp"]

  /// The directory in which temporary directories are made.
  package static var temporaryPlace: String {
    let given = getenv("TMPDIR").map { String(cString: $0) } ?? ""
    guard given.isEmpty else { return given }
    return temporaryPlaces.first { problem(ofTemporaryPlace: $0) == nil } ?? temporaryPlaces[0]
  }

  /// Makes an empty directory whose name cannot be foreseen, and that only this user can enter.
  ///
  /// - Returns: its path.
  /// - Throws: `.directoryRefused` if others could rename it, or `.file`.
  package static func temporary(prefix: String) throws(PlatformError) -> String {
    let parent = temporaryPlace
    if let problem = problem(ofTemporaryPlace: parent) { throw problem }
    var template = Array("\(parent)/\(prefix)-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw .file(operation: "make a temporary directory in", path: parent, code: errno)
    }
    return String(nulTerminated: template)
  }

  /// Whether another user could rename what this user makes there: if it is that user's, or if all can write to it and
  /// it has no sticky bit.
  private static func problem(ofTemporaryPlace path: String) -> PlatformError? {
    var facts = stat()
    guard stat(path, &facts) == 0 else {
      return .file(operation: "make a temporary directory in", path: path, code: errno)
    }
    // In a container, the owner can be a user of the host that the container does not know. The kernel then shows this.
    let unknown: uid_t = 65534
    guard [User.current, 0, unknown].contains(facts.st_uid) else {
      return .directoryRefused(path: path, .temporary(owner: facts.st_uid, mode: facts.st_mode & 0o7777))
    }
    guard facts.st_mode & othersWrite == 0 || facts.st_mode & S_ISVTX != 0 else {
      return .directoryRefused(path: path, .temporary(owner: facts.st_uid, mode: facts.st_mode & 0o7777))
    }
    return nil
  }
}

/// Why a directory is not used.
package enum DirectoryProblem: Equatable, Sendable {
  case ofAnother(owner: UInt32, mode: UInt32)
  /// Others can write to it.
  case shared(owner: UInt32, mode: UInt32)
  /// Others could write to it, and something in it is not this user's.
  case stranger(entry: String, owner: UInt32)
  /// chmod has no effect on its file system.
  case keepsNoModes(mode: UInt32)
  /// Others can rename what is in it.
  case temporary(owner: UInt32, mode: UInt32)
}

extension DirectoryProblem {
  /// What was seen, what was expected, and what to do.
  func text(_ path: String) -> String {
    let me = User.name()
    switch self {
    case .ofAnother(let owner, let mode):
      return "it belongs to \(User.name(owner)) (mode \(octal(mode))), who can replace any file in it, and this "
        + "process runs as \(me). Expected a directory of \(me)'s own. Run ttrl as \(User.name(owner)), or choose a "
        + "path that does not exist yet, or give the directory to \(me): chown -R \(User.current) \(path)"
    case .shared(let owner, let mode):
      return "other users can write to it (owner \(User.name(owner)), mode \(octal(mode))), so they can change what is "
        + "in it. Expected a directory that only \(me) can write to. If no other user has changed it: "
        + "chmod go-w \(path)"
    case .stranger(let entry, let owner):
      return "other users could write to it, and \(entry) in it belongs to \(User.name(owner)). Expected only files of "
        + "\(me). Remove \(entry), or choose another directory"
    case .keepsNoModes(let mode):
      return "its mode is \(octal(mode)) also after chmod 700, so its file system does not keep other users out. "
        + "Choose a directory on another file system"
    case .temporary(let owner, let mode):
      return "other users can rename what is in it (owner \(User.name(owner)), mode \(octal(mode))). Expected a "
        + "directory of \(me) or of root, with the sticky bit if others can write to it. Set TMPDIR to a directory of "
        + "your own"
    }
  }
}

/// A mode as chmod takes it: "0755".
func octal(_ mode: UInt32) -> String { "0" + String(mode, radix: 8) }
