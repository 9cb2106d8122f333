// VerdictCodec: the bytes of a verdict, at the end of a trajectory: flags, then what they say is there.

import Base
import Records

extension MessageCodec {
  private enum Flag {
    static let valid: UInt8 = 1
    static let reward: UInt8 = 2
    static let voteWeight: UInt8 = 4
    static let fault: UInt8 = 8
    static let all: UInt8 = 15
  }

  static func encode(_ verdict: Verdict, into out: inout ByteWriter) {
    var flags: UInt8 = verdict.isValid ? Flag.valid : 0
    if verdict.reward != nil { flags |= Flag.reward }
    if verdict.voteWeight != nil { flags |= Flag.voteWeight }
    if verdict.fault != nil { flags |= Flag.fault }
    out.write(flags)
    if let reward = verdict.reward { out.write(reward) }
    if let weight = verdict.voteWeight { out.write(weight) }
    if let fault = verdict.fault { out.write(fault.rawValue) }
  }

  static func verdict(_ reader: inout ByteReader) throws(ByteError) -> Verdict {
    let flags = try reader.read(UInt8.self)
    guard flags & ~Flag.all == 0 else { throw .invalid(field: "verdict", value: UInt64(flags)) }
    var verdict = Verdict(isValid: flags & Flag.valid != 0)
    if flags & Flag.reward != 0 { verdict.reward = try reader.readFloat() }
    if flags & Flag.voteWeight != 0 { verdict.voteWeight = try reader.readFloat() }
    if flags & Flag.fault != 0 {
      let code = try reader.read(UInt8.self)
      guard let fault = VerdictFault(rawValue: code) else { throw .invalid(field: "fault", value: UInt64(code)) }
      verdict.fault = fault
    }
    guard verdict.isSound else { throw .invalid(field: "verdict", value: UInt64(flags)) }
    return verdict
  }
}
