// FuzzCommand: `ttrl-dev fuzz DECODER`: libFuzzer with one of our decoders. All further arguments are libFuzzer's.
//
// An ordinary build does not contain the fuzzer; `scripts/fuzz` makes a build that does, with AddressSanitizer. What is
// fuzzed, and what must be true, is in Fuzzing.

import Commands
import Fuzzing
import Glibc
import Platform

enum FuzzCommand {
  static let usage = "fuzz DECODER [libFuzzer's arguments]: \(Decoder.allCases.map(\.rawValue).joined(separator: " "))"

  /// libFuzzer's callback has no context, so the choice is a global variable. It is set once, before fuzzing begins.
  private nonisolated(unsafe) static var decoder = Decoder.json

  private typealias Callback = @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
  private typealias Driver =
    @convention(c) (
      UnsafeMutablePointer<Int32>, UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>, Callback
    ) -> Int32

  /// - Returns: the exit status: 0 if nothing was found, 2 for wrong usage. libFuzzer ends the process itself if it
  ///   finds something.
  static func run(_ arguments: [String]) -> Int32 {
    guard let name = arguments.first, let chosen = Decoder(rawValue: name) else {
      Command.complain("usage: ttrl-dev \(usage)")
      return ExitStatus.usage
    }
    guard let symbol = dlsym(nil, "LLVMFuzzerRunDriver") else {
      Command.complain("ttrl-dev fuzz: this build has no fuzzer; use scripts/fuzz")
      return ExitStatus.usage
    }
    decoder = chosen
    let driver = unsafeBitCast(symbol, to: Driver.self)
    var count = Int32(arguments.count)
    let words = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: arguments.count + 1)
    // The first argument is the program's name. libFuzzer also uses it in a shell to start itself again, when it merges
    // corpora.
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
