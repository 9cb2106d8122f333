// ExportCommand: `ttrl export`, which writes a run's archive, and checks one.

import Archives
import Base
import Commands
import Platform
import RunReading
import Runs
import Settings
import Synchronization

extension Command {
  @Sendable static func export(_ settings: ExportSettings, _ call: CallSettings) throws -> Int32 {
    guard settings.verified.isEmpty else { return try verify(ThisProcess.absolute(settings.verified), call) }
    let path = ThisProcess.absolute(settings.out)
    let export = try RunExport(RunDirectory(ThisProcess.absolute(settings.run)), license: settings.license)
    let (done, all) = (export.done, export.responses)
    let view = try LineView { seconds in
      let count = done.value.load(ordering: .relaxed)
      return "\(grouped(count)) of \(counted(all, "response"))"
        + LineView.timeLeft(after: seconds, done: count, of: all)
    }
    defer { view.end() }
    let (counts, sha256) = try export.write(to: path)
    view.end()
    show(path, counts, sha256, call)
    return ExitStatus.done
  }

  private static func verify(_ path: String, _ call: CallSettings) throws -> Int32 {
    let size = try ReadingFile(path).size()
    let done = Counter()
    let view = try LineView { seconds in
      let count = done.value.load(ordering: .relaxed)
      let text = "\(grouped(count >> 20)) of \(grouped(size >> 20)) MiB"
      return text + LineView.timeLeft(after: seconds, done: count, of: size)
    }
    defer { view.end() }
    let reader = try ArchiveReader(path)
    while try reader.next() != nil { done.value.store(reader.bytesRead, ordering: .relaxed) }
    view.end()
    show(path, reader.counts, reader.sha256 ?? "", call)
    return ExitStatus.done
  }

  private static func show(_ path: String, _ counts: ArchiveCounts, _ sha256: String, _ call: CallSettings) {
    guard !call.isJSON else {
      let members = counts.members.map { JSON.Member($0.name, .int($0.value)) }
      return showJSON(
        JSON.object([JSON.Member("archive", .string(path))] + members + [JSON.Member("sha256", .string(sha256))]).text()
      )
    }
    show(
      """
      \(path.visible): whole
      has     \(counted(counts.questions, "question")), \(counted(counts.rounds, "round")), \
      \(counted(counts.groups, "group")), \(counted(counts.responses, "response")), \(counted(counts.tokens, "token"))
      sha256  \(sha256)
      """)
  }
}
