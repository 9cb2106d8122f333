// Loopback: a TCP connection to a port of this machine, for tests that write what no HTTP client would.

import Foundation
import Testing

enum Loopback {
  /// - Parameters:
  ///   - port: on 127.0.0.1.
  ///   - seconds: the longest wait for bytes, in each direction; nil waits without a limit.
  /// - Returns: a descriptor, which the caller closes.
  static func connect(_ port: UInt16, patience seconds: Int? = nil) throws -> Int32 {
    let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if let seconds {
      var wait = timeval(tv_sec: seconds, tv_usec: 0)
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
    }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let code = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(fd, $0, size) }
    }
    let reason = String(cString: strerror(errno))
    if code != 0 { close(fd) }
    try #require(code == 0, "connect: \(reason)")
    return fd
  }
}
