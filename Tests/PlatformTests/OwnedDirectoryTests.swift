// Directories that other users can change are refused, and no write follows a link that another user could have put
// there. What other users do is in EndToEndTests/OtherUsersTests; here the links are made by this user.

import Glibc
import Platform
import Testing

@Suite struct OwnedDirectoryTests {
  let directory: TemporaryDirectory
  /// A file that must stay as it is.
  let precious: String

  init() throws {
    directory = try TemporaryDirectory()
    precious = directory("precious")
    try Files.write("precious", to: precious)
  }

  private func mode(of path: String) -> UInt32 {
    var facts = stat()
    return stat(path, &facts) == 0 ? facts.st_mode & 0o7777 : 0
  }

  // MARK: Directories

  @Test(arguments: [0o720, 0o702, 0o777, 0o1777] as [UInt32])
  func `a directory that others can write to is refused, with the command that mends it`(_ open: UInt32) throws {
    try Files.createDirectory(directory("run"))
    chmod(directory("run"), open)
    let error = #expect(throws: PlatformError.self) { try OwnedDirectory.require(directory("run")) }
    #expect(error == .directoryRefused(path: directory("run"), .shared(owner: geteuid(), mode: open)))
    #expect(error.map { "\($0)".contains("chmod go-w \(directory("run"))") } == true)
    #expect(throws: PlatformError.self) { try RunLock(directory: directory("run"), owner: "coordinator") }
    #expect(try Files.list(directory("run")).isEmpty)
    chmod(directory("run"), open & ~0o022)
    try OwnedDirectory.require(directory("run"))
  }

  @Test func `a directory that is taken for new files becomes private`() throws {
    for open in [0o755, 0o775, 0o777] as [UInt32] {
      try Files.createDirectory(directory("a"))
      chmod(directory("a"), open)
      try OwnedDirectory.make(directory("a"))
      #expect(mode(of: directory("a")) == 0o700)
    }
    try OwnedDirectory.make(directory("b/c"))
    #expect(mode(of: directory("b/c")) == 0o700)
  }

  @Test func `a link to a directory of one's own is followed`() throws {
    try Files.createDirectory(directory("disk/runs"))
    #expect(symlink(directory("disk"), directory("link")) == 0)
    try OwnedDirectory.make(directory("link/runs/first"))
    _ = try RunLock(directory: directory("link/runs/first"), owner: "coordinator")
    #expect(try Files.list(directory("disk/runs/first")) == ["lock"])
  }

  @Test(.enabled(if: geteuid() == 0, "only root can give files away"))
  func `a directory of another user is refused, and nothing is put there`() throws {
    let path = directory("run")
    try Files.createDirectory(path)
    #expect(chown(path, 65534, 65534) == 0)
    let refusal = PlatformError.directoryRefused(path: path, .ofAnother(owner: 65534, mode: 0o700))
    #expect(throws: refusal) { try OwnedDirectory.make(path) }
    #expect(throws: refusal) { try OwnedDirectory.require(path) }
    #expect(throws: refusal) { try OwnedDirectory.rehearse(path) }
    #expect(throws: refusal) { try RunLock(directory: path, owner: "coordinator") }
    #expect(throws: refusal) { try RunLock.holder(directory: path, name: "lock") }
    #expect(try Files.list(path).isEmpty)
    #expect("\(refusal)".contains("(mode 0700)") && "\(refusal)".contains("chown -R \(geteuid()) \(path)"))
  }

  @Test(.enabled(if: geteuid() == 0, "only root can give files away"))
  func `what another user left in a directory that was open is refused`() throws {
    try Files.createDirectory(directory("run"))
    #expect(symlink(precious, directory("run/lock")) == 0 && lchown(directory("run/lock"), 65534, 65534) == 0)
    chmod(directory("run"), 0o777)
    let error = #expect(throws: PlatformError.self) { try OwnedDirectory.make(directory("run")) }
    #expect(error == .directoryRefused(path: directory("run"), .stranger(entry: "lock", owner: 65534)))
  }

  @Test func `a directory that cannot be made is found before it is tried`() throws {
    try OwnedDirectory.rehearse(directory("new/deep"))
    #expect(try !Files.exists(directory("new")))
    let error = #expect(throws: PlatformError.self) { try OwnedDirectory.rehearse(directory("precious/run")) }
    #expect(error == .file(operation: "use", path: precious, code: ENOTDIR))
  }

  @Test func `temporary directories have names that cannot be foreseen, where others cannot rename them`() throws {
    let former = getenv("TMPDIR").map { String(cString: $0) }
    defer { if let former { setenv("TMPDIR", former, 1) } else { unsetenv("TMPDIR") } }
    try Files.createDirectory(directory("tmp"))
    setenv("TMPDIR", directory("tmp"), 1)
    chmod(directory("tmp"), 0o1777)
    let made = try (0..<2).map { _ in try OwnedDirectory.temporary(prefix: "ttrl-x") }
    #expect(made[0] != made[1] && made.allSatisfy { $0.hasPrefix(directory("tmp/ttrl-x-")) && mode(of: $0) == 0o700 })
    chmod(directory("tmp"), 0o777)
    let error = #expect(throws: PlatformError.self) { try OwnedDirectory.temporary(prefix: "ttrl-x") }
    #expect(error == .directoryRefused(path: directory("tmp"), .temporary(owner: geteuid(), mode: 0o777)))
    #expect(try Files.list(directory("tmp")).count == 2)
  }

  // MARK: Links in place of files

  @Test func `no file is written through a link`() throws {
    let link = directory("link")
    #expect(symlink(precious, link) == 0)
    #expect(throws: PlatformError.self) { try LineFile(link) }
    #expect(throws: PlatformError.self) { try Files.append(utf8("x"), to: link) }
    #expect(throws: PlatformError.self) { try Files.shorten(link, to: 1) }
    let error = #expect(throws: PlatformError.self) {
      try RunLock(directory: directory.path, name: "link", owner: "coordinator")
    }
    #expect(error == .file(operation: "open", path: link, code: ELOOP))
    #expect(error.map { "\($0)".contains("A link has that name") } == true)
    #expect(throws: PlatformError.self) { try RunLock.holder(directory: directory.path, name: "link") }
    #expect(try Files.readText(precious) == "precious")
  }

  @Test func `a file is replaced, not what a link under its name or its temporary name points to`() throws {
    for name in ["file", "file.tmp-\(getpid())"] { #expect(symlink(precious, directory(name)) == 0) }
    try Files.write("new", to: directory("file"))
    try Files.writeForNow(utf8("newer"), to: directory("file"))
    #expect(try Files.readText(directory("file")) == "newer")
    #expect(try Files.readText(precious) == "precious")
    #expect(try Files.list(directory.path) == ["file", "precious"])
  }

  @Test func `a child's output does not go through a link`() throws {
    #expect(symlink(precious, directory("log")) == 0)
    var command = ChildProcess.Command("echo", ["overwritten"])
    command.output = .file(directory("log"))
    let loop = try EventLoop()
    #expect(throws: PlatformError.file(operation: "open", path: directory("log"), code: ELOOP)) {
      try ChildProcess(command, loop: loop) { _ in }
    }
    #expect(try Files.readText(precious) == "precious")
  }

  @Test func `a secret is made once, for its owner only, and never in place of something else`() throws {
    #expect(try SecretFile.make(utf8("secret"), at: directory("token"), "the token"))
    #expect(mode(of: directory("token")) == 0o600)
    #expect(try SecretFile.read(directory("token"), limit: 99, "the token") == .success(utf8("secret")))
    #expect(symlink(directory("nowhere"), directory("dangling")) == 0)
    for taken in ["token", "precious", "dangling"] {
      #expect(try !SecretFile.make(utf8("other"), at: directory(taken), "the token"))
    }
    #expect(try Files.readText(precious) == "precious")
    #expect(try Files.readText(directory("token")) == "secret")
    #expect(try !Files.exists(directory("nowhere")))
    #expect(try SecretFile.read(precious, limit: 99, "the token") == .failure(.open(mode: 0o644)))
    #expect(mkfifo(directory("pipe"), 0o600) == 0)
    #expect(try SecretFile.read(directory("pipe"), limit: 99, "the token") == .failure(.notAFile))
  }
}
