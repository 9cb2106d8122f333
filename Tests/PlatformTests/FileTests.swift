// Files: replaced completely or not at all, locked by one process, and every error names the path and the next step.

import Glibc
import Platform
import Synchronization
import Testing

/// What a thread sees that looks for a directory while it is replaced.
private final class Looks: Sendable {
  let missing = Atomic<Int>(0)
  let isOver = Atomic<Bool>(false)
  let hasEnded = Atomic<Bool>(false)
}

@Suite struct FileTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  @Test(arguments: [0, 1, 4095, 4096, 100_000])
  func `what is written is read back`(count: Int) throws {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    try Files.write(bytes, to: directory("file"))
    #expect(try Files.read(directory("file")) == bytes)
    #expect(try Files.size(of: directory("file")) == count)
    let mapped = try MappedFile(directory("file"))
    #expect(Array(mapped.bytes) == bytes)
  }

  @Test func `a directory takes the place of another one, which is removed, and its name is never free`() throws {
    let (name, new) = (directory("final"), directory("final.partial"))
    func make(_ path: String, _ text: String) throws {
      try Files.createDirectory(path)
      try Files.write(text, to: path + "/content")
    }
    try make(new, "first")
    try Files.replaceDirectory(name, with: new)
    #expect(try Files.readText(name + "/content") == "first")
    // Another thread looks all the time.
    let looks = Looks()
    try startThread(named: "looks") {
      while !looks.isOver.load(ordering: .relaxed) {
        if (try? Files.exists(name)) != true { looks.missing.add(1, ordering: .relaxed) }
      }
      looks.hasEnded.store(true, ordering: .relaxed)
    }
    for number in 0..<300 {
      try make(new, "\(number)")
      try Files.replaceDirectory(name, with: new)
      #expect(try Files.readText(name + "/content") == "\(number)")
      #expect(try Files.list(directory.path) == ["final"])
    }
    looks.isOver.store(true, ordering: .relaxed)
    while !looks.hasEnded.load(ordering: .relaxed) { usleep(1000) }
    #expect(looks.missing.load(ordering: .relaxed) == 0)
  }

  @Test func `a file that is not committed leaves the old content and no temporary file`() throws {
    try Files.write("old", to: directory("file"))
    do {
      let file = try AtomicFile(directory("file"))
      try file.write(utf8("new"))
    }
    #expect(try Files.readText(directory("file")) == "old")
    #expect(try Files.list(directory.path) == ["file"])
  }

  @Test func `readers of the old content keep it when a file is replaced`() throws {
    try Files.write("old", to: directory("file"))
    let mapped = try MappedFile(directory("file"))
    try Files.write("newer", to: directory("file"))
    #expect(text(Array(mapped.bytes)) == "old")
    #expect(try Files.readText(directory("file")) == "newer")
  }

  private func inode(_ name: String) -> ino_t {
    var facts = stat()
    return stat(directory(name), &facts) == 0 ? facts.st_ino : 0
  }

  @Test(arguments: ["short", "as long as it", "longer than what it replaces"])
  func `a spare file is written over and gets the new name, whatever its length`(content: String) throws {
    try Files.write("the old bytes", to: directory("spare"))
    let old = inode("spare")
    let file = try AtomicFile(directory("file"), over: directory("spare"))
    #expect(throws: PlatformError.self) { try MappedFile(directory("file.tmp-\(getpid())"), isLocked: true) }
    try file.write(utf8(content))
    try file.commit()
    #expect(try Files.readText(directory("file")) == content)
    #expect(inode("file") == old)
    #expect(try Files.list(directory.path) == ["file"])
    let mapped = HeldBytes.file(try MappedFile(directory("file"), isLocked: true))
    #expect(mapped.withBytes { text(Array($0)) } == content)
  }

  @Test func `a spare file that is read, has another name, or is a link, is not written over`() throws {
    try Files.write("old", to: directory("spare"))
    let reader = HeldBytes.file(try MappedFile(directory("spare"), isLocked: true))
    func write() throws {
      let file = try AtomicFile(directory("file"), over: directory("spare"))
      try file.write(utf8("new"))
      try file.takeName()
      #expect(try Files.readText(directory("file")) == "new")
      #expect(try !Files.exists(directory("spare")))
    }
    try write()
    #expect(reader.withBytes { text(Array($0)) } == "old")
    try Files.write("old", to: directory("kept"))
    #expect(link(directory("kept"), directory("spare")) == 0)
    try write()
    #expect(symlink(directory("kept"), directory("spare")) == 0)
    try write()
    #expect(try Files.readText(directory("kept")) == "old")
  }

  @Test func `a digest in the background is the digest of all pieces`() throws {
    let pieces = (0..<20).map { piece in (0..<piece * 1000).map { UInt8(truncatingIfNeeded: $0 &* piece) } }
    let digest = try BackgroundDigest()
    for piece in pieces { digest.update(piece) }
    #expect(digest.digest() == SHA256.digest(of: pieces.flatMap { $0 }))
    _ = try BackgroundDigest()
    #expect(BackgroundResult { 7 }.value() == 7)
  }

  @Test func `a file above the limit is refused before it is read`() throws {
    try Files.write("12345", to: directory("file"))
    #expect(throws: PlatformError.tooLarge(path: directory("file"), bytes: 5, limit: 4)) {
      try Files.read(directory("file"), limit: 4)
    }
    #expect(try Files.read(directory("file"), limit: 5).count == 5)
  }

  @Test func `files that report size 0 are read to their end`() throws {
    #expect(try Files.readText("/proc/self/status").contains("Threads:"))
  }

  @Test func `directories are made with their parents, for their owner only`() throws {
    try Files.createDirectory(directory("a/b/c"))
    try Files.createDirectory(directory("a/b/c"))
    var facts = stat()
    #expect(stat(directory("a/b"), &facts) == 0 && facts.st_mode & 0o777 == 0o700)
    #expect(try Files.list(directory("a")) == ["b"])
  }

  @Test func `the error names a file that has the name of a directory`() throws {
    try Files.write("", to: directory("a"))
    let error = #expect(throws: PlatformError.self) { try Files.createDirectory(directory("a/b")) }
    #expect(error == .file(operation: "create directory", path: directory("a"), code: EEXIST))
  }

  @Test func `names are listed in byte order`() throws {
    for name in ["b", "a10", "a9", "B", "é"] { try Files.write("", to: directory(name)) }
    #expect(try Files.list(directory.path) == ["B", "a10", "a9", "b", "é"])
  }

  @Test func `removing a tree removes links, but not what they point to`() throws {
    try Files.createDirectory(directory("tree/deep"))
    try Files.createDirectory(directory("kept"))
    try Files.write("precious", to: directory("kept/file"))
    #expect(symlink(directory("kept"), directory("tree/deep/link")) == 0)
    try Files.removeTree(directory("tree"))
    try Files.removeTree(directory("tree"))
    #expect(try !Files.exists(directory("tree")))
    #expect(try Files.readText(directory("kept/file")) == "precious")
  }

  @Test func `an error says what was done, where, why it failed and what to do next`() {
    let path = directory("missing/file")
    let error = #expect(throws: PlatformError.self) { try Files.read(path) }
    #expect(
      error.map { "\($0)" } == "cannot read \(path): No such file or directory (ENOENT). Check the path")
  }

  @Test func `a full disk is an error with a remedy`() throws {
    // A device on which every write fails as on a full disk.
    let file = try LineFile("/dev/full")
    let error = #expect(throws: PlatformError.self) { try file.append("line") }
    #expect(error == .file(operation: "write", path: "/dev/full", code: ENOSPC))
    #expect(error.map { "\($0)".contains("Free space") } == true)
  }

  @Test func `lines are appended, and a torn last line is removed when the file is opened again`() throws {
    do {
      let file = try LineFile(directory("lines"))
      try file.append("one")
      try file.append("two")
      try file.sync()
    }
    try Files.write(try Files.read(directory("lines")) + utf8("{\"torn\":"), to: directory("lines"))
    let file = try LineFile(directory("lines"))
    try file.append("three")
    #expect(try Files.readText(directory("lines")) == "one\ntwo\nthree\n")
  }

  @Test func `a run directory has one coordinator, and a second one gets the pid of the first`() throws {
    var first: RunLock? = try RunLock(directory: directory.path, owner: "coordinator")
    #expect(try RunLock.holder(directory: directory.path, name: "lock") == getpid())
    #expect(try RunLock.holder(directory: directory.path, name: "lock.other") == nil)
    let error = #expect(throws: PlatformError.self) { try RunLock(directory: directory.path, owner: "coordinator") }
    #expect(error == .locked(directory: directory.path, owner: "coordinator", pid: getpid()))
    #expect(error.map { "\($0)".contains("another coordinator (pid \(getpid()))") } == true)
    withExtendedLifetime(first) {}
    first = nil
    _ = try RunLock(directory: directory.path, owner: "coordinator")
  }
}

@Suite struct SHA256Tests {
  /// FIPS 180-4's examples.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func `the standard's examples have their digests`(message: String, digest: String) {
    #expect(SHA256.hex(of: utf8(message)) == digest)
  }

  @Test func `a file and its bytes have the same digest, also when hashed in pieces`() throws {
    let directory = try TemporaryDirectory()
    let bytes = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try Files.write(bytes, to: directory("file"))
    var pieces = SHA256()
    pieces.update(Array(bytes[..<1000]))
    pieces.update(Array(bytes[1000...]))
    let digest = pieces.hex()
    #expect(digest == SHA256.hex(of: bytes))
    #expect(try SHA256.hex(ofFile: directory("file")) == digest)
  }
}
