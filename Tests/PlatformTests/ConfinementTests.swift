// Confined programs: what they may use, and that nothing is left of them. With the real `ttrl confine` and real
// programs.

import Base
import Foundation
import Platform
import Testing

@Suite(
  .timeLimit(.minutes(1)),
  .enabled(if: Confined.isBuilt, "no ttrl next to the test bundle; run: swift build -c release"))
struct ConfinementTests {
  private let directory = Confined.directory()

  /// Runs a shell script to its end.
  private func run(
    _ script: String, memoryBytes: Int = 0, processes: Int = 64
  ) throws -> (status: ChildProcess.ExitStatus?, output: String) {
    defer { try? Files.removeTree(directory) }
    let loop = try EventLoop()
    var output: [UInt8] = []
    var command = try Confined.command(
      ["/bin/sh", "-c", script], memoryBytes: memoryBytes, processes: processes, in: directory)
    command.output = .pipe { output += $0 }
    command.errors = .discarded
    var status: ChildProcess.ExitStatus?
    let child = try ChildProcess(command, loop: loop) {
      status = $0
      loop.stop()
    }
    loop.run(until: MonotonicClock.now() + .seconds(30))
    child.signal(Signal.kill)
    return (status, String(decoding: output, as: UTF8.self))
  }

  @Test func `a program has its arguments, its directory and its exit status`() throws {
    let ran = try run("pwd; echo $TMPDIR; exit 7")
    #expect(ran.status == .exited(7) && ran.output == "\(directory)\n\(directory)\n")
  }

  @Test func `a signal that ends it is 128 more`() throws {
    #expect(try run("kill -9 $$").status == .exited(137))
  }

  @Test func `a program that is not there is not started`() throws {
    defer { try? Files.removeTree(directory) }
    let loop = try EventLoop()
    var status: ChildProcess.ExitStatus?
    var command = try Confined.command(["/no/such/program"], memoryBytes: 0, processes: 9, in: directory)
    command.errors = .discarded
    let child = try ChildProcess(command, loop: loop) {
      status = $0
      loop.stop()
    }
    loop.run(until: MonotonicClock.now() + .seconds(30))
    #expect(status == Confinement.notStarted && child.status != nil)
  }

  @Test func `memory beyond the bound is refused`() throws {
    // dd takes a buffer of its block size.
    let block = "dd if=/dev/zero of=/dev/null bs=256M count=1"
    #expect(try run(block, memoryBytes: 1 << 30).status == .exited(0))
    #expect(try run(block, memoryBytes: 64 << 20).status != .exited(0))
  }

  @Test func `a program that starts too many processes is ended, and so are all of them`() throws {
    let mark = "ttrl-bomb-\(UUID().uuidString)"
    // Each process starts two more, seven times; the last ones leave the program's group, and new ones always end.
    let leaf = "setsid sh -c 'sleep 60; : \(mark)' & while :; do (:); done"
    let ran = try run(
      "f() { if [ $1 = 0 ]; then \(leaf); else f $(($1-1)) & f $(($1-1)) & wait; fi; }; f 7", processes: 32)
    #expect(ran.status == Confinement.crowded)
    #expect(Confined.commandLines(containing: mark).isEmpty)
  }

  @Test func `what a program leaves behind ends with it`() throws {
    let mark = "ttrl-orphan-\(UUID().uuidString)"
    #expect(try run("setsid sh -c 'sleep 60; : \(mark)' & sleep 0.2; exit 3").status == .exited(3))
    #expect(Confined.commandLines(containing: mark).isEmpty)
  }

  @Test(arguments: ["net", "pid"])
  func `a program has namespaces of its own exactly where the kernel allows it`(_ kind: String) throws {
    let path = "/proc/self/ns/\(kind)"
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: path)
    let isolation = Confinement.Isolation.here
    let isApart = try run("readlink \(path)").output != own + "\n"
    #expect(isApart == (kind == "net" ? isolation.noNetwork : isolation.ownProcesses))
  }
}

/// `ttrl confine`, beside the test bundle.
private enum Confined {
  static var isBuilt: Bool {
    (try? ThisProcess.sibling("ttrl")).map { FileManager.default.isExecutableFile(atPath: $0) } ?? false
  }

  static func directory() -> String {
    (try? OwnedDirectory.temporary(prefix: "ttrl-confined")) ?? NSTemporaryDirectory()
  }

  static func command(
    _ words: [String], memoryBytes: Int, processes: Int, in directory: String
  ) throws -> ChildProcess.Command {
    var command = Confinement.command(
      words, Confinement.Bounds(memoryBytes: memoryBytes, processes: processes), in: directory,
      launcher: try ThisProcess.sibling("ttrl"))
    command.ownGroup = true
    return command
  }

  /// The command lines of all processes of this machine that have a text.
  static func commandLines(containing mark: String) -> [String] {
    let numbers = (try? FileManager.default.contentsOfDirectory(atPath: "/proc"))?.filter { Int($0) != nil } ?? []
    return numbers.map { number in
      String(decoding: FileManager.default.contents(atPath: "/proc/\(number)/cmdline") ?? Data(), as: UTF8.self)
    }.filter { $0.contains(mark) }
  }
}
