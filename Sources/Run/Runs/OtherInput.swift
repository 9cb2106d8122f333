// OtherInput: what a path is that is not a model directory or an adapter, and how to make it one. (OtherQuestions:
// question files.)
//
// People give what other tools take: the name of a model on the Hugging Face hub, an adapter.
// Here such input is recognised by its name or its first bytes, and answered with the command that converts it.

import Base
import GGUF
import LanguageModel
import Platform

enum OtherInput {
  // MARK: Models

  /// What is in the place of a model directory; nil if it is not known.
  static func model(at path: String) -> String? {
    guard (try? Files.exists(path)) != false else {
      return hubName(path).map { name in
        "it does not exist. If \(name) is a model on the Hugging Face hub, download it first:\n"
          + "  \(download(name))\nThen give --model \(lastPart(name))"
      }
    }
    guard let entries = try? Files.list(path).sorted() else { return modelFile(path) }
    if entries.contains(AdapterFile.configurationName) { return "it is an adapter" + remedy(forAdapter: path) }
    if let file = entries.first(where: { $0.lowercased().hasSuffix(".gguf") }) {
      return "it has a GGUF file; give that one: --model \(path)/\(file)"
    }
    if entries.contains("snapshots"), let snapshot = try? Files.list(path + "/snapshots").max() {
      return "it is a directory of the hub's cache. The model is in \(path)/snapshots/\(snapshot)"
    }
    if let newest = newestCheckpoint(ofRun: path, entries) {
      let isAdapter = (try? Files.exists("\(newest)/\(AdapterFile.configurationName)")) == true
      return "it is a run. "
        + (isAdapter ? "It trains an adapter" + remedy(forAdapter: newest) : "Its newest model is \(newest)")
    }
    return nil
  }

  private static func newestCheckpoint(ofRun path: String, _ entries: [String]) -> String? {
    guard entries.contains("settings.json") else { return nil }
    return (try? Files.list(path + "/checkpoints").max()).map { "\(path)/checkpoints/\($0)" }
  }

  private static func modelFile(_ path: String) -> String {
    let directory = path.split(separator: "/").dropLast().map { "/" + $0 }.joined()
    return "it is a file. --model takes a GGUF file, or the directory that has config.json, model.safetensors and "
      + "tokenizer.json: \(directory.isEmpty ? "/" : directory)"
  }

  /// A file, by its name or its first bytes.
  static func isGGUF(_ path: String) -> Bool {
    guard !Files.isDirectory(path), (try? Files.exists(path)) == true else { return false }
    return path.lowercased().hasSuffix(".gguf") || beginning(of: path).starts(with: GGUFFile.magic)
  }

  /// How to use an adapter, whose base is in its configuration if its program knew it.
  private static func remedy(forAdapter path: String) -> String {
    let configuration = try? Files.read("\(path)/\(AdapterFile.configurationName)", limit: Limits.configurationBytes)
    let named = configuration.flatMap { try? JSON.parse($0) }?["base_model_name_or_path"]?.string?.visible ?? ""
    func text(_ base: String) -> String {
      " (\(AdapterFile.configurationName)), which has only the difference from its base model. Give both, or the base "
        + "alone to a command that takes no adapter:\n  --model \(base) --adapter \(path)"
    }
    if named.isEmpty { return text("BASE") }
    if (try? Files.exists(named)) == true { return text(named) }
    guard isHubName(named) else { return text("BASE") + "\nIts base was \(named)" }
    return text(lastPart(named))
      + "\nIf \(named) is a model on the Hugging Face hub, download it first:\n  \(download(named))"
  }

  // MARK: Adapters

  /// What is in the place of an adapter's directory; nil if it is not known.
  static func adapter(at path: String) -> String? {
    let (configuration, weights) = (AdapterFile.configurationName, AdapterFile.weightsName)
    guard (try? Files.exists(path)) != false else {
      return hubName(path).map { name in
        "it does not exist. If \(name) is an adapter on the Hugging Face hub, download it first:\n"
          + "  \(download(name))\nThen give --adapter \(lastPart(name))"
      } ?? "it does not exist"
    }
    guard let entries = try? Files.list(path).sorted() else {
      return "it is a file. --adapter takes the directory that has \(configuration) and \(weights)"
    }
    if entries.contains(configuration) {
      guard entries.contains("adapter_model.bin") else { return nil }
      return "it has adapter_model.bin, which ttrl does not read, and no \(weights). Let peft write it, with "
        + "save_pretrained(DIR, safe_serialization=True)"
    }
    if entries.contains("config.json") {
      return "it has no \(configuration); it is a model. Give it as --model \(path)"
    }
    if let newest = newestCheckpoint(ofRun: path, entries) { return "it is a run. Its newest checkpoint is \(newest)" }
    return nil
  }

  // MARK: Parts

  /// "Qwen/Qwen2.5-0.5B" if the path ends in two such words and the first of them is not a directory either.
  static func hubName(_ path: String) -> String? {
    let parts = ThisProcess.absolute(path).split(separator: "/").filter { $0 != "." }
    let here = ThisProcess.absolute(".").split(separator: "/").filter { $0 != "." }
    guard parts.starts(with: here) else { return nil }
    let name = parts.dropFirst(here.count)
    guard name.count == 2, let owner = name.first, (try? Files.exists(ThisProcess.absolute(String(owner)))) == false
    else {
      return nil
    }
    let joined = name.joined(separator: "/")
    return isHubName(joined) ? joined : nil
  }

  private static func isHubName(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    return parts.count == 2 && !parts.contains("..")
      && parts.allSatisfy { part in
        !part.isEmpty && part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }
      }
  }

  private static func download(_ name: String) -> String { "hf download \(name) --local-dir \(lastPart(name))" }

  static func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  static func beginning(of path: String) -> [UInt8] {
    guard let file = try? MappedFile(path) else { return [] }
    return Array(file.bytes.prefix(64))
  }
}
