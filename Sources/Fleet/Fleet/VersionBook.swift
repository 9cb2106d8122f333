// VersionBook: which versions of the weights were ever published, and which of them have their bytes kept.
//
// A learner that is behind trains old steps again and publishes their versions again. So the manifests are remembered
// after the bytes are dropped.

import Base
import Records

struct VersionBook: Sendable {
  private var published = SortedMap<PolicyVersion, PolicyManifest>()
  private var kept: [PolicyVersion]

  /// - Parameter manifests: of all versions that were published. The bytes of some versions were dropped before this
  ///   start. They are dropped again, which does no harm; otherwise a version whose drop was interrupted would be kept
  ///   forever.
  init(_ manifests: [PolicyManifest]) {
    for manifest in manifests { published[manifest.version] = manifest }
    kept = published.keys
  }

  var latest: PolicyVersion { published.keys.last ?? PolicyVersion(0) }

  func manifest(of version: PolicyVersion) -> PolicyManifest? { published[version] }

  /// - Returns: nil if the version was never published, or if its bytes were dropped.
  func keptManifest(of version: PolicyVersion) -> PolicyManifest? {
    kept.contains(version) ? published[version] : nil
  }

  mutating func add(_ manifest: PolicyManifest) {
    published[manifest.version] = manifest
    kept.append(manifest.version)
  }

  /// The versions before the latest whose bytes are kept.
  var old: [PolicyVersion] { kept.filter { $0 < latest } }

  /// A version's bytes are dropped.
  mutating func drop(_ version: PolicyVersion) { kept.removeAll { $0 == version } }
}
