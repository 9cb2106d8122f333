// ChildProcess: other programs, started and watched by an event loop.
//
// Each child has a pidfd, a descriptor that becomes readable when the child ends. SIGCHLD is not used: its handling is
// global to a process, and would also reap the children of the libraries that ttrl uses. By default children die with
// their parent: `kill -9` of `ttrl train` leaves nothing behind. (For the kernel the parent is the *thread* that
// spawned them; here that is the loop's thread, which lives as long as the process.)

import CLinux
import Glibc

package final class ChildProcess {
  /// What to run, and how.
  package struct Command {
    /// A path, or a name that is looked up in PATH.
    package var program: String
    /// Without the program's own name.
    package var arguments: [String]
    /// Added to, or replacing, this process's own variables.
    package var environment: [String: String] = [:]
    /// Standard input is a pipe: `write` fills it, `closeInput` ends it. Otherwise it is empty.
    package var hasInput = false
    package var output = Output.inherited
    package var errors = Output.inherited
    /// Makes the child the leader of a process group; signals then go to the whole group.
    package var ownGroup = false
    package var diesWithParent = true

    package init(_ program: String, _ arguments: [String] = []) {
      self.program = program
      self.arguments = arguments
    }
  }

  /// Where a child's standard output or standard error goes.
  package enum Output {
    case inherited, discarded
    /// Appended to a file; mode 0644.
    case file(String)
    /// Given to this function as it arrives; everything that the child wrote arrives before `onExit`.
    case pipe(([UInt8]) -> Void)
  }

  /// How a process ended.
  package enum ExitStatus: Equatable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)
  }

  package let pid: Int32
  /// nil while it runs.
  package private(set) var status: ExitStatus?

  private let ownGroup: Bool
  private let loop: EventLoop
  private let pidDescriptor: Int32
  /// Our end of the child's standard input, or -1.
  private var input: Int32
  /// What `send` could not write yet.
  private var unsent: [UInt8] = []
  private var isWaitingToSend = false
  private var pipes: [(fd: Int32, handler: ([UInt8]) -> Void)] = []
  private let onExit: (ExitStatus) -> Void

  /// Starts the program. The loop keeps this object until the child has ended.
  /// - Parameters:
  ///   - command: what to run.
  ///   - loop: watches the child and its pipes.
  ///   - onExit: called once, on a later turn of the loop.
  /// - Throws: `.programNotFound`, `.cannotSpawn`, `.file` (an output file), `.system`.
  package init(
    _ command: Command, loop: EventLoop, onExit: @escaping (ExitStatus) -> Void
  ) throws(PlatformError) {
    let path = try Self.locate(command.program)
    let nothing = try Descriptor(opening: "/dev/null", O_RDWR, to: "open")
    let output = try Sink(command.output, discardInto: nothing.number)
    let errors = try Sink(command.errors, discardInto: nothing.number)
    var source: (reading: Int32, writing: Int32) = (nothing.number, -1)
    if command.hasInput {
      let code = ttrl_pipe(&source.reading, &source.writing)
      guard code == 0 else { throw .system(call: "pipe2", code: -code) }
    }
    defer { if command.hasInput { close(source.reading) } }
    do throws(PlatformError) {
      pid = try Self.spawn(path, command, descriptors: (source.reading, output.fd, errors.fd))
    } catch {
      if command.hasInput { close(source.writing) }
      throw error
    }
    input = source.writing
    pidDescriptor = ttrl_pidfd(pid)
    ownGroup = command.ownGroup
    self.loop = loop
    self.onExit = onExit
    guard pidDescriptor >= 0 else {
      end(reading: [output.reading, errors.reading])
      throw .system(call: "pidfd_open", code: -pidDescriptor)
    }
    do throws(PlatformError) {
      try loop.watch(pidDescriptor, for: .readable) { _ in self.reap() }
      try watch(output)
      try watch(errors)
    } catch {
      end(reading: [output.reading, errors.reading])
      throw error
    }
  }

  /// Sends a signal to the child, or to its whole group if it leads one. Does nothing once the child has ended.
  package func signal(_ number: Int32) {
    // The pid cannot belong to another process before this object has reaped the child.
    guard status == nil else { return }
    Glibc.kill(ownGroup ? -pid : pid, number)
  }

  // MARK: Its standard input

  /// Writes to the child's standard input; waits while the pipe is full. If the child has ended, the bytes are lost.
  /// This process must ignore SIGPIPE.
  package func write(_ bytes: [UInt8]) {
    guard status == nil, input >= 0 else { return }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Glibc.write(input, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }

  /// Writes to the child's standard input, and never waits: what does not fit into the pipe is written when the child
  /// has read. The caller bounds how much that can be. A child takes its input by this function or by `write`.
  /// This process must ignore SIGPIPE.
  package func send(_ bytes: [UInt8]) {
    guard status == nil, input >= 0 else { return }
    unsent += bytes
    if !isWaitingToSend { flush() }
  }

  private func flush() {
    _ = fcntl(input, F_SETFL, O_NONBLOCK)
    var start = 0
    while start < unsent.count {
      let count = unsent[start...].withUnsafeBytes { Glibc.write(input, $0.baseAddress, $0.count) }
      if count > 0 { start += count } else if errno != EINTR { break }
    }
    // A child that does not read any more ends soon, or is found to be late.
    if start < unsent.count, errno != EAGAIN { start = unsent.count }
    unsent.removeFirst(start)
    wait(toSend: !unsent.isEmpty)
  }

  private func wait(toSend isWaiting: Bool) {
    guard isWaiting != isWaitingToSend else { return }
    isWaitingToSend = isWaiting
    guard isWaiting else { return loop.unwatch(input) }
    do {
      try loop.watch(input, for: .writable) { _ in self.flush() }
    } catch {
      (isWaitingToSend, unsent) = (false, [])
    }
  }

  /// Ends the child's standard input.
  package func closeInput() {
    if input >= 0 {
      wait(toSend: false)
      close(input)
    }
    input = -1
  }

  // MARK: Starting

  /// The descriptor that the child writes to and, for a pipe, the end that this process reads.
  private struct Sink: ~Copyable {
    let fd: Int32
    let reading: Int32
    let handler: (([UInt8]) -> Void)?
    private let isOurs: Bool
    private let file: Descriptor?

    init(_ output: Output, discardInto nothing: Int32) throws(PlatformError) {
      switch output {
      case .inherited:
        (fd, reading, handler, isOurs) = (-1, -1, nil, false)
        file = nil
      case .discarded:
        (fd, reading, handler, isOurs) = (nothing, -1, nil, false)
        file = nil
      case .file(let path):
        let opened = try Descriptor(writing: path, O_WRONLY | O_CREAT | O_APPEND, to: "open")
        (fd, reading, handler, isOurs) = (opened.number, -1, nil, false)
        file = consume opened
      case .pipe(let receive):
        var ends: (reading: Int32, writing: Int32) = (-1, -1)
        let code = ttrl_pipe(&ends.reading, &ends.writing)
        guard code == 0 else { throw .system(call: "pipe2", code: -code) }
        (fd, reading, handler, isOurs) = (ends.writing, ends.reading, receive, true)
        file = nil
      }
    }

    // This is our copy of the child's end. The pipe does not end while it is open.
    deinit { if isOurs { close(fd) } }
  }

  private static func spawn(
    _ path: String, _ command: Command, descriptors: (input: Int32, output: Int32, errors: Int32)
  ) throws(PlatformError) -> Int32 {
    var arguments = ([command.program] + command.arguments).map { strdup($0) } + [nil]
    var environment = merged(command.environment).map { strdup($0) } + [nil]
    defer { for text in arguments + environment { free(text) } }
    var stage: Int32 = 0
    let pid = path.withCString { path in
      arguments.withUnsafeMutableBufferPointer { arguments in
        environment.withUnsafeMutableBufferPointer { environment in
          guard let argv = arguments.baseAddress, let envp = environment.baseAddress else { return -EINVAL }
          var request = ttrl_command(
            path: path, argv: argv, envp: envp, standard_input: descriptors.input, standard_output: descriptors.output,
            standard_error: descriptors.errors, own_group: command.ownGroup, dies_with_parent: command.diesWithParent)
          return ttrl_spawn(&request, &stage)
        }
      }
    }
    guard pid > 0 else { throw .cannotSpawn(path: path, stage: .init(code: stage), code: -pid) }
    return pid
  }

  /// This process's environment as NAME=VALUE, followed by the additions in the order of their names.
  private static func merged(_ additions: [String: String]) -> [String] {
    var lines: [String] = []
    var entry = ttrl_environment()
    while let line = entry.pointee {
      let text = String(cString: line)
      if additions[String(text.prefix { $0 != "=" })] == nil { lines.append(text) }
      entry += 1
    }
    return lines + additions.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
  }

  /// The path of a program: `program` itself if it contains a slash, otherwise the first match in PATH.
  /// - Throws: `.programNotFound`.
  package static func locate(_ program: String) throws(PlatformError) -> String {
    if program.contains("/") { return program }
    let directories = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    for directory in directories.split(separator: ":") {
      let path = "\(directory)/\(program)"
      if access(path, X_OK) == 0 && !Files.isDirectory(path) { return path }
    }
    throw .programNotFound(program)
  }

  // MARK: Watching

  private func watch(_ sink: borrowing Sink) throws(PlatformError) {
    guard let handler = sink.handler else { return }
    let fd = sink.reading
    _ = fcntl(fd, F_SETFL, O_NONBLOCK)
    try loop.watch(fd, for: .readable) { _ in self.drain(fd, handler, reads: 1) }
    pipes.append((fd, handler))
  }

  /// Reads at most `reads` times; closes the pipe at its end.
  private func drain(_ fd: Int32, _ handler: ([UInt8]) -> Void, reads: Int) {
    for _ in 0..<reads {
      let chunk = withUnsafeTemporaryAllocation(byteCount: PlatformLimits.receiveBytes, alignment: 16) { buffer in
        let count = read(fd, buffer.baseAddress, buffer.count)
        return count < 0 ? nil : Array(buffer[..<count])
      }
      guard let chunk else { return }
      guard !chunk.isEmpty else { return closePipe(fd) }
      handler(chunk)
    }
  }

  private func closePipe(_ fd: Int32) {
    loop.unwatch(fd)
    close(fd)
    pipes.removeAll { $0.fd == fd }
  }

  private func reap() {
    var raw: Int32 = 0
    guard waitpid(pid, &raw, WNOHANG) == pid else { return }
    let status = ExitStatus(waitStatus: raw)
    self.status = status
    loop.unwatch(pidDescriptor)
    close(pidDescriptor)
    // The rest of the child's output is in the pipe, at most 64 KiB. A grandchild can still write to the pipe, so the
    // number of reads is bounded: they take the child's output, then the pipe is closed.
    for pipe in pipes { drain(pipe.fd, pipe.handler, reads: 32) }
    for pipe in pipes { closePipe(pipe.fd) }
    closeInput()
    onExit(status)
  }

  /// Kills a child that cannot be watched.
  private func end(reading: [Int32]) {
    Glibc.kill(pid, SIGKILL)
    waitpid(pid, nil, 0)
    loop.unwatch(pidDescriptor)
    if pidDescriptor >= 0 { close(pidDescriptor) }
    for fd in reading where fd >= 0 {
      loop.unwatch(fd)
      close(fd)
    }
  }
}

extension ChildProcess.ExitStatus: CustomStringConvertible {
  fileprivate init(waitStatus: Int32) {
    var code: Int32 = 0
    self = ttrl_exited(waitStatus, &code) ? .exited(code) : .killed(signal: code)
  }

  package var description: String {
    switch self {
    case .exited(let code): "exited \(code)"
    case .killed(let signal): "killed by SIG" + (ttrl_signal_name(signal).map { String(cString: $0) } ?? "\(signal)")
    }
  }
}

/// This process.
package enum ThisProcess {
  package static var id: UInt32 { UInt32(bitPattern: getpid()) }

  /// The absolute form of a path that can be relative to the working directory.
  package static func absolute(_ path: String) -> String {
    guard !path.hasPrefix("/"), let directory = getcwd(nil, 0) else { return path }
    defer { free(directory) }
    return String(cString: directory) + "/" + path
  }

  /// The path of the running program.
  /// - Throws: `.file`.
  package static func executablePath() throws(PlatformError) -> String {
    var text = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard readlink("/proc/self/exe", &text, text.count - 1) > 0 else {
      throw .file(operation: "read", path: "/proc/self/exe", code: errno)
    }
    return String(nulTerminated: text)
  }

  /// The path of a program in the same directory as this one.
  /// - Throws: `.file`.
  package static func sibling(_ name: String) throws(PlatformError) -> String {
    let own = try executablePath()
    return own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex) + "/" + name
  }

  /// A write to a pipe without a reader becomes an error; it does not end this process.
  package static func ignoreBrokenPipes() { Glibc.signal(SIGPIPE, SIG_IGN) }

  /// Makes the kernel kill this process when its parent ends: an MPI rank must end when its launcher is killed.
  /// - Returns: false if the parent has already ended.
  package static func dieWithParent(_ parent: Int32 = getppid()) -> Bool { ttrl_die_with_parent(parent) == 0 }
}
