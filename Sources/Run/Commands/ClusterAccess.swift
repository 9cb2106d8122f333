// ClusterAccess: who may speak with whom: `--key` of every role.
//
// A run on one machine has a key of its own, made with it and kept in its directory, which nobody else can read. Beyond
// the machine a key is given by name, so that nobody opens a port to the world without having thought of it. Plain TCP
// has to be asked for, and stays on loopback.

import Base
package import Platform
package import Runs
package import Settings

package enum ClusterAccess {
  /// What is wrong with an address and a key that belong together.
  package static func problems(_ text: String, key: String) -> [String] {
    var found: [String] = []
    do throws(PlatformError) {
      let address = try HostPort(parsing: text)
      if !address.isLoopback { found += problems(beyond: address, key: key) }
    } catch {
      found.append("\(error)")
    }
    do throws(PlatformError) {
      if ![Settings.plainTCP, ""].contains(key) { _ = try ClusterKey(reading: key) }
    } catch {
      found.append("\(error)")
    }
    return found
  }

  /// - Throws: `SettingsError` with what is wrong with an address and a key that belong together.
  package static func require(_ address: String, key: String) throws(SettingsError) {
    let found = address.isEmpty ? [] : problems(address, key: key)
    guard found.isEmpty else { throw SettingsError(problems: found) }
  }

  private static func problems(beyond address: HostPort, key: String) -> [String] {
    let remedy = "give the cluster's key with --key FILE; ttrl key --key FILE makes one, for all machines"
    switch key {
    case Settings.plainTCP:
      return ["\(address) is not on this machine, and --key none lets anyone there read and change the run; " + remedy]
    case "": return ["\(address) is not on this machine; " + remedy]
    default: return []
    }
  }

  /// A value of `--key` that means the same in every directory: a run that is continued keeps it.
  package static func absolute(_ key: String) -> String {
    ["", Settings.plainTCP].contains(key) ? key : ThisProcess.absolute(key)
  }

  /// The path of the key that holds for a run, or `Settings.plainTCP`.
  package static func path(_ settings: Settings, _ directory: RunDirectory) -> String {
    settings.key.isEmpty ? directory.key : absolute(settings.key)
  }

  /// The key at a path.
  ///
  /// - Parameter isOwn: it is the run's own, which is made where it is missing.
  /// - Returns: nil for plain TCP.
  /// - Throws: `PlatformError`.
  package static func key(_ path: String, isOwn: Bool = false) throws(PlatformError) -> ClusterKey? {
    if path == Settings.plainTCP { return nil }
    return isOwn ? try ClusterKey.readOrMake(path) : try ClusterKey(reading: path)
  }
}
