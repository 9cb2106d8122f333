// Transcript: what happened, always as a hash, and as text if it is requested.
//
// Two runs of one seed must agree on every event. Comparing one number shows whether they do. Making the text takes
// longer than the simulation itself, so it is made only for a seed that a person wants to read.

import Base
package import Records

struct Transcript {
  private(set) var fingerprint = Fingerprint()
  private(set) var lines: [String] = []
  private let isRecording: Bool

  init(isRecording: Bool) { self.isRecording = isRecording }

  /// Records one event.
  /// - Parameter code: a number that distinguishes this event from others at the same place and time.
  mutating func note(_ clock: Instant, _ who: String, _ code: UInt64, _ text: @autoclosure () -> String) {
    fingerprint.mix(clock.nanoseconds)
    fingerprint.mix(code)
    guard isRecording else { return }
    let microseconds = clock.nanoseconds / 1000
    let time = "\(microseconds / 1_000_000).\(String(microseconds % 1_000_000 + 1_000_000).dropFirst())"
    lines.append("\(String(repeating: " ", count: max(0, 11 - time.count)))\(time)  \(who)  \(text())")
  }
}

/// A short description of a message.
package func summary(of message: Message) -> String {
  switch message {
  case .hello(let hello): "hello from \(hello.name)"
  case .welcome(let welcome): "welcome, latest policy \(welcome.latestPolicy)"
  case .goodbye(let reason): "goodbye: \(reason)"
  case .finished: "finished"
  case .want(let slots): "want \(slots)"
  case .lease(let lease):
    "lease \(lease.id): \(lease.round), "
      + lease.prompts.map { "prompt \($0.prompt) samples \(ranges($0.samples))" }.joined(separator: "; ")
  case .trajectories(let id, let list):
    "trajectories of lease \(id): \(names(list.map(\.slot)))"
  case .requestBundle(let version, let holding): "request a bundle of policy \(version), holding \(holding)"
  case .bundle(let bundle, let relay, let depth):
    "bundle of policy \(bundle.policy.version) on \(bundle.base.map { "\($0)" } ?? "nothing"): "
      + "\(bundle.chunks.count) chunks from \(relay.isEmpty ? "here" : relay), depth \(depth)"
  case .requestChunk(let version, let digest): "request chunk \(digest) of policy \(version)"
  case .chunk(let digest, let bytes): "chunk \(digest), \(bytes.count) bytes"
  case .missing(let version): "policy \(version) is not here"
  case .fault(let relay, let version, let fault): "left relay \(relay) for policy \(version): \(fault)"
  case .installed(let version, let span): "installed policy \(version) in \(span.milliseconds) ms"
  case .settled(let slots): "settled \(names(slots))"
  case .revoke(let id): "revoke lease \(id)"
  case .heartbeat(let tokens): "heartbeat, \(tokens) tokens"
  case .offer(let manifest): "offer policy \(manifest.version)"
  case .requestBytes(let version, let offset): "request bytes of policy \(version) from \(offset)"
  case .policyBytes(let version, let offset, let bytes):
    "\(bytes.count) bytes of policy \(version) from \(offset)"
  case .ready(let version): "ready at policy \(version)"
  case .batch(let step, let part, let count, let list):
    "batch of step \(step), part \(part + 1) of \(count), \(list.count) trajectories"
  case .publish(let manifest, _, let isAtHand): "publish policy \(manifest.version)\(isAtHand ? " in a file" : "")"
  case .published(let version): "published policy \(version)"
  case .standbys(let addresses, let silence):
    "standbys are at \(addresses), after \(silence.milliseconds) ms of silence"
  case .follow(let request): "follow after commit \(request.position.number) of term \(request.position.term)"
  case .snapshot(let snapshot): "snapshot at commit \(snapshot.position.number), \(snapshot.files.count) files"
  case .requestFile(let index, let offset): "request file \(index) from \(offset)"
  case .fileBytes(let index, let offset, let bytes): "\(bytes.count) bytes of file \(index) from \(offset)"
  case .commit(let commit, let part, let count): "commit \(commit.number), part \(part + 1) of \(count)"
  case .committed(let number): "has commit \(number)"
  }
}

/// Slots as short names: "t0/3.7" is training step 0, prompt 3, sample 7. "e" and "h" are evaluations on training and
/// held-out prompts.
package func names(_ slots: [Slot]) -> String { slots.map(short).joined(separator: " ") }

private func short(_ slot: Slot) -> String {
  let letter = slot.round.purpose == .train ? "t" : slot.round.set == .training ? "e" : "h"
  return "\(letter)\(slot.round.step)/\(slot.prompt).\(slot.sample)"
}

/// Ascending numbers as "0–3,7".
private func ranges(_ numbers: [UInt32]) -> String {
  var parts: [ClosedRange<UInt32>] = []
  for number in numbers {
    if let last = parts.last, last.upperBound + 1 == number {
      parts[parts.count - 1] = last.lowerBound...number
    } else {
      parts.append(number...number)
    }
  }
  return parts.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)–\($0.upperBound)" }.joined(separator: ",")
}
