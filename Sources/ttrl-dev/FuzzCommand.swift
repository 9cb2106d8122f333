// FuzzCommand: `ttrl-dev fuzz DECODER`: libFuzzer with one of ttrl's decoders. All further arguments go to libFuzzer.
//
// A normal build does not contain the fuzzer and says so; `scripts/fuzz` makes one that does, with AddressSanitizer.
// What is fuzzed, and what must be true, is in Fuzzing.

import Fuzzing
import Glibc
import Platform

enum FuzzCommand {
  static let usage = "fuzz DECODER [libFuzzer's arguments]: \(Decoder.allCases.map(\.rawValue).joined(separator: " "))"

  /// The choice of the decoder. It is global because libFuzzer's callback has no context; it is set once, before the
  /// fuzzer begins.
  private nonisolated(unsafe) static var decoder = Decoder.json

  private typealias Callback = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
  private typealias Driver =
    @convention(c) (
      UnsafeMutablePointer<Int32>, UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>, Callback
    ) -> Int32

  /// - Returns: the exit status: 0 if nothing was found, 2 for wrong usage. If libFuzzer finds something, it ends the
  ///   process.
  static func run(_ arguments: [String]) -> Int32 {
    guard let name = arguments.first, let chosen = Decoder(rawValue: name) else {
      SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
      return 2
    }
    guard let symbol = dlsym(nil, "LLVMFuzzerRunDriver") else {
      SimulateCommand.print(
        "ttrl-dev fuzz: this build does not contain the fuzzer; use scripts/fuzz\n", to: STDERR_FILENO)
      return 2
    }
    decoder = chosen
    let driver = unsafeBitCast(symbol, to: Driver.self)
    var count = Int32(arguments.count)
    let words = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count + 1)
    // The first argument is the program's name. To merge corpora, libFuzzer starts it again through a shell.
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
