// VersionBook: which versions of the weights were ever published, and whose bytes are kept.
//
// A learner that is behind trains old steps again and publishes versions again, so what identified them is remembered
// after their bytes are dropped.

import Base
import Records

struct VersionBook: Sendable {
  private var published = SortedMap<PolicyVersion, PolicyManifest>()
  private var kept: [PolicyVersion]

  /// - Parameter manifests: of all versions that were published. Some of their bytes were dropped before this start;
  ///   dropping them again does no harm, and without it a version whose drop was interrupted would be kept for ever.
  init(_ manifests: [PolicyManifest]) {
    for manifest in manifests { published[manifest.version] = manifest }
    kept = published.keys
  }

  var latest: PolicyVersion { published.keys.last ?? PolicyVersion(0) }

  func manifest(of version: PolicyVersion) -> PolicyManifest? { published[version] }

  /// - Returns: nil also if the version's bytes were dropped.
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
