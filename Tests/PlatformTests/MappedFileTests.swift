// Mapped files that change under their readers, and files in use. Each reader that must end is a process of its own.

import Foundation
import Platform
import Testing

/// Maps a file of two pages, and reads its second page after `change`.
private func readSecondPage(after change: (_ path: String) -> Void) throws {
  let directory = try TemporaryDirectory()
  try Files.write([UInt8](repeating: 7, count: 8192), to: directory("weights"))
  let file = try MappedFile(directory("weights"), remedy: "Start again: they are made again.")
  change(directory("weights"))
  withExtendedLifetime(file) { precondition(file.bytes[5000] == 7) }
}

/// The second page of a file that is cut short, mapped without `MappedFile`.
private func readUnwatchedPage() throws {
  let directory = try TemporaryDirectory()
  try Files.write([UInt8](repeating: 7, count: 8192), to: directory("other"))
  let number = open(directory("other"), O_RDONLY)
  let start = try #require(mmap(nil, 8192, PROT_READ, MAP_PRIVATE, number, 0))
  try Files.shorten(directory("other"), to: 10)
  precondition(start.load(fromByteOffset: 5000, as: UInt8.self) == 7)
}

@Suite struct MappedFileTests {
  @Test func `a file that is cut short while it is mapped ends the process with one clear paragraph`() async {
    let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
      try readSecondPage { try? Files.shorten($0, to: 10) }
    }
    let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
    #expect(text.contains("cannot go on: /tmp/ttrl-test-"), "\(text)")
    #expect(text.contains("/weights was cut short while it was in use"), "\(text)")
    #expect(text.contains("Start again: they are made again.\n"), "\(text)")
  }

  @Test func `a file that is removed or replaced while it is mapped is still read`() throws {
    try readSecondPage { unlink($0) }
    try readSecondPage { try? Files.write("short", to: $0) }
  }

  @Test func `a bus error that is not of a mapped file has its usual effect`() async {
    await #expect(processExitsWith: .signal(SIGBUS)) {
      try readSecondPage { _ in }
      try readUnwatchedPage()
    }
    await #expect(processExitsWith: .signal(SIGBUS)) {
      try readSecondPage { _ in kill(getpid(), SIGBUS) }
    }
  }

  @Test func `ranges are forgotten with their files, so that any number can be mapped one after the other`() throws {
    let directory = try TemporaryDirectory()
    try Files.write("x", to: directory("file"))
    for _ in 0..<10_000 { _ = try MappedFile(directory("file")) }
    try readSecondPage { _ in }
  }
}

@Suite struct FileLockTests {
  let directory: TemporaryDirectory
  init() throws { directory = try TemporaryDirectory() }

  @Test func `one process has a lock at a time, and its holder is known`() throws {
    let first = try FileLock.take(directory("lock"))
    #expect(first != nil && FileLock.holder(directory("lock")) == getpid())
    #expect(try FileLock.take(directory("lock")) == nil)
    withExtendedLifetime(first) {}
  }

  @Test func `a lock whose file is removed by its holder is taken in a new file`() throws {
    var first = try FileLock.take(directory("lock"))
    first?.removeFile()
    let second = try FileLock.take(directory("lock"))
    #expect(second != nil)
    first = nil
    #expect(first == nil)
    #expect(try FileLock.take(directory("lock")) == nil)
    withExtendedLifetime(second) {}
  }

  @Test func `a file that a process reads is in use, and is not removed`() throws {
    try Files.write("content", to: directory("file"))
    var reader: MappedFile? = try MappedFile(directory("file"), isLocked: true)
    #expect(try FileLock.isInUse(directory("file")) == true)
    #expect(try !FileLock.removeUnused(directory("file")))
    #expect(reader != nil)
    reader = nil
    #expect(try FileLock.isInUse(directory("file")) == false)
    #expect(try FileLock.removeUnused(directory("file")))
    #expect(try FileLock.isInUse(directory("file")) == nil)
    #expect(try !FileLock.removeUnused(directory("file")))
  }
}
