// TrajectoryCodec: leases and trajectories as bytes and back, within the messages of sampling and batches.
//
// As total as MessageCodec.

import Base
import Records

extension MessageCodec {
  // MARK: Encoding

  static func encode(_ lease: Lease, into out: inout ByteWriter) {
    out.write(lease.id.number)
    out.write(lease.round.code)
    out.write(lease.policy.number)
    out.write(lease.sampling.temperature)
    out.write(lease.sampling.topP)
    out.write(lease.sampling.topK)
    out.write(lease.sampling.maxNewTokens)
    out.write(lease.sampling.stopTokens)
    out.write(UInt32(lease.sampling.stopStrings.count))
    for string in lease.sampling.stopStrings { out.write(string) }
    out.write(lease.sampling.records.rawValue)
    out.write(UInt32(lease.prompts.count))
    for prompt in lease.prompts {
      out.write(prompt.prompt)
      out.write(prompt.tokens)
      out.write(prompt.samples.map { Int32(bitPattern: $0) })
    }
  }

  /// Bits beside the finish: what follows the log-probabilities. Without them a trajectory has the bytes of protocol 7.
  private static let hasEntropies: UInt8 = 2
  private static let hasSelfCertainty: UInt8 = 4
  private static let hasVerdict: UInt8 = 8

  static func encode(_ trajectories: [Trajectory], into out: inout ByteWriter) {
    out.write(UInt32(trajectories.count))
    for trajectory in trajectories {
      encode(trajectory.slot, into: &out)
      out.write(trajectory.policy.number)
      var flags = trajectory.finish.rawValue
      if !trajectory.entropies.isEmpty { flags |= hasEntropies }
      if trajectory.selfCertainty != nil { flags |= hasSelfCertainty }
      if trajectory.verdict != nil { flags |= hasVerdict }
      out.write(flags)
      out.write(trajectory.entropySum)
      out.write(trajectory.tokens)
      out.write(trajectory.logprobs)
      if !trajectory.entropies.isEmpty { out.write(trajectory.entropies) }
      if let selfCertainty = trajectory.selfCertainty { out.write(selfCertainty) }
      if let verdict = trajectory.verdict { encode(verdict, into: &out) }
    }
  }

  // MARK: Decoding

  static func lease(_ reader: inout ByteReader) throws(ByteError) -> Lease {
    let id = LeaseID(try reader.read())
    let round = try round(&reader)
    let policy = try version(&reader)
    let sampling = Sampling(
      temperature: try reader.readFloat(), topP: try reader.readFloat(), topK: try reader.read(),
      maxNewTokens: try reader.read(), stopTokens: try reader.readInt32s("stop tokens", limit: Limits.stopTokens),
      stopStrings: try stopStrings(&reader), records: try records(&reader))
    let count = try reader.readCount("prompts", limit: Limits.promptsPerLease, elementBytes: 12)
    var prompts: [LeasedPrompt] = []
    for _ in 0..<count {
      let prompt = try reader.read(UInt32.self)
      let tokens = try reader.readInt32s("prompt tokens", limit: Limits.tokensPerSequence)
      let samples = try reader.readInt32s("samples", limit: Limits.samplesPerPrompt)
      prompts.append(
        LeasedPrompt(prompt: prompt, tokens: tokens, samples: samples.map { UInt32(bitPattern: $0) }))
    }
    return Lease(id: id, round: round, policy: policy, sampling: sampling, prompts: prompts)
  }

  private static func records(_ reader: inout ByteReader) throws(ByteError) -> TokenRecords {
    let records = TokenRecords(rawValue: try reader.read())
    guard records.isSubset(of: .all) else { throw .invalid(field: "records", value: UInt64(records.rawValue)) }
    return records
  }

  private static func stopStrings(_ reader: inout ByteReader) throws(ByteError) -> [String] {
    let count = try reader.readCount("stop strings", limit: Limits.stopStrings, elementBytes: 4)
    var strings: [String] = []
    for _ in 0..<count {
      let string = try reader.readString("stop string", limit: Limits.stopStringBytes)
      // An empty stop string would end every response before it begins.
      guard !string.isEmpty else { throw .invalid(field: "stop string", value: 0) }
      strings.append(string)
    }
    return strings
  }

  static func trajectories(_ reader: inout ByteReader) throws(ByteError) -> [Trajectory] {
    // 29 bytes: the smallest trajectory, one without tokens.
    let count = try reader.readCount("trajectories", limit: Limits.trajectoriesPerMessage, elementBytes: 29)
    var trajectories: [Trajectory] = []
    trajectories.reserveCapacity(count)
    for _ in 0..<count { trajectories.append(try trajectory(&reader)) }
    return trajectories
  }

  private static func trajectory(_ reader: inout ByteReader) throws(ByteError) -> Trajectory {
    let slot = try slot(&reader)
    let policy = try version(&reader)
    let code = try reader.read(UInt8.self)
    guard let finish = FinishReason(rawValue: code & ~(hasEntropies | hasSelfCertainty | hasVerdict)) else {
      throw .invalid(field: "finish", value: UInt64(code))
    }
    let entropySum = try reader.readFloat()
    let tokens = try reader.readInt32s("tokens", limit: Limits.tokensPerSequence)
    let logprobs = try reader.readFloats("logprobs", limit: Limits.tokensPerSequence)
    guard logprobs.count == tokens.count else { throw .invalid(field: "logprobs", value: UInt64(logprobs.count)) }
    var trajectory = Trajectory(
      slot: slot, policy: policy, tokens: tokens, logprobs: logprobs, entropySum: entropySum, finish: finish)
    if code & hasEntropies != 0 {
      let entropies = try reader.readFloats("entropies", limit: Limits.tokensPerSequence)
      // None are not announced.
      guard entropies.count == tokens.count, !entropies.isEmpty else {
        throw .invalid(field: "entropies", value: UInt64(entropies.count))
      }
      trajectory.entropies = entropies
    }
    if code & hasSelfCertainty != 0 { trajectory.selfCertainty = try reader.readFloat() }
    if code & hasVerdict != 0 { trajectory.verdict = try verdict(&reader) }
    return trajectory
  }
}
