// OtherInput: what a path is that is not a model directory, and how to make it one. (OtherQuestions: question files.)
//
// People give what other tools take: the name of a model on the Hugging Face hub, an adapter.
// Here such input is recognised by its name or its first bytes, and answered with the command that converts it.

import Base
import GGUF
import Platform

enum OtherInput {
  // MARK: Models

  /// What is in the place of a model directory; nil if it is not known.
  static func model(at path: String) -> String? {
    guard (try? Files.exists(path)) != false else {
      return hubName(path).map { name in
        "it does not exist. If \(name) is a model on the Hugging Face hub, download it first:\n"
          + "  hf download \(name) --local-dir \(lastPart(name))\nThen give --model \(lastPart(name))"
      }
    }
    guard let entries = try? Files.list(path).sorted() else { return modelFile(path) }
    if entries.contains("adapter_config.json") { return adapter(path) }
    if let file = entries.first(where: { $0.lowercased().hasSuffix(".gguf") }) {
      return "it has a GGUF file; give that one: --model \(path)/\(file)"
    }
    if entries.contains("snapshots"), let snapshot = try? Files.list(path + "/snapshots").max() {
      return "it is a directory of the hub's cache. The model is in \(path)/snapshots/\(snapshot)"
    }
    if entries.contains("settings.json"), let last = try? Files.list(path + "/checkpoints").max() {
      return "it is a run. Its newest model is \(path)/checkpoints/\(last)"
    }
    return nil
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

  private static func adapter(_ path: String) -> String {
    """
    it is an adapter (adapter_config.json), which has only the difference from its base model. Merge the two with peft:
      python3 -c "from peft import AutoPeftModelForCausalLM as M; \
    M.from_pretrained('\(path)').merge_and_unload().save_pretrained('merged')"
    and copy tokenizer.json and tokenizer_config.json of the base model into merged/
    """
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
    let isName = name.allSatisfy { $0.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) } }
    return isName && !name.contains("..") ? name.joined(separator: "/") : nil
  }

  static func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  static func beginning(of path: String) -> [UInt8] {
    guard let file = try? MappedFile(path) else { return [] }
    return Array(file.bytes.prefix(64))
  }
}
