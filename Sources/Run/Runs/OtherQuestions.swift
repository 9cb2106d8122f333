// OtherQuestions: what a path is that is not a question file, and the command that makes it one.
//
// No library of the distribution reads Parquet and other tables in binary form, so they are recognised by their first
// bytes (or the name, where bytes say nothing) and named, with one line that converts them.

import Base
import Platform

extension OtherInput {
  /// What is in the place of a question file; nil if it can be one.
  static func questions(at path: String) -> String? {
    guard (try? Files.exists(path)) != false else {
      return hubName(path).map { name in
        "it does not exist. If \(name) is a data set on the Hugging Face hub, download it first:\n"
          + "  hf download \(name) --repo-type dataset --local-dir \(lastPart(name))\nThen give --data one of its files"
      }
    }
    if let entries = try? Files.list(path) {
      let files = entries.filter { [".jsonl", ".json", ".csv"].contains(where: $0.hasSuffix) }.sorted().prefix(3)
      let example = files.isEmpty ? "" : ", such as \(files.joined(separator: ", "))"
      return "it is a directory; give a file\(example)"
    }
    let bytes = beginning(of: path)
    return table(path, bytes) ?? packed(path, bytes) ?? page(bytes)
  }

  private static func isText(_ bytes: [UInt8], _ beginning: String) -> Bool {
    bytes.starts(with: beginning.utf8) { $0 | 0x20 == $1 | 0x20 }
  }

  private static func table(_ path: String, _ bytes: [UInt8]) -> String? {
    let (name, file) = (path.lowercased(), "'\(path)'")
    func begins(_ text: String) -> Bool { bytes.starts(with: text.utf8) }
    if begins("PAR1") { return converted("a Parquet file", "pandas.read_parquet(\(file))") }
    if begins("ARROW1") || begins("FEA1") { return converted("an Arrow file", "pandas.read_feather(\(file))") }
    if bytes.starts(with: [0xFF, 0xFF, 0xFF, 0xFF]) {
      return converted("an Arrow stream", "pyarrow.ipc.open_stream(open(\(file), 'rb')).read_pandas()", "pyarrow")
    }
    // The first file of the archive that a workbook is; workbooks of before 2007.
    let isWorkbook = begins("PK") && bytes.dropFirst(30).starts(with: "[Content_Types].xml".utf8)
    if isWorkbook || begins("PK") && name.hasSuffix(".xlsx") || bytes.starts(with: [0xD0, 0xCF, 0x11, 0xE0]) {
      return converted("an Excel workbook", "pandas.read_excel(\(file))")
    }
    return name.hasSuffix(".tsv")
      ? converted("a table with tabs", #"pandas.read_csv(\#(file), sep='\t', dtype=str)"#) : nil
  }

  private static func converted(_ what: String, _ reading: String, _ module: String = "pandas") -> String {
    """
    it is \(what), expected JSON, JSON lines or CSV. Convert it with pandas:
      python3 -c "import \(module); \(reading).to_json('my.jsonl', orient='records', lines=True)"
    Then give --data my.jsonl
    """
  }

  private static func packed(_ path: String, _ bytes: [UInt8]) -> String? {
    let kinds: [(beginning: [UInt8], name: String, command: String)] = [
      ([0x1F, 0x8B], "gzip", "gunzip -k"), ([0x28, 0xB5, 0x2F, 0xFD], "zstd", "zstd -d"),
      (Array("PK".utf8), "zip", "unzip"),
      ([0xFD] + Array("7zXZ".utf8), "xz", "xz -dk"), (Array("BZh".utf8), "bzip2", "bunzip2 -k"),
    ]
    return kinds.first { bytes.starts(with: $0.beginning) }.map { kind in
      "it is compressed (\(kind.name)). Unpack it, and give the file that is in it:\n  \(kind.command) '\(path)'"
    }
  }

  private static func page(_ bytes: [UInt8]) -> String? {
    if isText(bytes, "<!doctype html") || isText(bytes, "<html") {
      return "it is a web page. Download the file that the page shows, for example with hf download"
    }
    return isText(bytes, "version https://git-lfs")
      ? "it is a Git LFS pointer, which stands for the file. Get the file with git lfs pull, or with hf download" : nil
  }
}
