// AdapterKeys: adapter_config.json of a PEFT directory, read and written.
//
// PEFT has many kinds of adapters, and LoRA many variants. What ttrl computes becomes an AdapterConfiguration. Anything
// else that is switched on is refused by its name: an adapter that is computed slightly wrong looks like one that
// learns badly. A key that is in no table here is refused too, except with a value that switches it off, because a new
// key of PEFT is a new variant.
// Not here: which of a model's layers the targets name (Adapters/AdapterLayout.swift), the tensors (LoadPlan.swift).
//
// Source: PEFT 0.21.2, peft/tuners/lora/config.py and layer.py.

package import Base

/// What an adapter_config.json says.
package struct AdapterFile: Sendable, Equatable {
  package var adapter: AdapterConfiguration
  /// The base model: a name on the hub or a directory.
  package var base: String?

  package static let configurationName = "adapter_config.json"
  package static let weightsName = "adapter_model.safetensors"

  package init(_ adapter: AdapterConfiguration, base: String?) {
    self.adapter = adapter
    self.base = base
  }
}

/// Why an adapter_config.json cannot be used.
package enum AdapterFileError: Error, Equatable, Sendable, CustomStringConvertible {
  case notJSON(JSONError)
  /// In the order of reading.
  case problems([ConfigurationError.Problem])

  package var description: String {
    switch self {
    case .notJSON(let error): "\(AdapterFile.configurationName) is not JSON: \(error)"
    case .problems(let problems):
      problems.map { "\(AdapterFile.configurationName): \($0)".visible }.joined(separator: "\n")
    }
  }
}

extension AdapterFile {
  /// Keys that are read.
  private static let read = ["peft_type", "r", "lora_alpha", "use_rslora", "target_modules", "base_model_name_or_path"]

  /// Keys that do not change what a finished adapter computes: notes of the program that made it, and settings of its
  /// training or of variants that their own keys switch on.
  private static let harmless = [
    "task_type", "inference_mode", "revision", "auto_mapping", "peft_version", "lora_dropout", "megatron_core",
    "qalora_group_size", "layers_pattern", "runtime_config", "ephemeral_gpu_offload", "eva_config",
  ]

  /// How A and B began, where that left the base's weights as they are. PiSSA, OLoRA, CorDA, LoftQ and others subtract
  /// from the base what the adapter begins with.
  private static let initializations: [JSON] = [true, false, .null, "gaussian", "orthogonal", "eva"]

  /// - Parameters:
  ///   - bytes: the file.
  ///   - model: the base.
  /// - Throws: every problem of the file at once.
  package init(_ bytes: [UInt8], of model: ParameterLayout) throws(AdapterFileError) {
    let json: JSON
    do { json = try JSON.parse(bytes) } catch { throw .notJSON(error) }
    var reader = AdapterReader(json: json)
    let (rank, alpha) = (reader.rank(), reader.alpha())
    let targets = reader.targets(of: model)
    reader.expectLoRA()
    reader.refuseOthers(besides: Self.read + Self.harmless, initializations: Self.initializations)
    guard reader.problems.isEmpty else { throw .problems(reader.problems) }
    adapter = AdapterConfiguration(
      rank: rank, alpha: alpha, isRankStabilized: json["use_rslora"] == true, targets: targets)
    base = json["base_model_name_or_path"]?.string
  }

  /// The file, as `peft` opens it. Equal adapters have equal files.
  package var bytes: [UInt8] {
    let members: [JSON.Member] = [
      JSON.Member("base_model_name_or_path", .optional(base)), JSON.Member("bias", "none"),
      JSON.Member("fan_in_fan_out", false), JSON.Member("inference_mode", true),
      JSON.Member("init_lora_weights", true), JSON.Member("lora_alpha", Self.number(adapter.alpha)),
      JSON.Member("lora_dropout", .double(0)), JSON.Member("modules_to_save", .null), JSON.Member("peft_type", "LORA"),
      JSON.Member("r", .int(adapter.rank)), JSON.Member("target_modules", .array(adapter.targets.map { .string($0) })),
      JSON.Member("task_type", "CAUSAL_LM"), JSON.Member("use_dora", false),
      JSON.Member("use_rslora", .bool(adapter.isRankStabilized)),
    ]
    return JSON.object(members).bytes(.pretty) + [UInt8(ascii: "\n")]
  }

  /// PEFT writes whole numbers without a fraction.
  private static func number(_ value: Double) -> JSON { Int(exactly: value).map { .int($0) } ?? .double(value) }
}

/// Reads keys and collects their problems.
private struct AdapterReader {
  let json: JSON
  var problems: [ConfigurationError.Problem] = []

  init(json: JSON) { self.json = json }

  mutating func rank() -> Int {
    if let rank = json["r"]?.int, 1...AdapterConfiguration.rankMax ~= rank { return rank }
    malformed("r", "an integer from 1 to \(AdapterConfiguration.rankMax)")
    return 1
  }

  mutating func alpha() -> Double {
    if let alpha = json["lora_alpha"]?.double, alpha > 0 { return alpha }
    malformed("lora_alpha", "a number above 0")
    return 1
  }

  mutating func targets(of model: ParameterLayout) -> [String] {
    let value = json["target_modules"] ?? .null
    if let names = value.elements?.map(\.string), !names.isEmpty, !names.contains(nil) {
      // The base can have been a model that has this one inside it.
      return names.compactMap { $0 }.compactMap { name in
        guard case .tensor(let own) = model.names.use(of: name) else { return nil }
        return own
      }
    }
    if value == "all-linear" { return AdapterTargets.all.names(in: model) }
    if value.string != nil {
      refuse("target_modules", "a list of names, or \"all-linear\", in place of a regular expression")
    } else {
      malformed("target_modules", "a list of names of linear layers")
    }
    return []
  }

  mutating func expectLoRA() {
    if json["peft_type"] != "LORA" { refuse("peft_type", "LORA") }
    if let flag = json["use_rslora"], !flag.isNull, flag.bool == nil { malformed("use_rslora", "true or false") }
  }

  mutating func refuseOthers(besides known: [String], initializations: [JSON]) {
    for member in json.members ?? [] where !known.contains(where: { $0.isSameBytes(as: member.key) }) {
      switch member.key {
      case "bias": if member.value != "none", !member.value.isNull { refuse("bias", "none") }
      case "init_lora_weights":
        if !initializations.contains(member.value) {
          refuse(
            "init_lora_weights", "true, false, gaussian, orthogonal or eva, which leave the base's weights as they are")
        }
      case "rank_pattern", "alpha_pattern", "loftq_config":
        if !Self.isOff(member.value), member.value.members?.isEmpty != true { refuse(member.key, "no entries") }
      default: if !Self.isOff(member.value) { refuse(member.key, "null, or no such key") }
      }
    }
  }

  /// A number does not switch anything off, because 0 can be the number of a layer. Neither does an empty object, which
  /// can be a variant with its default settings.
  private static func isOff(_ value: JSON) -> Bool {
    value.isNull || value == false || value.elements?.isEmpty == true
  }

  private mutating func malformed(_ key: String, _ expected: String) {
    problems.append(.malformed(key: key, found: json[key]?.summary ?? "missing", expected: expected))
  }

  private mutating func refuse(_ key: String, _ supported: String) {
    problems.append(.unsupported(key: key, found: json[key]?.summary ?? "missing", supported: supported))
  }
}
