// The live page while clients hold many connections, or hold them without using them: it answers all the same.

import Foundation
import Testing

extension EndToEnd {
  @Suite struct PageCrowdTests {
    /// A TCP connection to the page. It closes with the object.
    private final class Client {
      private let fd: Int32

      /// - Parameter seconds: the longest wait for bytes.
      init(_ port: UInt16, patience seconds: Int = 2) throws {
        fd = try Loopback.connect(port, patience: seconds)
      }

      deinit { close(fd) }

      func send(_ text: String) { _ = Glibc.send(fd, text, text.utf8.count, Int32(MSG_NOSIGNAL)) }

      /// The status of an answer, whose body is read too; nil if none comes in time.
      func status() -> Int? {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
          let text = String(decoding: bytes, as: UTF8.self)
          if let head = text.firstRange(of: "\r\n\r\n"),
            let length = text[..<head.lowerBound].firstMatch(of: /Content-Length: (\d+)/).flatMap({ Int($0.1) }),
            text[head.upperBound...].utf8.count >= length
          {
            return text.split(separator: " ").dropFirst().first.flatMap { Int($0) }
          }
          let count = read(fd, &chunk, chunk.count)
          guard count > 0 else { return nil }
          bytes += chunk[..<count]
        }
      }

      /// Whether the page has closed the connection.
      var isClosed: Bool {
        var byte: UInt8 = 0
        let count = recv(fd, &byte, 1, Int32(MSG_DONTWAIT))
        return count == 0 || count < 0 && errno != EAGAIN
      }
    }

    private static let request = "GET /api/run HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    private static let page = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    /// - Returns: the seconds until a new client had its answer; nil if it had none.
    private static func secondsToAnswer(_ port: UInt16) throws -> Double? {
      let begun = Date()
      let client = try Client(port)
      client.send(request)
      return client.status() == 200 ? Date().timeIntervalSince(begun) : nil
    }

    private static func serve() throws -> (page: Running, port: UInt16) {
      try #require(SmallRun.undisturbed != nil)
      let page = try Running(["page", "--run", SmallRun.undisturbedDirectory])
      try #require(eventually { page.errors.contains("page: http://") || !page.isRunning }, "\(page.errors)")
      let match = try #require(page.errors.firstMatch(of: /page: http:\/\/127\.0\.0\.1:(\d+)\//), "\(page.errors)")
      return (page, try #require(UInt16(match.1)))
    }

    @Test func `eleven browsers with six connections each keep all their connections`() throws {
      let (page, port) = try Self.serve()
      defer { page.signal(SIGTERM) }
      let clients = try (0..<66).map { _ in try Client(port) }
      for _ in 0..<2 {
        for client in clients { client.send(Self.request) }
        #expect(clients.count { $0.status() == 200 } == 66)
      }
      #expect(clients.count(where: { $0.isClosed }) == 0)
    }

    @Test func `the page answers within a second while and after 200 clients open, half-open and drop connections`()
      throws
    {
      let (page, port) = try Self.serve()
      defer { page.signal(SIGTERM) }
      var worst = 0.0
      func ask(_ moment: String) throws {
        let seconds = try Self.secondsToAnswer(port)
        #expect(seconds ?? 9 < 1, "\(moment): \(seconds.map { "\($0) s" } ?? "no answer")")
        worst = max(worst, seconds ?? .infinity)
      }
      var held: [Client] = []
      let deadline = Date() + 3
      repeat {
        held = []
        for number in 0..<200 {
          let client = try Client(port)
          switch number % 4 {
          case 0: client.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
          // Asks for more than a socket holds, and never reads.
          case 1: client.send(String(repeating: Self.page, count: 20))
          // Dropped at once.
          case 2: continue
          default: break
          }
          held.append(client)
        }
        try ask("with \(held.count) connections open")
      } while Date() < deadline && worst < 1
      usleep(300_000)
      try ask("with \(held.count) connections still open")
      held = []
      try ask("after all were dropped")
      usleep(300_000)
      try ask("a moment later")
    }

    @Test func `a client that sends its headers or its body byte by byte does not keep its place`() throws {
      let (page, port) = try Self.serve()
      defer { page.signal(SIGTERM) }
      let slow = try (0..<2).map { _ in try Client(port) }
      slow[0].send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
      slow[1].send("POST /enter HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n")
      // The limit is 10 s, checked every second.
      let areClosed = eventually(within: 14) {
        usleep(200_000)
        for client in slow { client.send("x") }
        return slow.allSatisfy(\.isClosed)
      }
      #expect(areClosed)
    }
  }
}
