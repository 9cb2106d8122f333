// WorkerShell: a rollout worker as a process.
//
// Bytes → messages → the machine (Fleet.Worker) → effects → bytes, on one loop. Sampling runs on other threads. The
// machine makes all decisions about leases. A worker needs an address and a key: model, settings and weights come from
// the coordinator. A worker writes only the base of adapters to a disk: to the user's cache.

import Base
import Fleet
import LanguageModel
package import Platform
import Records
import Runs
import Synchronization
import Tensors
import Transport

/// How to start a worker.
package struct WorkerOptions: Sendable {
  /// The coordinator's address, and those of standbys that can have taken over.
  package var coordinators: [HostPort]
  /// nil means plain TCP.
  package var keys: ClusterKeys?
  package var name: String
  package var threads: Int
  /// Sequences that one thread samples at a time.
  package var batchRows: Int
  /// The most bytes of keys and values that one thread can hold.
  package var keyValueBytesMax: Int
  /// The address where other workers can fetch chunks of weights from this one. An empty host means the local address
  /// of the connection to the coordinator. nil means that this worker is not a relay.
  package var relay: HostPort?

  package init(
    coordinators: [HostPort], keys: ClusterKeys?, name: String, threads: Int, batchRows: Int = Generator.batchRowsMax,
    keyValueBytesMax: Int = .max, relay: HostPort? = HostPort(host: "", port: 0)
  ) {
    self.coordinators = coordinators
    self.keys = keys
    self.name = name
    self.threads = threads
    self.batchRows = batchRows
    self.keyValueBytesMax = keyValueBytesMax
    self.relay = relay
  }
}

package final class WorkerShell {
  private let loop: EventLoop
  private let uplink: Uplink
  private let options: WorkerOptions
  private var keys: ClusterKeys?
  /// nil is plain TCP.
  private let context: TLSContext?
  private var machine: Worker
  private var status: Int32?
  private var failure: (any Error)?

  // Set after the welcome.
  private var pool: SamplerPool?
  private var models: [PolicyVersion: PreparedModel] = [:]
  /// The memory of the version that was dropped last, for the next version.
  private let spare = Handed<SpareMemory>()
  /// What adapters adapt, for the thread that installs one.
  private let base = Handed<PreparedModel>()
  /// Held while this process fetches the base for all processes of its machine.
  private let turnToFetch = Handed<FileLock>()
  private let transfer: BundleTransfer<PreparedModel>
  /// Sampled trajectories that the machine has not received yet. They are gathered so that the ledger commits many at a
  /// time.
  private var gathered: [SampledTrajectory] = []

  /// - Throws: if the process has no descriptor left, or OpenSSL lacks TLS 1.3.
  package init(_ options: WorkerOptions) throws(PlatformError) {
    self.options = options
    keys = options.keys
    loop = try EventLoop()
    context = if let keys { try TLSContext(keys.ring) } else { nil }
    uplink = Uplink(to: options.coordinators[0], context: context, loop: loop)
    transfer = try BundleTransfer(context, loop: loop)
    let hello = Hello(
      role: .worker, name: options.name, arithmetic: Arithmetic.description, processID: ThisProcess.id,
      threads: UInt16(options.threads))
    machine = Worker(
      hello: hello, coordinators: options.coordinators.map { "\($0)" },
      capacity: options.threads * options.batchRows * 3 / 2
    ) {
      ChunkDigest(SHA256.digest(of: $0))
    }
  }

  /// Runs until the run is finished, or the worker is drained or refused.
  ///
  /// - Returns: the exit status.
  /// - Throws: if the process has no descriptor left, the coordinator refuses it, or it cannot sample.
  package func run() throws -> Int32 {
    try loop.onSignals([Signal.terminate, Signal.interrupt]) { _ in self.handle(.drain) }
    transfer.onEvent = { self.handle(.transfer($0)) }
    transfer.onPrepared = { [base] version, model in
      if version == .base { base.put(model) } else { self.models[version] = model }
    }
    transfer.onInstalled = { self.handle(.installed($0, in: $1)) }
    transfer.onFailure = { self.fail($0) }
    uplink.onConnect = {
      if let relay = self.options.relay { self.transfer.listen(on: relay, reachedFrom: self.uplink.localHost) }
      self.handle(.connected)
    }
    uplink.onMessage = { self.receive($0) }
    uplink.onDisconnect = { reason in
      Log.info("worker.disconnected", ["coordinator": self.uplink.coordinator, "reason": reason])
      self.handle(.disconnected)
    }
    uplink.onRefused = { self.fail($0) }
    uplink.connect(after: .zero)
    tick()
    while status == nil, failure == nil { loop.run() }
    uplink.finish()
    transfer.close()
    // The last messages, for example a goodbye, still have to be sent.
    loop.run(until: MonotonicClock.now() + .milliseconds(200))
    if let failure { throw failure }
    return status ?? 1
  }

  private func tick() {
    if keys?.renew(context, role: "worker") == true {
      uplink.renewKey()
      transfer.renewKeys()
    }
    handle(.tick(tokens: pool?.tokens ?? 0))
    loop.schedule(at: MonotonicClock.now() + .milliseconds(500)) { self.tick() }
  }

  /// The welcome has what the shell needs for sampling. The machine handles everything else.
  private func receive(_ message: Message) {
    if case .welcome(let welcome) = message, pool == nil {
      do {
        try prepare(welcome)
      } catch {
        return fail(error)
      }
    }
    if case .welcome(let welcome) = message {
      transfer.file = uplink.isLocal ? { "\(welcome.policies)/\($0.fileName)" } : nil
    }
    if case .settled(let slots) = message, Log.writes(.debug) { logReceipt(slots) }
    handle(.received(message))
  }

  /// Logs the slots that the coordinator has promised to keep. `ttrl-dev chaos` checks them.
  private func logReceipt(_ slots: [Slot]) {
    let names = slots.map { "\($0.round.code):\($0.prompt):\($0.sample)" }
    Log.debug("worker.settled", ["slots": names.joined(separator: ",")])
  }

  private func prepare(_ welcome: Welcome) throws {
    guard let (type, products) = DataType.parsed(welcome.dtype) else {
      throw WorkerError.unknownDataType(welcome.dtype)
    }
    let model = try CheckpointConfiguration(config: Array(welcome.modelConfiguration.utf8)).model
    let adapter = try welcome.base.map { try Self.adapter(of: $0, for: model) }
    let plan = TransformerPlan(model, type: type, products: products, adapter: adapter)
    // Usually all sampling threads wait for the version. Another thread computes its digest meanwhile; with all cores
    // busy, the threads that pack would wait for each other after every piece.
    let threads = max(1, options.threads - 1)
    transfer.prepare = { [spare, base, turnToFetch] version, bytes in
      let layout = version == .base ? plan.layout.flat : plan.trained
      guard let parameters = ParameterSource(published: bytes, layout: layout, type: plan.type) else { return nil }
      if version == .base {
        defer { _ = turnToFetch.take() }
        return try welcome.base.map { try BaseModel.shared($0.manifest, plan, threads: threads) { parameters } }
      }
      guard adapter != nil else {
        return PreparedModel(plan: plan, parameters: parameters, team: Team(threads), spare: spare.take())
      }
      return base.value.map {
        PreparedModel(adapting: $0, parameters: parameters, team: Team(threads), spare: spare.take())
      }
    }
    transfer.baseDirectory = { try BuiltIn.cacheDirectory() }
    if let base = welcome.base {
      let directory = uplink.isLocal ? base.directory : nil
      transfer.findBase = { [turnToFetch] in
        // After a connection is lost, the base is looked for again.
        _ = turnToFetch.take()
        let found = try BaseModel.onThisMachineOrTurn(base.manifest, plan, threads: threads, directory: directory)
        switch found {
        case .model(let model): return model
        case .turn(let lock):
          if let lock { turnToFetch.put(lock) }
          return nil
        }
      }
    }
    let inbox: Inbox<SamplerReport> = try loop.inbox { self.gather($0) }
    pool = try SamplerPool(
      threads: options.threads, batchRows: options.batchRows, keyValueBytesMax: options.keyValueBytesMax,
      seed: welcome.seed, tokenTexts: welcome.tokenTexts,
      reports: inbox)
  }

  private static func adapter(of base: AdaptedBase, for model: ModelConfiguration) throws -> AdapterLayout {
    let layout = ParameterLayout(model)
    return try AdapterLayout(AdapterFile(Array(base.adapter.utf8), of: layout).adapter, of: layout)
  }

  // MARK: Machine

  private func handle(_ event: WorkerEvent) {
    guard status == nil, failure == nil else { return }
    for effect in machine.receive(event, now: MonotonicClock.now()) { perform(effect) }
  }

  private func perform(_ effect: WorkerEffect) {
    switch effect {
    case .connect(let next): uplink.connect(to: next.address, after: next.pause, within: next.deadline)
    case .send(let message): uplink.send(message)
    case .disconnect: uplink.disconnect("the coordinator is silent, has a lower term, or broke the protocol")
    case .sample(let lease):
      if let model = models[lease.policy] { pool?.enqueue(lease, with: model) }
    case .cancel(let lease): pool?.cancel(lease)
    case .transfer(let effect): transfer.perform(effect)
    case .dropPolicy(let version):
      if let model = models.removeValue(forKey: version) { spare.put(model.spare) }
    case .exit(let departure):
      guard departure.isSuccess else { return fail(WorkerError.cannotGoOn(departure)) }
      Log.info("worker.done", ["name": options.name, "reason": departure])
      status = 0
      loop.stop()
    }
  }

  private func fail(_ error: any Error) {
    guard status == nil, failure == nil else { return }
    Log.error("worker.failed", ["name": options.name, "reason": "\(error)"])
    failure = error
    loop.stop()
  }

  // MARK: Trajectories

  private func gather(_ report: SamplerReport) {
    switch report {
    case .failed(let error): fail(error)
    case .sampled(let trajectories):
      if gathered.isEmpty { loop.schedule(at: MonotonicClock.now() + .milliseconds(20)) { self.deliver() } }
      gathered += trajectories
    }
  }

  private func deliver() {
    let ready = gathered
    gathered = []
    handle(.sampled(ready))
  }
}

/// Hands a value from the loop to the thread that installs a version.
private final class Handed<Value: Sendable>: Sendable {
  private let held = Mutex<Value?>(nil)

  var value: Value? { held.withLock { $0 } }

  func put(_ value: Value) { held.withLock { $0 = value } }

  func take() -> Value? {
    held.withLock { held in
      defer { held = nil }
      return held
    }
  }
}

/// The reason why a worker cannot sample for a run.
private enum WorkerError: Error, CustomStringConvertible {
  case unknownDataType(String)
  case cannotGoOn(Departure)

  var description: String {
    switch self {
    case .unknownDataType(let name):
      "the run's data type is \"\(name)\", which this release does not compute; all processes of a run need the same "
        + "release"
    case .cannotGoOn(let departure): "\(departure)"
    }
  }
}
