// Frames: round trips, the exact bytes, and what a decoder does with bytes that are not valid.

import Base
import Records
import Testing
import Wire

@Suite struct RoundTripTests {
  @Test(arguments: Samples.messages + Samples.edges)
  func `a decoded message equals the encoded one`(_ message: Message) throws {
    #expect(try decode(Frame.encode(message)) == [message])
  }

  @Test func `numbers keep their bits, also NaN`() throws {
    var odd = Samples.trajectory
    odd.logprobs = [.nan, -.infinity, Float(bitPattern: 0x7FC0_1234)]
    let back = try decode(Frame.encode(.batch(step: 0, part: 0, partCount: 1, [odd])))
    guard case .batch(_, _, _, let list) = back.first else { return #expect(Bool(false), "got \(back)") }
    #expect(list[0].logprobs.map(\.bitPattern) == odd.logprobs.map(\.bitPattern))
  }

  @Test func `a stream can arrive byte by byte or all at once`() throws {
    let stream = Samples.messages.flatMap { Frame.encode($0) }
    #expect(try decode(stream) == Samples.messages)
    var decoder = FrameDecoder()
    var messages: [Message] = []
    for byte in stream {
      decoder.append([byte])
      while let message = try decoder.next() { messages.append(message) }
    }
    #expect(messages == Samples.messages)
  }
}

/// The exact bytes. They do not change within protocol version 10; a change needs a new version.
@Suite struct GoldenFrameTests {
  @Test(arguments: zip(Samples.messages, golden))
  func `a frame of every kind has exactly these bytes`(_ message: Message, _ expected: String) throws {
    #expect(Hexadecimal.text(Frame.encode(message)) == expected)
  }

  /// The frames of `Samples.messages`, header and payload. Another program made them, from docs/protocol.md.
  private static let golden: [String] = [
    "5454524c0900010000000000400000000959b37f5bcc98f3010a0000006770752d626f782fc3a9060000006176783531"
      + "3200286bee40000d00000031302e302e302e373a3730303109000a00010000000700000002000000",
    "5454524c0a000200000000007c000000082b282d778d7bef0500000072756e2d31ffffffffffffffff0800000062666c"
      + "6f61743136070000007b2261223a317d0900000000943577000000000300000061626302000000010000000300000005"
      + "0000002f722fc3a901070000007b2272223a317dffffffff020000000000000002000000abcd020000002f6d00000000"
      + "03000000",
    "5454524c0900030000000000080000000a8268073ffeb3e60400000066756c6c",
    "5454524c0a00040000000000000000000000000049a1a15a",
    "5454524c0a000a0000000000040000002014c1e3ecdfeef340000000",
    "5454524c0a000b00000000006d000000a7d3eaa77abd65982a0000000000000007000011070000009a99193f3333733f"
      + "140000006400000002000000020000000300000002000000020000000a0a02000000c3a9030200000001000000020000"
      + "00090000000800000003000000000000000100000007000000020000000000000000000000",
    "5454524c0a000c00000000008a000000e27084a17e84af372a0000000000000002000000070000001100000003000000"
      + "07000000010000c03f0300000005000000ffffffff5b50020003000000000000bf00000080000044c107000000110000"
      + "000300000007000000070000c03f0300000005000000ffffffff5b50020003000000000000bf00000080000044c10300"
      + "00000000003f000000000000004000005040",
    "5454524c0a000d00000000001c000000fed758f8da5333db020000000700000011000000030000000700000011000000"
      + "03000000",
    "5454524c0a000e00000000000800000087296b516079a3a62a00000000000000",
    "5454524c0a000f000000000008000000f4206929d9cf75440000000000010000",
    "5454524c0a0014000000000012000000c9e5bfab90322f3d08000000000000000200000002000000abcd",
    "5454524c0a001500000000000c000000ca0146533d7161fe080000000000000008000000",
    "5454524c0a001600000000001300000098fe1cbb6854b64108000000050000000000000003000000010203",
    "5454524c0a001700000000001000000044dd13032be82e8708000000020000000600000007000000",
    "5454524c0a001800000000007b00000032c75a42d7a4c49f080000000a0000000000000002000000abcd010700000002"
      + "0600000002000000050000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f2004010000"
      + "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee0d00000031302e302e302e373a373030"
      + "310300",
    "5454524c09001900000000002400000057707465148cdd35080000000102030405060708090a0b0c0d0e0f1011121314"
      + "15161718191a1b1c1d1e1f20",
    "5454524c09001a00000000002600000017a4bfefe1bc07160102030405060708090a0b0c0d0e0f101112131415161718"
      + "191a1b1c1d1e1f20020000000405",
    "5454524c09001b000000000004000000212823bee4dc02be08000000",
    "5454524c0a001c00000000001600000082a514a7c47f8d2f0d00000031302e302e302e373a373030310800000002",
    "5454524c0a001d00000000000c000000ec526aef49f1494808000000404b4c0000000000",
    "5454524c0a001e000000000004000000212823beb8ca0cac08000000",
    "5454524c0a001f0000000000850000002aadea47ce0c56a0070000000100000002000000020000000700000011000000"
      + "0300000007000000090000c03f0300000005000000ffffffff5b50020003000000000000bf00000080000044c1070000"
      + "c0bf0000a04007000000110000000300000007000000090000c03f0300000005000000ffffffff5b5002000300000000"
      + "0000bf00000080000044c10801",
    "5454524c0a0020000000000033020000b9cdc502932d9e9908000000000000000200000002000000abcd07000000aaaa"
      + "aaaaaaaaaaaa0a00000000000000000000000000f43f0000000000000a4000000000000015400000000000001d400000"
      + "0000008022400b000000000000000000000000802a400000000000802e40000000000040314013000000000000000000"
      + "000000403540170000000000000000000000004039400000000000403b401d000000000000000000000000403f400000"
      + "000000a0404023000000000000000000000000a042400000000000a043400000000000a044400000000000a045400000"
      + "000000a046400000000000a047400000000000a048400000000000a049400000000000a04a400000000000a04b400000"
      + "000000a04c400000000000a04d400000000000a04e400000000000a04f4000000000005050400000000000d050402000"
      + "0000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20000000eeeeeeeeeeeeeeeeeeee"
      + "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee02000000110000007b0304000000713ac3a9280000003c000000"
      + "040000000500000006000000030000000700000029000000270000003a000000ffffffff0c0000000000400000000000"
      + "00000000000000000000000000000000000000000000020000000600000072616e6b2030000000000000100800000000"
      + "00000000000000000000e03f000000000000004002000000c3a900000000000000000000000000000000030000002800"
      + "0000140000000300000000",
    "5454524c0a0021000000000004000000212823beb65a6f5808000000",
    "5454524c0a00280000000000240000006bedad69f61ed337020000000d00000031302e302e302e383a37303030030000"
      + "00623a3100e40b5402000000",
    "5454524c0a00290000000000210000009fc38aac3e9dae4c0500000072756e2d31070000000200000000000000000100"
      + "0000e40b5402000000",
    "5454524c0a002a00000000005e000000f18b06ff6b312d40060000000700000002000000000000000001000001000000"
      + "04000000612fc3a900000000020000000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
      + "0100000008000000000000000200000002000000abcd",
    "5454524c0a002b00000000000c000000db7ec7bf5ff61436020000000000000008000000",
    "5454524c0a002c000000000013000000aadb01176a482fff02000000050000000000000003000000010203",
    "5454524c0a002d0000000000380000003eac6fb11b356f2d000000000001000001000000080000000000000002000000"
      + "02000000abcd0200000006000000070000000200000009080100000002000000",
    "5454524c0a002e000000000008000000f4206929356823b40000000000010000",
  ]
}

@Suite struct RefusalTests {
  @Test func `a peer with another protocol is refused at its fourth byte`() {
    #expect(throws: WireError.notOurProtocol) { try decode(Array("GET ".utf8)) }
    #expect(throws: WireError.encrypted) { try decode([21, 3, 3, 0]) }
    #expect(throws: Never.self) { try decode(Array("GET".utf8)) }
  }

  @Test(arguments: [UInt16(0), 8, 0xFFFF])
  func `another version of the protocol is refused with its number`(_ version: UInt16) {
    #expect(throws: WireError.otherVersion(found: version, spoken: .own)) {
      try decode(frame(version: version, kind: 4))
    }
  }

  @Test func `a length above the limit is refused before its payload arrives`() {
    let length = UInt32(Limits.frameBytes) + 1
    #expect(throws: WireError.tooLarge(bytes: Int(length), limit: Limits.frameBytes)) {
      try decode(frame(kind: 4, length: length))
    }
  }

  @Test func `unknown kinds and flags are refused`() {
    #expect(throws: WireError.unknownKind(5)) { try decode(frame(kind: 5)) }
    #expect(throws: WireError.reservedFlags(1)) { try decode(frame(kind: 4, flags: 1)) }
  }

  @Test func `bytes after the message are refused`() {
    #expect(throws: WireError.malformed(kind: 4, .trailing(count: 1))) { try decode(frame(kind: 4, payload: [0])) }
  }

  /// A count that is too large for the payload is refused before memory is allocated.
  @Test(arguments: [UInt16(12), 13, 31])
  func `counts that are too large for the payload are refused`(_ kind: UInt16) {
    var out = ByteWriter()
    if kind == 12 { out.write(UInt64(1)) }
    if kind == 31 { for _ in 0..<3 { out.write(UInt32(0)) } }
    out.write(UInt32(Limits.trajectoriesPerMessage))
    #expect { try decode(frame(kind: kind, payload: out.bytes)) } throws: { error in
      guard case .malformed(kind, .truncated(let needed, left: 0)) = error as? WireError else { return false }
      return needed >= Limits.trajectoriesPerMessage * 12
    }
  }

  @Test func `counts above their limits are refused with the name of the field`() {
    var out = ByteWriter()
    out.write(UInt32(Limits.trajectoriesPerMessage + 1))
    #expect(throws: WireError.malformed(kind: 13, .tooLong(field: "slots", count: 4097, limit: 4096))) {
      try decode(frame(kind: 13, payload: out.bytes))
    }
  }

  @Test func `values without a meaning are refused with the name of the field`() {
    var hello = Array(Frame.encode(Samples.messages[0]).dropFirst(Frame.headerBytes))
    hello[0] = 4
    #expect(throws: WireError.malformed(kind: 1, .invalid(field: "role", value: 4))) {
      try decode(frame(kind: 1, payload: hello))
    }
    var slot = ByteWriter()
    for word in [UInt32(1), 0x2000_0000, 0, 0] { slot.write(word) }
    #expect(throws: WireError.malformed(kind: 13, .invalid(field: "round", value: 0x2000_0000))) {
      try decode(frame(kind: 13, payload: slot.bytes))
    }
    #expect(throws: WireError.malformed(kind: 3, .notUTF8(field: "reason"))) {
      try decode(frame(kind: 3, payload: [1, 0, 0, 0, 0xFF]))
    }
  }

  @Test func `recorded values that do not fit the tokens are refused with the name of the field`() {
    func payload(_ change: (inout Trajectory) -> Void, flags: UInt8) -> [UInt8] {
      var trajectory = Samples.recorded
      change(&trajectory)
      var bytes = Array(Frame.encode(.trajectories(LeaseID(1), [trajectory])).dropFirst(Frame.headerBytes))
      bytes[12 + 16] = flags
      return bytes
    }
    #expect(throws: WireError.malformed(kind: 12, .invalid(field: "entropies", value: 2))) {
      try decode(frame(kind: 12, payload: payload({ $0.entropies = [1, 2] }, flags: 1 | 2 | 4)))
    }
    #expect(throws: WireError.malformed(kind: 12, .invalid(field: "finish", value: 16))) {
      try decode(frame(kind: 12, payload: payload({ _ in }, flags: 16)))
    }
    // What follows without being announced is left over.
    #expect(throws: WireError.malformed(kind: 12, .trailing(count: 4))) {
      try decode(frame(kind: 12, payload: payload({ _ in }, flags: 1 | 2)))
    }
    var lease = Array(Frame.encode(.lease(Samples.lease)).dropFirst(Frame.headerBytes))
    // After the lease's number, round, version, four numbers, two stop tokens and two stop strings.
    lease[8 + 8 + 16 + 12 + 4 + 6 + 6] = 4
    #expect(throws: WireError.malformed(kind: 11, .invalid(field: "records", value: 4))) {
      try decode(frame(kind: 11, payload: lease))
    }
  }

  /// Protocol 7 ended here: without what a method asks for, nothing is added.
  @Test func `a trajectory without recorded values has 29 bytes and 8 per token`() {
    let bytes = Frame.encode(.trajectories(LeaseID(1), [Samples.trajectory])).count - Frame.headerBytes - 12
    #expect(bytes == 29 + 8 * Samples.trajectory.tokens.count)
  }

  @Test func `figures that no line of metrics jsonl can hold are refused, by field`() {
    let manifest = Array(Frame.encode(.offer(Samples.manifest)).dropFirst(Frame.headerBytes))
    let none = UInt64(1) << (FigureName.allCases.count % 64)
    for (known, value, field) in [
      ([0, none], none, "figures"), ([1, 0], Double.nan.bitPattern, "learning_rate"),
      ([1 << 11, 0], (1 << 53) + 1, "budget_exhausted"),
    ] as [([UInt64], UInt64, String)] {
      var report = ByteWriter()
      report.write(UInt32(0))
      for word in known { report.write(word) }
      report.write(value)
      #expect(throws: WireError.malformed(kind: 32, .invalid(field: field, value: value))) {
        try decode(frame(kind: 32, payload: manifest + report.bytes))
      }
    }
  }

  @Test func `the first frame can have a smaller limit than the frames after it`() throws {
    let long = Frame.encode(.goodbye(reason: String(repeating: "x", count: 5000)))
    var decoder = FrameDecoder(firstFrameBytes: Limits.helloBytes)
    decoder.append(long)
    #expect(throws: WireError.tooLarge(bytes: 5004, limit: Limits.helloBytes)) { try decoder.next() }
    decoder = FrameDecoder(firstFrameBytes: Limits.helloBytes)
    decoder.append(Frame.encode(.finished) + long)
    #expect(try decoder.next() == .finished)
    #expect(try decoder.next() == .goodbye(reason: String(repeating: "x", count: 5000)))
  }

  @Test func `every refusal has its own text`() {
    let one = ProtocolVersions(oldest: 1, newest: 1)
    let errors: [WireError] = [
      .notOurProtocol, .encrypted, .otherVersion(found: 2, spoken: one), .damagedHeader, .tooLarge(bytes: 2, limit: 1),
      .damagedPayload(kind: 1), .unknownKind(9), .malformed(kind: 1, .trailing(count: 1)), .reservedFlags(1),
      .noCommonVersion(peer: one, spoken: .own),
    ]
    #expect(Set(errors.map { "\($0)" }).count == errors.count)
    #expect("\(errors[2])".contains("version 2") && "\(errors[2])".contains("version 1"))
  }
}

/// The decoder is total: any bytes give a message or a named error.
@Suite struct TotalDecoderTests {
  @Test(arguments: Samples.messages + Samples.edges)
  func `an incomplete frame is waited for, and an incomplete payload is refused`(_ message: Message) throws {
    let whole = Frame.encode(message)
    for length in 0..<whole.count { #expect(try decode(Array(whole[..<length])).isEmpty, "\(length) bytes") }
    let kind = UInt16(whole[6]) | UInt16(whole[7]) << 8
    for length in 0..<(whole.count - Frame.headerBytes) {
      let cut = frame(kind: kind, payload: Array(whole[Frame.headerBytes..<Frame.headerBytes + length]))
      #expect(throws: WireError.self, "\(length) of \(whole.count - Frame.headerBytes) payload bytes") {
        try decode(cut)
      }
    }
  }

  @Test(arguments: Samples.messages)
  func `one flipped bit anywhere is noticed`(_ message: Message) {
    let whole = Frame.encode(message)
    for bit in 0..<whole.count * 8 {
      var damaged = whole
      damaged[bit / 8] ^= 1 << UInt8(bit % 8)
      // A damaged length cannot make the decoder wait for more bytes, because the header has a checksum.
      #expect(throws: WireError.self, "bit \(bit)") { try decode(damaged) }
    }
  }

  @Test(arguments: 0..<40)
  func `payloads with changed bytes give a message or a named error`(_ seed: UInt64) {
    var dice = RandomSequence(seed: seed, purpose: .questions)
    for message in Samples.messages + Samples.edges {
      let whole = Frame.encode(message)
      let kind = UInt16(whole[6]) | UInt16(whole[7]) << 8
      for _ in 0..<25 {
        var payload = Array(whole[Frame.headerBytes...])
        for _ in 0..<(1 + dice.index(below: 4)) where !payload.isEmpty {
          let place = dice.index(below: payload.count)
          // Extreme values are the most likely to break a check of a count.
          payload[place] = [0, 1, 0x7F, 0x80, 0xFF, UInt8(dice.index(below: 256))][dice.index(below: 6)]
        }
        do {
          // A decoded message must encode to the same payload.
          let messages = try decode(frame(kind: kind, payload: payload))
          #expect(messages.map { Array(Frame.encode($0).dropFirst(Frame.headerBytes)) } == [payload], "seed \(seed)")
        } catch {
          #expect(error is WireError, "seed \(seed)")
        }
      }
    }
  }

  @Test(arguments: 0..<20)
  func `random bytes give a message, a named error or nothing`(_ seed: UInt64) {
    var dice = RandomSequence(seed: seed, purpose: .bootstrap)
    for _ in 0..<200 {
      let noise = (0..<dice.index(below: 80)).map { _ in UInt8(dice.index(below: 256)) }
      for kind in UInt16(0)..<40 {
        do { _ = try decode(frame(kind: kind, payload: noise)) } catch { #expect(error is WireError) }
      }
    }
  }
}
