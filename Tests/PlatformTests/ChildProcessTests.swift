// Children: their ends have names, all their output arrives, and they do not outlive their parent.

import Base
import Glibc
import Platform
import Testing

@Suite(.timeLimit(.minutes(1))) struct ChildProcessTests {
  /// Runs a shell script to its end.
  private func run(
    _ script: String, _ change: (inout ChildProcess.Command) -> Void = { _ in }
  ) throws -> (status: ChildProcess.ExitStatus?, output: String) {
    let loop = try EventLoop()
    var output: [UInt8] = []
    var command = ChildProcess.Command("sh", ["-c", script])
    command.output = .pipe { output += $0 }
    change(&command)
    var status: ChildProcess.ExitStatus?
    let child = try ChildProcess(command, loop: loop) {
      status = $0
      loop.stop()
    }
    if loop.run(until: soon()) != .stopped { child.signal(SIGKILL) }
    return (status, text(output))
  }

  @Test func `an exit and a signal are different, and have readable texts`() throws {
    let exited = try run("exit 3").status
    let killed = try run("kill -9 $$").status
    #expect(exited == .exited(3) && killed == .killed(signal: SIGKILL))
    #expect("\(try #require(exited)), \(try #require(killed))" == "exited 3, killed by SIGKILL")
  }

  @Test func `everything that a child wrote arrives before its end`() throws {
    let result = try run("i=0; while [ $i -lt 20000 ]; do echo $i; i=$((i+1)); done")
    #expect(result.output == (0..<20000).map { "\($0)\n" }.joined())
    #expect(result.status == .exited(0))
  }

  @Test func `additions replace variables, and the rest of the environment stays`() throws {
    let result = try run("echo $TTRL_TEST $HOME_IS_KEPT; test -n \"$PATH\"") {
      $0.environment = ["TTRL_TEST": "a b", "HOME_IS_KEPT": "yes"]
    }
    #expect(result.output == "a b yes\n" && result.status == .exited(0))
  }

  @Test func `a child reads what is written to it, and then the end of its input`() throws {
    let loop = try EventLoop()
    var output: [UInt8] = []
    var command = ChildProcess.Command("sh", ["-c", "cat; echo end"])
    command.hasInput = true
    command.output = .pipe { output += $0 }
    var status: ChildProcess.ExitStatus?
    let child = try ChildProcess(command, loop: loop) {
      status = $0
      loop.stop()
    }
    child.write(Array("one ".utf8))
    loop.schedule(at: MonotonicClock.now() + .milliseconds(20)) {
      child.write(Array("two ".utf8))
      child.closeInput()
    }
    loop.run(until: soon())
    #expect(text(output) == "one two end\n" && status == .exited(0))
  }

  @Test func `output is appended to a file`() throws {
    let directory = try TemporaryDirectory()
    try Files.write("before\n", to: directory("log"))
    let result = try run("echo out; echo err >&2") {
      $0.output = .file(directory("log"))
      $0.errors = .file(directory("log"))
    }
    #expect(result.status == .exited(0))
    #expect(try Files.readText(directory("log")) == "before\nout\nerr\n")
  }

  @Test func `a child's standard input is empty and it inherits no other descriptor`() throws {
    let leaky = open("/dev/null", O_RDONLY)
    defer { close(leaky) }
    #expect(try run("cat; ls /proc/self/fd | wc -l").output == "4\n")
  }

  @Test func `a signal reaches the whole group of a child that leads one`() throws {
    let loop = try EventLoop()
    var output: [UInt8] = []
    var status: ChildProcess.ExitStatus?
    var command = ChildProcess.Command("sh", ["-c", "sleep 100 & echo $!; wait"])
    command.ownGroup = true
    var child: ChildProcess?
    command.output = .pipe {
      output += $0
      child?.signal(SIGTERM)
    }
    child = try ChildProcess(command, loop: loop) {
      status = $0
      loop.stop()
    }
    #expect(loop.run(until: soon()) == .stopped)
    #expect(status == .killed(signal: SIGTERM))
    let grandchild = try #require(pid_t(text(output).prefix { $0.isNumber }))
    #expect(hasEnded(grandchild))
  }

  @Test func `a child dies when its parent is killed`() throws {
    // For the kernel the parent is the thread that spawned the child, so here a thread that ends takes the place of a
    // process.
    let loop = try EventLoop()
    var child: Int32 = 0
    let spawned = try loop.inbox { (pid: Int32) in
      child = pid
      loop.stop()
    }
    try startThread(named: "parent") {
      guard let own = try? EventLoop() else { return }
      let child = try? ChildProcess(.init("sleep", ["100"]), loop: own) { _ in }
      spawned.post(child?.pid ?? -1)
    }
    #expect(loop.run(until: soon()) == .stopped)
    try #require(child > 0)
    #expect(hasEnded(child))
    waitpid(child, nil, WNOHANG)
  }

  @Test func `a program that does not exist is an error, and not a child that exits with 127`() throws {
    let loop = try EventLoop()
    #expect(throws: PlatformError.programNotFound("no-such-program")) {
      try ChildProcess(.init("no-such-program"), loop: loop) { _ in }
    }
    #expect(throws: PlatformError.cannotSpawn(path: "/no/such", stage: .exec, code: ENOENT)) {
      try ChildProcess(.init("/no/such"), loop: loop) { _ in }
    }
  }

  /// Waits until a process that is not our child has ended. It can be a zombie until init reaps it.
  private func hasEnded(_ pid: pid_t) -> Bool {
    let end = soon()
    while MonotonicClock.now() < end {
      let status = (try? Files.readText("/proc/\(pid)/stat")) ?? ""
      if status.isEmpty || status.contains(") Z ") { return true }
      sched_yield()
    }
    return false
  }

  @Test func `the running program knows its own path`() throws {
    #expect(try Files.exists(ThisProcess.executablePath()))
  }
}
