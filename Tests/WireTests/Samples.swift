// One message of every kind, with every field away from its default, for all tests of this target.

import Base
import Records
import Wire

enum Samples {
  static let slot = Slot(round: .train(step: 7), prompt: 17, sample: 3)

  static let trajectory = Trajectory(
    slot: slot, policy: PolicyVersion(7), tokens: [5, -1, 151_643], logprobs: [-0.5, -0.0, -12.25], entropySum: 1.5,
    finish: .length)

  /// With a verdict, and with the reason why there is none.
  static let judged: [Trajectory] = {
    var (judged, failed) = (trajectory, trajectory)
    judged.verdict = Verdict(reward: -1.5, voteWeight: 5)
    failed.verdict = Verdict(.late)
    return [judged, failed]
  }()

  /// With what a method can ask for.
  static let recorded: Trajectory = {
    var recorded = trajectory
    recorded.entropies = [0.5, 0, 2]
    recorded.selfCertainty = 3.25
    return recorded
  }()

  static let manifest = PolicyManifest(version: PolicyVersion(8), byteCount: 1 << 33, digest: [0xAB, 0xCD])

  static let chunk = ChunkDigest((1...32).map { UInt8($0) })

  static let bundle = BundleManifest(
    policy: PolicyManifest(version: PolicyVersion(8), byteCount: 10, digest: [0xAB, 0xCD]), base: PolicyVersion(7),
    wordBytes: 2, blockBytes: 6,
    chunks: [
      PackedChunk(digest: chunk, byteCount: 5),
      PackedChunk(digest: ChunkDigest([UInt8](repeating: 0xEE, count: 32)), byteCount: 260),
    ])

  static let anchor = BundleManifest(
    policy: PolicyManifest(version: PolicyVersion(0), byteCount: 0, digest: []), base: nil, wordBytes: 4, blockBytes: 1,
    chunks: [])

  static let lease = Lease(
    id: LeaseID(42), round: .evaluate(.heldOut, at: PolicyVersion(7)), policy: PolicyVersion(7),
    sampling: Sampling(
      temperature: 0.6, topP: 0.95, topK: 20, maxNewTokens: 100, stopTokens: [2, 3], stopStrings: ["\n\n", "é"],
      records: .all),
    prompts: [
      LeasedPrompt(prompt: 1, tokens: [9, 8], samples: [0, 1, 7]), LeasedPrompt(prompt: 2, tokens: [], samples: []),
    ])

  /// Every figure that has an odd place in the list is known.
  static let report: StepReport = {
    var report = StepReport(
      step: 7, weightsDigest: (0..<32).map { UInt8($0) }, stateDigest: [UInt8](repeating: 0xEE, count: 32))
    for (place, name) in FigureName.allCases.enumerated() where place % 2 == 1 {
      report.figures[name] = name.isCount ? Double(place) : Double(place) + 0.25
    }
    var labelled = PromptReport(prompt: 17)
    labelled.label = "q:é"
    (labelled.labelVotes, labelled.samples, labelled.unneeded) = (40, 60, 4)
    (labelled.withoutAnswer, labelled.truncated, labelled.answerCount, labelled.rewarded) = (5, 6, 7, 41)
    labelled.truncatedThinking = 3
    (labelled.isTie, labelled.isFlip, labelled.abstention) = (true, true, .entropy)
    labelled.truth = PromptReport.Truth(isLabelRight: true, right: 39, rightRewards: 58)
    var bare = PromptReport(prompt: .max)
    (bare.samples, bare.hasZeroAdvantage, bare.isFlip) = (64, true, false)
    report.prompts = [labelled, bare]
    var seconds = FigureValues()
    (seconds[.voteSeconds], seconds[.publishSeconds]) = (0.5, 2)
    report.processes = [
      ProcessTimes(process: "rank 0", seconds: seconds), ProcessTimes(process: "é", seconds: FigureValues()),
    ]
    report.positions = [40, 20, 3]
    return report
  }()

  static let messages: [Message] = [
    .hello(
      Hello(
        role: .learner, name: "gpu-box/é", arithmetic: "avx512", processID: 4_000_000_000, threads: 64,
        relay: "10.0.0.7:7001", term: Term(2 << 32 | 7))),
    .welcome(
      Welcome(
        runID: "run-1", seed: .max, dtype: "bfloat16", modelConfiguration: "{\"a\":1}", latestPolicy: PolicyVersion(9),
        heartbeat: .seconds(2), tokenTexts: TokenTexts([[0x61], [0x62, 0x63]]), policies: "/r/é",
        base: AdaptedBase(
          adapter: "{\"r\":1}", manifest: PolicyManifest(version: .base, byteCount: 2, digest: [0xAB, 0xCD]),
          directory: "/m"), term: Term(3 << 32))),
    .goodbye(reason: "full"), .finished, .want(slots: 64), .lease(lease),
    .trajectories(LeaseID(42), [trajectory, recorded]),
    .settled([slot, slot]), .revoke(LeaseID(42)), .heartbeat(tokens: 1 << 40), .offer(manifest),
    .requestBytes(PolicyVersion(8), offset: 1 << 35), .policyBytes(PolicyVersion(8), offset: 5, bytes: [1, 2, 3]),
    .requestBundle(PolicyVersion(8), holding: [PolicyVersion(6), PolicyVersion(7)]),
    .bundle(bundle, from: "10.0.0.7:7001", depth: 3), .requestChunk(PolicyVersion(8), chunk), .chunk(chunk, [4, 5]),
    .missing(PolicyVersion(8)), .fault("10.0.0.7:7001", PolicyVersion(8), .wrong),
    .installed(PolicyVersion(8), .milliseconds(5)),
    .ready(PolicyVersion(8)), .batch(step: 7, part: 1, partCount: 2, judged),
    .publish(manifest, report: report), .published(PolicyVersion(8)),
    .standbys(["10.0.0.8:7000", "b:1"], silence: .seconds(10)),
    .follow(FollowRequest(runID: "run-1", position: position, patience: .seconds(10))),
    .snapshot(
      ReplicaSnapshot(
        schema: 6, position: position, files: [ReplicaFile(name: "a/é", byteCount: 1 << 33, digest: chunk)],
        kept: [manifest])),
    .requestFile(index: 2, offset: 1 << 35), .fileBytes(index: 2, offset: 5, bytes: [1, 2, 3]),
    .commit(
      LedgerCommit(
        number: 1 << 40, added: [manifest], removed: [PolicyVersion(6), PolicyVersion(7)], changes: [9, 8]),
      part: 1, partCount: 2),
    .committed(1 << 40),
  ]

  static let position = LedgerPosition(term: Term(2 << 32 | 7), number: 1 << 40)

  /// The edges of every count and enum: empty lists and texts, and the other cases.
  static let edges: [Message] = [
    .hello(Hello(role: .worker, name: "", arithmetic: "", processID: 0, threads: 0)), .goodbye(reason: ""),
    .welcome(
      Welcome(
        runID: "", seed: 0, dtype: "", modelConfiguration: "", latestPolicy: PolicyVersion(0), heartbeat: .zero)),
    .trajectories(LeaseID(0), []), .settled([]), .batch(step: 0, part: 0, partCount: 0, []),
    .trajectories(
      LeaseID(.max),
      [
        Trajectory(
          slot: Slot(round: .evaluate(.training, at: PolicyVersion(0xFF_FFFF)), prompt: .max, sample: .max),
          policy: PolicyVersion(.max), tokens: [], logprobs: [], entropySum: 0, finish: .stop)
      ]), .policyBytes(PolicyVersion(0), offset: .max, bytes: []),
    .offer(PolicyManifest(version: PolicyVersion(0), byteCount: 0, digest: [])),
    .publish(manifest, report: StepReport(step: .max), isAtHand: true),
    .requestBundle(PolicyVersion(0), holding: []),
    .bundle(anchor, from: "", depth: 0), .chunk(ChunkDigest([]), []), .fault("", PolicyVersion(.max), .lost),
    .installed(PolicyVersion(.max), Instant.Span(nanoseconds: .max)), .standbys([], silence: .zero),
    .follow(FollowRequest(runID: "", position: .none, patience: .zero)),
    .snapshot(ReplicaSnapshot(schema: 0, position: .none, files: [], kept: [])),
    .fileBytes(index: .max, offset: .max, bytes: []),
    .commit(LedgerCommit(number: 0, changes: []), part: 0, partCount: 1),
    .lease(
      Lease(id: LeaseID(0), round: .train(step: 0), policy: PolicyVersion(0), sampling: lease.sampling, prompts: [])),
  ]
}

/// All messages in a stream of bytes, or the first error.
func decode(_ bytes: [UInt8]) throws -> [Message] {
  var decoder = FrameDecoder()
  decoder.append(bytes)
  var messages: [Message] = []
  while let message = try decoder.next() { messages.append(message) }
  return messages
}

/// A frame with any header fields and payload, and with right checksums.
func frame(
  magic: [UInt8] = Array("TTRL".utf8), version: UInt16 = ProtocolVersions.own.newest, kind: UInt16, flags: UInt32 = 0,
  length: UInt32? = nil, payload: [UInt8] = []
) -> [UInt8] {
  var out = ByteWriter()
  out.append(magic)
  out.write(version)
  out.write(kind)
  out.write(flags)
  out.write(length ?? UInt32(payload.count))
  out.write(CRC32C.checksum(payload))
  out.write(CRC32C.checksum(out.bytes))
  out.append(payload)
  return out.bytes
}
