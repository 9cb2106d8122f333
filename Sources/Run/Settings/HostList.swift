// HostList: the machines of `ttrl launch`, from a text file with one machine per line.
//
//   # name   what runs there
//   node1    here workers=1 learners=1
//   node2    workers=4 learners=1 threads=2
//   node3    ssh=me@10.0.0.3 options="-p 2222" workers=8 program=/opt/ttrl/bin/ttrl
//   mpirun:  --mca btl_tcp_if_include eth0
//
// A name, then words in any order; `here` marks the coordinator's machine. All errors are reported at once, with their
// lines. Not here: reading the file and connecting to the machines (ttrl).

import Base

/// How a process is started on another machine.
package enum Way: String, Sendable, CaseIterable {
  case ssh
  /// As a step of the Slurm job that the launch is part of.
  case srun
}

/// One machine.
package struct ListedHost: Sendable, Equatable {
  package var name: String
  /// It is this machine, so its processes need no ssh.
  package var isHere = false
  /// How processes are started there.
  package var way = Way.ssh
  /// The machine as ssh or srun knows it; the name unless given.
  package var target: String
  /// Further arguments of ssh or srun.
  package var options: [String] = []
  package var workers = 0
  package var learners = 0
  /// Per process; 0 divides the machine's cores among its processes.
  package var threads = 0
  /// The NUMA node that its processes are bound to, by numactl.
  package var numaNode: Int?
  /// Path of ttrl there; empty if it is the same as on this machine.
  package var program = ""
}

package struct HostList: Sendable, Equatable {
  /// In the file's order, but `here` first.
  package private(set) var hosts: [ListedHost] = []
  /// Further arguments of mpirun.
  package private(set) var mpiArguments: [String] = []

  package var workers: Int { hosts.reduce(0) { $0 + $1.workers } }
  package var learners: Int { hosts.reduce(0) { $0 + $1.learners } }
  package var here: ListedHost? { hosts.first(where: \.isHere) }
  package subscript(name: String) -> ListedHost? { hosts.first { $0.name == name } }

  /// - Parameters:
  ///   - text: of the file.
  ///   - path: for the error text.
  /// - Throws: `SettingsError` with everything that is wrong.
  package init(_ text: String, path: String) throws(SettingsError) {
    var problems: [String] = []
    let lines = text.withPlainLines.split(separator: "\n", omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      var found: [String] = []
      let words = words(of: line, &found)
      if hosts.count == Limits.hosts, !words.isEmpty {
        problems.append("\(path), line \(index + 1): there are already \(Limits.hosts) machines, the most there can be")
        break
      }
      read(words, &found)
      problems += found.map { "\(path), line \(index + 1): \($0)" }
    }
    if hosts.isEmpty, problems.isEmpty { problems.append("\(path) does not name a machine; write one per line") }
    if learners > 0, here?.learners ?? 0 == 0 {
      problems.append(
        "\(path): no learner rank is here. Rank 0 reads and writes the run's checkpoints, so it runs on the "
          + "coordinator's machine. Add a line such as \"\(hosts.contains { $0.name == "node1" } ? "this" : "node1") "
          + "here learners=1\"")
    }
    guard problems.isEmpty else { throw SettingsError(problems: problems) }
    hosts = hosts.filter(\.isHere) + hosts.filter { !$0.isHere }
  }

  private mutating func read(_ words: [String], _ problems: inout [String]) {
    guard let name = words.first else { return }
    if name == "mpirun:" { return mpiArguments += words.dropFirst() }
    var host = ListedHost(name: name, target: name)
    if !name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }) || name.hasPrefix("-") {
      problems.append("\"\(name)\" is not a valid name: use letters, digits, hyphens and dots; an address goes in ssh=")
    }
    if hosts.contains(where: { $0.name == name }) { problems.append("\(name) is listed twice") }
    for word in words.dropFirst() {
      if let problem = host.take(word) { problems.append(problem) }
    }
    if host.isHere, here != nil { problems.append("two machines are \"here\"") }
    hosts.append(host)
  }

  /// Words are separated by blanks, except inside double quotes; a # begins a comment.
  private func words(of line: Substring, _ problems: inout [String]) -> [String] {
    var words: [String] = []
    var word = ""
    var hasWord = false
    var isQuoted = false
    for character in line {
      if character == "\"" {
        isQuoted.toggle()
        hasWord = true
      } else if isQuoted || !(character.isWhitespace || character == "#") {
        word.append(character)
        hasWord = true
      } else {
        if hasWord { words.append(word) }
        (word, hasWord) = ("", false)
        if character == "#" { break }
      }
    }
    if isQuoted { problems.append("a quote is not closed") }
    return words + (hasWord ? [word] : [])
  }
}

extension ListedHost {
  /// - Returns: what is wrong with a word of its line.
  fileprivate mutating func take(_ word: String) -> String? {
    if word == "here" {
      isHere = true
      return nil
    }
    let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !parts[1].isEmpty else {
      return "\"\(word)\" is unknown; expected here, workers=N, learners=N, threads=N, ssh=TARGET, "
        + "options=\"…\", numa=N, program=PATH or via=srun"
    }
    switch parts[0] {
    case "ssh": target = parts[1]
    case "options": options = parts[1].split(separator: " ").map(String.init)
    case "program": program = parts[1]
    case "via":
      guard let named = Way(rawValue: parts[1]) else { return "via is \"\(parts[1])\", expected ssh or srun" }
      way = named
    case "workers": return number(parts, 0...65536) { workers = $0 }
    case "learners": return number(parts, 0...65536) { learners = $0 }
    case "threads": return number(parts, 0...4096) { threads = $0 }
    case "numa": return number(parts, 0...1023) { numaNode = $0 }
    default:
      return "there is no \"\(parts[0])\"; expected workers, learners, threads, ssh, options, numa, program or via"
    }
    if target.hasPrefix("-") { return "\"\(target)\" is not a target of ssh" }
    return nil
  }

  private func number(_ parts: [String], _ range: ClosedRange<Int>, _ take: (Int) -> Void) -> String? {
    guard let value = Int(parts[1]), range.contains(value) else {
      return "\(parts[0]) is \"\(parts[1])\", expected an integer from \(range.lowerBound) to \(range.upperBound)"
    }
    take(value)
    return nil
  }
}
