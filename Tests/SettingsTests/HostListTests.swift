// Hosts files are read, and everything that is wrong with one is reported at once.

import Base
import Settings
import Testing

@Suite struct HostListTests {
  private func problems(_ text: String) -> [String] {
    do {
      _ = try HostList(text, path: "hosts")
      return []
    } catch {
      return error.problems
    }
  }

  @Test func `every word of a line is taken`() throws {
    let list = try HostList(
      """
      # the machines
      far workers=2 learners=1 threads=3 ssh=me@10.0.0.2 options="-p 2222 -i key" numa=1 program=/opt/ttrl
      near here learners=1   # rank 0

      step via=srun workers=4
      mpirun: --mca btl_tcp_if_include eth0
      """, path: "hosts")
    #expect(list.hosts.map(\.name) == ["near", "far", "step"], "this machine first: rank 0 is here")
    let far = try #require(list["far"])
    #expect((far.workers, far.learners, far.threads) == (2, 1, 3))
    #expect(far.target == "me@10.0.0.2" && far.options == ["-p", "2222", "-i", "key"] && far.numaNode == 1)
    #expect(far.program == "/opt/ttrl" && !far.isHere && far.way == .ssh && list["step"]?.way == .srun)
    #expect(list.workers == 6 && list.learners == 2 && list.here?.name == "near")
    #expect(list.mpiArguments == ["--mca", "btl_tcp_if_include", "eth0"])
  }

  @Test func `lines that end with CR LF are lines`() throws {
    let text = "# machines\nnear here learners=1\n\nfar workers=2 options=\"-p 2222\"\nmpirun: --mca a b\n"
    let windows = try HostList("\u{FEFF}" + text.replacing("\n", with: "\r\n"), path: "hosts")
    #expect(try windows == HostList(text, path: "hosts") && windows.hosts.map(\.name) == ["near", "far"])
    #expect(problems("near here\r\nfar a=1\r\n").contains { $0.contains("line 2: there is no \"a\"") })
  }

  @Test func `everything that is wrong is reported at once, with its line`() {
    let found = problems("a here learners=1\na workers=-1\nb c=2 \"\nd here via=rsh\n-x ssh=-oProxyCommand=x\n")
    let expected = [
      "line 2: a is listed twice", "line 2: workers is \"-1\"", "line 3: a quote is not closed",
      "line 3: there is no \"c\"", "line 4: via is \"rsh\"", "line 4: two machines are \"here\"",
      "line 5: \"-x\" is not a valid name", "line 5: \"-oProxyCommand=x\" is not a target of ssh",
    ]
    for words in expected { #expect(found.contains { $0.contains(words) }, "\(words)\n\(found)") }
  }

  @Test func `too many machines are refused, and a long word does not take quadratic time`() {
    let many = (0..<20_000).map { "node\($0) workers=1\n" }.joined()
    #expect(
      problems(many) == ["hosts, line \(Limits.hosts + 1): there are already 4096 machines, the most there can be"])
    let most = (0..<Limits.hosts).map { "node\($0) workers=1\n" }.joined()
    #expect(problems(most + "\n# the end\n") == [])
    // Each letter copied the letters before it: minutes.
    let word = String(repeating: "a", count: Limits.hostsFileBytes - 100)
    #expect(problems("node1 here learners=1 program=\(word)") == [])
  }

  @Test func `rank 0 is where the run directory is`() {
    #expect(problems("a here workers=1\nb learners=1").first?.contains("no learner rank is here") == true)
    #expect(problems("a here workers=1\nb workers=1") == [])
    #expect(problems("# nothing\n").first?.contains("does not name a machine") == true)
  }
}
