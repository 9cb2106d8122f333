// OtherInput: what a path is that is neither a model directory nor a question file, and how to make it one.
//
// People give what other tools take: the name of a model on the Hugging Face hub, an adapter, a CSV file.
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

  // MARK: Questions

  /// What is in the place of a question file; nil if it can be one.
  static func questions(at path: String) -> String? {
    guard (try? Files.exists(path)) != false else {
      return hubName(path).map { name in
        "it does not exist. If \(name) is a data set on the Hugging Face hub, download it first:\n"
          + "  hf download \(name) --repo-type dataset --local-dir \(lastPart(name))\nThen give --data one of its files"
      }
    }
    if let entries = try? Files.list(path) {
      let files = entries.filter { [".jsonl", ".json"].contains(where: $0.hasSuffix) }.sorted().prefix(3)
      let example = files.isEmpty ? "" : ", such as \(files.joined(separator: ", "))"
      return "it is a directory; give a file\(example)"
    }
    let (name, bytes) = (path.lowercased(), beginning(of: path))
    if name.hasSuffix(".parquet") || bytes.starts(with: Array("PAR1".utf8)) {
      return table(path, "a Parquet file", "read_parquet('\(path)')")
    }
    if name.hasSuffix(".csv") { return table(path, "a CSV file", "read_csv('\(path)')") }
    if name.hasSuffix(".tsv") { return table(path, "a TSV file", #"read_csv('\#(path)', sep='\t')"#) }
    if bytes.starts(with: Array("ARROW1".utf8)) { return table(path, "an Arrow file", "read_feather('\(path)')") }
    // gzip, zstd, zip, xz.
    let packed: [[UInt8]] = [[0x1F, 0x8B], [0x28, 0xB5, 0x2F, 0xFD], Array("PK".utf8), [0xFD] + Array("7zXZ".utf8)]
    return packed.contains(where: bytes.starts(with:)) ? "it is compressed; unpack it first" : nil
  }

  private static func table(_ path: String, _ what: String, _ reading: String) -> String {
    """
    it is \(what), expected JSON lines. Convert it with pandas:
      python3 -c "import pandas; pandas.\(reading).to_json('my.jsonl', orient='records', lines=True)"
    The question's column has to be called prompt (or problem, or question); a column answer is used for figures
    """
  }

  // MARK: Parts

  /// "Qwen/Qwen2.5-0.5B" if the path ends in two such words and the first of them is not a directory either.
  private static func hubName(_ path: String) -> String? {
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

  private static func lastPart(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  private static func beginning(of path: String) -> [UInt8] {
    guard let file = try? MappedFile(path) else { return [] }
    return Array(file.bytes.prefix(8))
  }
}
