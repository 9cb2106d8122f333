// Processes and their listening sockets, as /proc shows them.

import Base
import Glibc
import Platform
import Testing

@Suite struct RunningProcessTests {
  /// IPv6 can be off.
  private static let hosts =
    ["127.0.0.1", "0.0.0.0"] + (((try? Files.readText("/proc/net/if_inet6")) ?? "").isEmpty ? [] : ["::1", "::"])

  @Test(arguments: hosts)
  func `a socket of this process that listens is found, with its address, until it is closed`(host: String) throws {
    let loop = try EventLoop()
    let listener = try Listener(on: HostPort(host: host, port: 0), loop: loop) { _ in }
    let found = ListeningSocket.of([getpid()]).filter { $0.address == listener.address }
    #expect(found.count == 1 && found.first?.process == getpid() && listener.address.host == host)
    listener.close()
    #expect(!ListeningSocket.of([getpid()]).contains { $0.address == listener.address })
  }

  @Test func `a process and its children are a family`() throws {
    let loop = try EventLoop()
    let child = try ChildProcess(ChildProcess.Command("sleep", ["100"]), loop: loop) { _ in loop.stop() }
    let family = RunningProcess.family(of: getpid())
    #expect(family.first?.id == getpid())
    // Until exec, the child is a copy of this process.
    let found = try #require(family.first { $0.id == child.pid })
    #expect(found.parent == getpid())
    child.signal(SIGKILL)
    loop.run(until: soon())
    #expect(RunningProcess(child.pid) == nil)
  }
}
