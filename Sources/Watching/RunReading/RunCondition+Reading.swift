// Whether a run is going on: what its directory says of it.

import Glibc
package import Observatory
import Platform
import Records
package import Runs

extension RunCondition {
  /// Now.
  ///
  /// - Parameter isDelivered: whether the ledger has the run's result.
  /// - Throws: `PlatformError` if the directory may not be looked at.
  package init(of directory: RunDirectory, isDelivered: Bool) throws {
    let isFinished = try isDelivered || Files.exists(directory.summary)
    self.init(of: directory, isFinished: isFinished, now: WallClock.seconds())
  }

  /// - Parameters:
  ///   - isFinished: whether the run is finished.
  ///   - now: seconds since 1970 UTC.
  package init(of directory: RunDirectory, isFinished: Bool, now: Double) {
    self.init(
      isFinished: isFinished, isAlive: FleetNote(of: directory, now: now) != nil, isSupervised: directory.isSupervised,
      ending: RunEnding(of: directory))
  }
}

extension RunDirectory {
  /// Bytes of the kernel's list of locks that are read; a line has about 60.
  private static let locksBytesMax = 1 << 20

  /// Whether a process on this machine keeps the run's processes running; false if that cannot be found out.
  ///
  /// It is looked up in the kernel's list of locks. To try the lock, even for a moment, could refuse a process that
  /// starts in this moment, and a page looks every second.
  package var isSupervised: Bool {
    var status = stat()
    guard stat("\(path)/\(Self.supervisorLock)", &status) == 0 else { return false }
    // The device is not compared: some file systems list another one than stat reports.
    let place = ":\(status.st_ino)"
    return Self.locks().split(separator: "\n").contains { line in
      let fields = line.split(separator: " ")
      return fields.count > 5 && fields[1] == "FLOCK" && fields[5].hasSuffix(place)
    }
  }

  /// The kernel makes the text while it is read: it has no size before, and a read can be short.
  private static func locks() -> String {
    let file = open("/proc/locks", O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return "" }
    defer { close(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 14)
    while bytes.count < locksBytesMax {
      let count = read(file, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
