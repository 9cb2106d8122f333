// User: the user of this process and the owners of files, by name.

import Glibc

package enum User {
  /// The user whose rights this process has.
  package static var current: UInt32 { geteuid() }

  /// "alice"; "uid 1000" if the system has no name for the number.
  package static func name(_ id: UInt32 = current) -> String { entry(id)?.name ?? "uid \(id)" }

  /// The home directory that the user database gives this user; nil if it has none.
  package static var home: String? { entry(current)?.home }

  private static func entry(_ id: UInt32) -> (name: String, home: String)? {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    // Names and paths of any real entry fit.
    var room = [CChar](repeating: 0, count: 1 << 14)
    guard getpwuid_r(id, &entry, &room, room.count, &found) == 0, found != nil, let name = entry.pw_name,
      let home = entry.pw_dir
    else { return nil }
    return (String(cString: name), String(cString: home))
  }
}
