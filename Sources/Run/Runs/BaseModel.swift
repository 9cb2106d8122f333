// BaseModel: the frozen model of a run that trains an adapter.
//
// Its parameters are identified as those of a version are: by the digest of all of them in the run's data type. So a
// process that finds a model in a directory can tell whether it is the run's.

package import Base
package import LanguageModel
import Platform
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

  /// The base from its own files, if this process can read them and they are the run's.
  ///
  /// - Throws: if no thread can be started.
  package static func onThisMachine(_ base: AdaptedBase, _ plan: TransformerPlan) throws -> PreparedModel? {
    guard let parameters = try? ModelDirectory(base.directory).parameters(), parameters.count == plan.layout.count
    else { return nil }
    guard try manifest(of: parameters, plan.layout, as: plan.type) == base.manifest else {
      Log.warning("base.other", ["path": base.directory])
      return nil
    }
    return PreparedModel(plan: plan, parameters: parameters)
  }
}
