// FuzzCommand: `ttrl-dev fuzz DECODER`: libFuzzer with one of our decoders; all further arguments are libFuzzer's.
//
// An ordinary build has no fuzzer in it and says so; `scripts/fuzz` makes one that has, with AddressSanitizer. What is
// fuzzed, and what must hold, is in Fuzzing.

import Fuzzing
import Glibc
import Platform

enum FuzzCommand {
  static let usage = "fuzz DECODER [libFuzzer's arguments]: \(Decoder.allCases.map(\.rawValue).joined(separator: " "))"

  /// libFuzzer's callback carries no context, so the choice lies here; set once, before it begins.
  private nonisolated(unsafe) static var decoder = Decoder.json

  private typealias Callback = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
  private typealias Driver =
    @convention(c) (
      UnsafeMutablePointer<Int32>, UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>, Callback
    ) -> Int32

  /// - Returns: the exit status: 0 nothing was found, 2 usage; libFuzzer ends the process itself when it finds
  ///   something.
  static func run(_ arguments: [String]) -> Int32 {
    guard let name = arguments.first, let chosen = Decoder(rawValue: name) else {
      SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    guard let symbol = dlsym(nil, "LLVMFuzzerRunDriver") else {
      SimulateCommand.print("ttrl-dev fuzz: this build has no fuzzer in it; use scripts/fuzz\n", to: STDERR_FILENO)
      return 2
    }
    decoder = chosen
    let driver = unsafeBitCast(symbol, to: Driver.self)
    var count = Int32(arguments.count)
    let words = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count + 1)
    // Its first argument is the program's name, with which it also starts itself again (to merge corpora), by a shell.
    let own = (try? ThisProcess.executablePath()) ?? "ttrl-dev"
    for (index, argument) in arguments.enumerated() {
      words[index] = strdup(index == 0 ? "\(own) fuzz \(name)" : argument)
    }
    words[arguments.count] = nil
    var list: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = words
    return driver(&count, &list) { bytes, size in
      FuzzCommand.decoder.feed(Array(UnsafeBufferPointer(start: bytes, count: size)))
      return 0
    }
  }
}
