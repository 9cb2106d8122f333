// BaseModel: the frozen model of a run that trains an adapter.
//
// Its parameters are identified as those of a version are: by the digest of all of them in the run's data type. So a
// process that finds a model in a directory can tell whether it is the run's.

package import Base
package import LanguageModel
package import Platform
package import Records

package enum BaseModel {
  /// What identifies a model as the base of a run.
  ///
  /// - Throws: if its weights cannot be read.
  package static func manifest(of model: ModelDirectory, as type: DataType) throws -> PolicyManifest {
    try manifest(of: try model.parameters(), model.layout, as: type)
  }

  private static func manifest(
    of parameters: ParameterSource, _ layout: ParameterLayout, as type: DataType
  ) throws -> PolicyManifest {
    let digest = try BackgroundDigest()
    let stored: WeightType = type == .bfloat16 ? .bfloat16 : .float32
    try forEachPublishedPiece(of: parameters, layout: layout.flat, type: stored) { digest.update($0) }
    return PolicyManifest(
      version: .base, byteCount: UInt64(layout.count * stored.byteCount), digest: digest.digest())
  }

  /// The prepared base, which the processes of this machine share.
  ///
  /// - Parameter parameters: called if it has to be made.
  /// - Throws: what SharedBase throws, or `parameters`.
  package static func shared(
    _ base: PolicyManifest, _ plan: TransformerPlan, threads: Int, parameters: () throws -> ParameterSource
  ) throws -> PreparedModel {
    try SharedBase.open(
      plan: plan, identity: Hexadecimal.text(base.digest), parameters: parameters,
      directory: try ModelCache.ofUser().path, threads: threads)
  }

  private struct NotHere: Error {}

  /// The prepared base, if it is in this machine's cache, or can be made here.
  ///
  /// - Parameter directory: a directory that can have the model; nil for none.
  /// - Returns: nil if it has to be fetched.
  /// - Throws: what SharedBase throws.
  package static func onThisMachine(
    _ base: PolicyManifest, _ plan: TransformerPlan, threads: Int, directory: String?
  ) throws -> PreparedModel? {
    do {
      return try shared(base, plan, threads: threads) {
        guard let directory, let parameters = try? ModelDirectory(directory).parameters(),
          parameters.count == plan.layout.count
        else { throw NotHere() }
        guard try manifest(of: parameters, plan.layout, as: plan.type) == base else {
          Log.warning("base.other", ["path": directory])
          throw NotHere()
        }
        return parameters
      }
    } catch is NotHere {
      return nil
    }
  }

  /// What a worker finds on its machine.
  package enum Found: Sendable {
    case model(PreparedModel)
    /// Nothing. This process has to fetch the base, and keeps the lock until it has made it; other processes of this
    /// machine wait for that. nil: one of them has been fetching it for too long.
    case turn(FileLock?)
  }

  /// As `onThisMachine`, but if the base has to be fetched and another process of this machine is doing that, it waits.
  ///
  /// - Throws: what SharedBase throws.
  package static func onThisMachineOrTurn(
    _ base: PolicyManifest, _ plan: TransformerPlan, threads: Int, directory: String?
  ) throws -> Found {
    let look = { try onThisMachine(base, plan, threads: threads, directory: directory) }
    if let model = try look() { return .model(model) }
    let lock = try SharedBase.turnToFetch(
      plan: plan, identity: Hexadecimal.text(base.digest), directory: try ModelCache.ofUser().path)
    return try look().map { .model($0) } ?? .turn(lock)
  }
}
