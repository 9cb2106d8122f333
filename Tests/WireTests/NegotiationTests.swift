// Two programs agree on the newest version of the protocol that both speak, whatever else each of them speaks.

import Base
import Records
import Testing
import Wire

private func speaks(_ oldest: UInt16, _ newest: UInt16) -> ProtocolVersions {
  ProtocolVersions(oldest: oldest, newest: newest)
}

/// One frame, read by a side that speaks `versions`.
private func read(_ frame: [UInt8], by versions: ProtocolVersions) throws -> (message: Message?, answers: UInt16) {
  var decoder = FrameDecoder(speaking: versions)
  decoder.append(frame)
  let message = try decoder.next()
  return (message, decoder.version)
}

private func hello(_ versions: ProtocolVersions) -> Message {
  .hello(Hello(role: .worker, name: "ada", arithmetic: "", processID: 1, threads: 1, speaks: versions))
}

@Suite struct NegotiationTests {
  static let pairs: [(ProtocolVersions, ProtocolVersions, UInt16?)] = [
    (speaks(9, 9), speaks(9, 9), 9), (speaks(9, 9), speaks(9, 10), 9), (speaks(9, 10), speaks(10, 11), 10),
    (speaks(10, 11), speaks(10, 11), 11), (speaks(9, 9), speaks(10, 11), nil), (speaks(9, 10), speaks(11, 12), nil),
  ]

  @Test(arguments: pairs)
  func `two sides use the newest version of both`(
    _ one: ProtocolVersions, _ other: ProtocolVersions, _ common: UInt16?
  ) throws {
    #expect(one.common(with: other) == common && other.common(with: one) == common)
    for (client, server) in [(one, other), (other, one)] {
      let greeting = Frame.encode(hello(client), version: client.newest)
      guard let common else {
        #expect(throws: WireError.noCommonVersion(peer: client, spoken: server)) { try read(greeting, by: server) }
        // The refusal is understood.
        let refusal = Frame.encode(.goodbye(reason: "no"), version: server.newest)
        #expect(try read(refusal, by: client).message == .goodbye(reason: "no"))
        continue
      }
      let asked = try read(greeting, by: server)
      #expect(asked.message == hello(client) && asked.answers == common)
      // What comes next is sent in the version of the answer.
      let answered = try read(Frame.encode(.want(slots: 1), version: asked.answers), by: client)
      #expect(answered.message == .want(slots: 1) && answered.answers == common)
    }
  }

  @Test func `before and without an agreement, only messages that never change are read`() throws {
    let new = speaks(12, 13)
    for message in [Message.missing(PolicyVersion(1)), .goodbye(reason: "")] {
      #expect(try read(Frame.encode(message, version: 9), by: new).message == message)
      // They decide nothing.
      #expect(try read(Frame.encode(message, version: 13), by: new).answers == 13)
    }
    for version: UInt16 in [9, 11, 14] {
      #expect(throws: WireError.otherVersion(found: version, spoken: new)) {
        try read(Frame.encode(.finished, version: version), by: new)
      }
    }
  }

  @Test func `what a later release adds to its hello is passed over, and nothing else is`() throws {
    func frame(_ versions: ProtocolVersions) -> [UInt8] {
      let payload = Frame.encode(hello(versions)).dropFirst(Frame.headerBytes)
      return Frame.encode(kind: 1, payload: payload + [1, 2, 3])
    }
    let newest = ProtocolVersions.own.newest
    #expect(try read(frame(speaks(newest, newest + 1)), by: .own).message == hello(speaks(newest, newest + 1)))
    #expect(throws: WireError.malformed(kind: 1, .trailing(count: 3))) { try read(frame(.own), by: .own) }
  }

  @Test func `a welcome in version 9 has no term, and messages of version 10 are unknown in it`() throws {
    var welcome = Welcome(
      runID: "r", seed: 1, dtype: "float32", modelConfiguration: "", latestPolicy: PolicyVersion(0), heartbeat: .zero,
      term: Term(7 << 32))
    let old = try decode(Frame.encode(.welcome(welcome), version: 9))
    let new = try decode(Frame.encode(.welcome(welcome)))
    #expect(new == [.welcome(welcome)])
    welcome.term = .first
    #expect(old == [.welcome(welcome)])
    #expect(throws: WireError.unknownKind(40)) { try decode(frame(version: 9, kind: 40)) }
  }

  @Test func `a report in version 9 has the figures of version 9`() throws {
    var report = Samples.report
    let frame = Frame.encode(.publish(Samples.manifest, report: report), version: 9)
    (report.figures[.criticLoss], report.figures[.criticClipRatio]) = (nil, nil)
    for name: FigureName in [
      .criticGradientNorm, .explainedVariance, .returnMean, .criticAccuracy, .positionBias,
    ] {
      report.figures[name] = nil
    }
    report.positions = []
    #expect(try decode(frame) == [.publish(Samples.manifest, report: report)])
  }

  @Test func `a hello with a range that is none is refused`() {
    #expect(throws: WireError.malformed(kind: 1, .invalid(field: "oldest protocol version", value: 11))) {
      try read(Frame.encode(hello(speaks(11, 10))), by: .own)
    }
  }
}
