// AdapterDirectory: a PEFT adapter on disk, read and written.
//
// Such a directory has adapter_config.json and adapter_model.safetensors. LanguageModel parses them; an adapter is
// small, so its values are copied into memory.

import Base
package import LanguageModel
package import Platform
import Settings
package import Tensors

/// Why a directory is not an adapter that can be used.
package enum AdapterDirectoryError: LastingError, Sendable, CustomStringConvertible {
  case missing(path: String, file: String)
  /// Something else is there: what, and what to do.
  case other(path: String, problem: String)
  case pointer(path: String, file: String)
  /// The parser's error, as text.
  case unreadable(path: String, problem: String)
  /// The settings of a new adapter do not fit the model.
  case settings(problem: String)

  package var description: String {
    switch self {
    case .missing(let path, let file):
      "cannot load an adapter from \(path): there is no \(file). Expected a directory as peft writes it, with "
        + "\(AdapterFile.configurationName) and \(AdapterFile.weightsName)"
    case .other(let path, let problem): "cannot load an adapter from \(path): \(problem)"
    case .pointer(let path, let file):
      "cannot load an adapter from \(path): \(file) is a Git LFS pointer, a few lines of text in place of the file. "
        + "Fetch the file with \"git lfs pull\" in the directory"
    case .unreadable(let path, let problem): "cannot use the adapter in \(path): \(problem)"
    case .settings(let problem): "cannot make an adapter for this model: \(problem)"
    }
  }
}

extension AdapterDirectoryError {
  /// The error of a path that does not have a file of every adapter.
  init(at path: String, without file: String) {
    self = OtherInput.adapter(at: path).map { .other(path: path, problem: $0) } ?? .missing(path: path, file: file)
  }
}

package struct AdapterDirectory: Sendable {
  package let path: String
  package let file: AdapterFile
  package let layout: AdapterLayout
  private let base: ParameterLayout

  /// Reads the configuration; the tensors are read when asked for.
  ///
  /// - Parameters:
  ///   - path: of the directory.
  ///   - base: the model that the adapter is for.
  /// - Throws: `AdapterDirectoryError`, or `PlatformError` if a file cannot be read.
  package init(_ path: String, of base: ParameterLayout) throws {
    self.path = path
    self.base = base
    let configuration = "\(path)/\(AdapterFile.configurationName)"
    guard try Files.exists(configuration) else {
      throw AdapterDirectoryError(at: path, without: AdapterFile.configurationName)
    }
    do {
      file = try AdapterFile(try Files.read(configuration, limit: Limits.configurationBytes), of: base)
      layout = try AdapterLayout(file.adapter, of: base)
    } catch let error as AdapterFileError {
      throw AdapterDirectoryError.unreadable(path: path, problem: "\(error)")
    } catch let error as AdapterError {
      throw AdapterDirectoryError.unreadable(path: path, problem: "\(error)".visible)
    }
  }

  /// The adapter that a new run begins with; nil if all weights are trained.
  ///
  /// - Throws: if it does not fit the model, or its directory is not an adapter.
  static func beginning(_ settings: RunSettings, of base: ParameterLayout) throws -> AdapterBeginning? {
    guard settings.hasAdapter else { return nil }
    guard settings.adapter == RunSettings.newAdapter else {
      return .existing(try AdapterDirectory(settings.adapter, of: base))
    }
    let names =
      AdapterTargets(rawValue: settings.adapterTargets)?.names(in: base)
      ?? settings.adapterTargets.split(separator: ",").map { String($0.filter { $0 != " " }) }
    let configuration = AdapterConfiguration(
      rank: settings.adapterRank, alpha: settings.adapterAlpha, targets: names)
    do {
      return .new(try AdapterLayout(configuration, of: base))
    } catch {
      throw AdapterDirectoryError.settings(problem: "\(error)".visible)
    }
  }

  /// That the adapter's own configuration names another directory as its base. Nil if it does not, and if what it names
  /// is not a directory here, such as a name of the hub.
  ///
  /// Models of one shape differ only in their weights, so an adapter of another one fits, and computes nonsense.
  ///
  /// - Parameter model: the directory that is used as the base.
  package func note(onBase model: String) -> String? {
    guard let named = file.base, Files.isDirectory(named), !Files.areSame(named, model) else { return nil }
    return "the adapter in \(path) was made for the model in \(named), and the model here is \(model). An adapter is "
      + "of use only with its own base"
  }

  private var weights: String { "\(path)/\(AdapterFile.weightsName)" }

  /// All values as float32, in the order of `layout`.
  ///
  /// - Throws: `AdapterDirectoryError` with every tensor that is missing, misshapen, not part of the adapter or not
  ///   finite.
  package func loadParameters() throws -> Floats {
    guard try Files.exists(weights) else { throw AdapterDirectoryError(at: path, without: AdapterFile.weightsName) }
    let mapped = try MappedFile(weights)
    guard !ModelDirectory.isPointer(mapped.bytes) else {
      throw AdapterDirectoryError.pointer(path: path, file: AdapterFile.weightsName)
    }
    do {
      let header = try SafeTensorsHeader(mapped.bytes)
      let plan = try LoadPlan(layout, of: base, file: (AdapterFile.weightsName, header))
      return try plan.source([mapped.bytes], keptBy: mapped).values(0..<layout.tensors.count)
    } catch let error as WeightsError {
      throw AdapterDirectoryError.unreadable(path: path, problem: "\(error)")
    } catch let error as SafeTensorsError {
      throw AdapterDirectoryError.unreadable(path: path, problem: "\(AdapterFile.weightsName): \(error)".visible)
    }
  }

  /// SHA-256 of what the adapter computes: its shape, and the file of its tensors.
  ///
  /// - Throws: if a file cannot be read.
  package func identity() throws -> String {
    guard try Files.exists(weights) else { throw AdapterDirectoryError(at: path, without: AdapterFile.weightsName) }
    let configuration = AdapterFile(file.adapter, base: nil).bytes
    return SHA256.hex(of: configuration + Array(try SHA256.hex(ofFile: weights).utf8))
  }

  /// Writes an adapter from the bytes of a policy version, which are the file's data.
  ///
  /// - Parameters:
  ///   - published: the bytes.
  ///   - type: their type.
  ///   - layout: the adapter's.
  ///   - base: what adapter_config.json names as the base.
  ///   - target: an existing directory.
  /// - Returns: SHA-256 of adapter_model.safetensors, in hexadecimal.
  /// - Throws: `PlatformError`, for example on a full disk.
  package static func write(
    published: HeldBytes, as type: WeightType, _ layout: AdapterLayout, base: String, to target: String
  ) throws -> String {
    let sum = try SafeTensorsWriter(layout.tensors, type: type)
      .write(published, to: "\(target)/\(AdapterFile.weightsName)")
    let configuration = AdapterFile(layout.configuration, base: base).bytes
    try Files.write(configuration, to: "\(target)/\(AdapterFile.configurationName)")
    return sum
  }
}

/// What the adapter of a new run is made from.
enum AdapterBeginning {
  case new(AdapterLayout)
  case existing(AdapterDirectory)

  var layout: AdapterLayout {
    switch self {
    case .new(let layout): layout
    case .existing(let directory): directory.layout
    }
  }

  func note(onBase model: String) -> String? {
    guard case .existing(let directory) = self else { return nil }
    return directory.note(onBase: model)
  }

  /// Reads the tensors, so that what is wrong with them is found before a process starts.
  ///
  /// - Throws: what is wrong with them.
  func check() throws { if case .existing(let directory) = self { _ = try directory.loadParameters() } }

  /// Writes what a run needs, so that it does not need the adapter's own directory any more.
  ///
  /// - Parameter target: the run's directory of its first adapter.
  /// - Throws: on a full disk.
  func write(to target: String, base: String) throws {
    try Files.createDirectory(target)
    let configuration = AdapterFile(layout.configuration, base: base).bytes
    try Files.write(configuration, to: "\(target)/\(AdapterFile.configurationName)")
    if case .existing(let directory) = self {
      let weights = AdapterFile.weightsName
      try Files.write(
        try Files.read("\(directory.path)/\(weights)"), to: "\(target)/\(weights)")
    }
  }
}
