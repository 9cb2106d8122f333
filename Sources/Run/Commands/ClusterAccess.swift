// ClusterAccess: the key of every role (`--key`), which decides whose connections are accepted.
//
// A run on one machine has a key of its own, made with the run and kept in its directory, which other users cannot
// read. An address beyond the machine needs a key file, so that a port is not opened to the network by accident. Plain
// TCP has to be asked for, and is allowed on loopback only.

import Base
package import Platform
package import Runs
package import Settings

package enum ClusterAccess {
  /// What is wrong with an address, or with several with commas between them, and the key for it.
  package static func problems(_ text: String, key: String) -> [String] {
    var found: [String] = []
    do throws(PlatformError) {
      let beyond = try HostPort.list(parsing: text).first { !$0.isLoopback }
      if let beyond { found += problems(beyond: beyond, key: key) }
    } catch {
      found.append("\(error)")
    }
    do throws(PlatformError) {
      if ![OperationSettings.plainTCP, ""].contains(key) { _ = try KeyRing(reading: key) }
    } catch {
      found.append("\(error)")
    }
    return found
  }

  /// - Throws: `SettingsError` with what is wrong with an address and the key for it.
  package static func require(_ address: String, key: String) throws(SettingsError) {
    let found = address.isEmpty ? [] : problems(address, key: key)
    guard found.isEmpty else { throw SettingsError(problems: found) }
  }

  private static func problems(beyond address: HostPort, key: String) -> [String] {
    let remedy = "give the cluster's key with --key FILE; ttrl key --key FILE makes one, for all machines"
    switch key {
    case OperationSettings.plainTCP:
      return [
        "\(address) is not on this machine, and with --key none every machine of its network can read and change the "
          + "run; \(remedy)"
      ]
    case "": return ["\(address) is not on this machine; " + remedy]
    default: return []
    }
  }

  /// The value of `--key` with an absolute path: a run keeps it, and can be continued from another directory.
  package static func absolute(_ key: String) -> String {
    ["", OperationSettings.plainTCP].contains(key) ? key : ThisProcess.absolute(key)
  }

  /// The path of a run's key, or `OperationSettings.plainTCP`.
  package static func path(_ settings: OperationSettings, _ directory: RunDirectory) -> String {
    settings.key.isEmpty ? directory.key : absolute(settings.key)
  }

  /// The keys at a path.
  ///
  /// - Parameters:
  ///   - path: the key's file, or none.
  ///   - isOwn: it is the run's own key, which is made if it is missing.
  /// - Returns: nil for plain TCP.
  /// - Throws: `PlatformError`.
  package static func key(_ path: String, isOwn: Bool = false) throws(PlatformError) -> ClusterKeys? {
    if path == OperationSettings.plainTCP { return nil }
    return isOwn ? try ClusterKeys(readingOrMaking: path) : try ClusterKeys(reading: path)
  }
}
