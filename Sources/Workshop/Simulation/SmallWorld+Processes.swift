// SmallWorld+Processes: what the processes of a small world do: they receive messages, perform effects, and work.

import Base
import Fleet
import Records

extension SmallWorld {
  // MARK: Messages

  mutating func arriveAtServer(_ number: Int) {
    guard let link = links[number], let item = link.toServer.first else { return }
    _ = links.update(number) { $0.toServer.removeFirst() }
    switch item {
    case .opened: feed(.connected(link.peer))
    case .message(let message): feed(.received(message, from: link.peer))
    case .closed:
      _ = links.update(number) { $0.isServerOpen = false }
      forgetDeadLinks()
      feed(.disconnected(link.peer))
    }
  }

  mutating func arriveAtClient(_ number: Int) {
    guard let link = links[number], let item = link.toClient.first else { return }
    _ = links.update(number) { $0.toClient.removeFirst() }
    switch item {
    case .opened: feed(link.client, .connected, .connected)
    case .message(let message): feed(link.client, .received(message), .received(message))
    case .closed:
      _ = links.update(number) { $0.isClientOpen = false }
      forgetDeadLinks()
      feed(link.client, .disconnected, .disconnected)
    }
  }

  private mutating func sendToClient(_ message: Message, to peer: PeerID) {
    _ = links.update(Int(peer.number)) { if $0.isServerOpen, $0.isClientOpen { $0.toClient.append(.message(message)) } }
  }

  private func link(of process: ProcessNumber) -> Int? {
    links.first { $0.1.client == process && $0.1.isClientOpen }?.0
  }

  private mutating func sendToServer(_ message: Message, from process: ProcessNumber) {
    guard let number = link(of: process) else { return }
    _ = links.update(number) { if $0.isServerOpen { $0.toServer.append(.message(message)) } }
  }

  // MARK: The coordinator

  mutating func feed(_ event: CoordinatorEvent) {
    guard case .running(var machine) = coordinator else { return }
    var effects = machine.receive(event, now: Self.now)
    coordinator = .running(machine)
    if bug == .acknowledgeBeforeStore { effects = effects.filter { !$0.isStore } + effects.filter(\.isStore) }
    for effect in effects {
      guard survives(0) else { return }
      perform(effect)
      effectCount += 1
    }
  }

  private mutating func perform(_ effect: CoordinatorEffect) {
    switch effect {
    case .send(.settled(let slots), let peer):
      for slot in slots where !stored.contains(slot) { violate("\(slot) was acknowledged and is not durable") }
      sendToClient(.settled(slots), to: peer)
    case .send(let message, let peer): sendToClient(message, to: peer)
    case .dismiss(let peer, let reason):
      sendToClient(.goodbye(reason: "\(reason)"), to: peer)
      close(peer)
    case .cutOff(let peer, _): close(peer)
    case .store(let trajectories, worker: _, lease: _):
      for trajectory in trajectories {
        if stored.contains(trajectory.slot) { violate("\(trajectory.slot) was stored twice") }
        stored[trajectory.slot] = trajectory
      }
    case .closeRound(let round): if bug != .dropCloseRound, !closed.contains(round) { closed.append(round) }
    case .sealPolicy(let manifest, _, let peer): tasks.append(.seal(manifest, from: peer))
    case .bundle(.make(let policy, let base)): tasks.append(.pack(policy, base: base))
    case .bundle(.sendChunk(let digest, let peer)): sendToClient(.chunk(digest, Self.weights(digest)), to: peer)
    case .sendBatch(let round, let peer):
      if !closed.contains(round) { violate("the batch of \(round) is sent before it is durable that it is complete") }
      let batch = stored.values.filter { $0.slot.round == round }
      sendToClient(.batch(step: round.step, part: 0, partCount: 1, batch), to: peer)
    case .finish: isComplete = true
    case .fail(let fault): violate("the coordinator gave up: \(fault)")
    // No process of this world leaves versions in files.
    case .adoptPolicy(let manifest, _, _): violate("policy \(manifest.version) is looked for")
    case .follower, .followerLeft, .tell, .abdicate: violate("there is no standby here")
    case .storeUnneeded, .judge, .storeVerdicts, .addRounds, .abandonRounds, .writePolicy, .dropPolicy, .bundle, .note:
      break
    }
  }

  private mutating func close(_ peer: PeerID) {
    _ = links.update(Int(peer.number)) {
      $0.isServerOpen = false
      $0.toServer = []
      $0.toClient.append(.closed)
    }
    forgetDeadLinks()
  }

  mutating func workAtServer() {
    guard !tasks.isEmpty, survives(0) else { return }
    switch tasks.removeFirst() {
    case .seal(let manifest, let peer):
      published.append(manifest)
      effectCount += 1
      guard survives(0) else { return }
      feed(.sealed(manifest, isIntact: true, from: peer))
    case .pack(let policy, let base): feed(.bundled(Self.bundle(policy, base: base)))
    }
  }

  // MARK: Clients

  private mutating func feed(_ process: ProcessNumber, _ worker: WorkerEvent, _ learner: LearnerEvent) {
    guard case .running(var client) = clients[process - 1] else { return }
    switch client.machine {
    case .worker(var machine):
      let effects = machine.receive(worker, now: Self.now)
      client.machine = .worker(machine)
      setClient(process, .running(client))
      for effect in effects {
        guard survives(process) else { return }
        perform(effect, process)
        effectCount += 1
      }
    case .learner(var machine):
      let effects = machine.receive(learner, now: Self.now)
      client.machine = .learner(machine)
      setClient(process, .running(client))
      for effect in effects {
        guard survives(process) else { return }
        perform(effect, process)
        effectCount += 1
      }
    }
  }

  private mutating func perform(_ effect: WorkerEffect, _ process: ProcessNumber) {
    switch effect {
    case .connect: updateClient(process) { $0.wantsConnection = true }
    case .send(let message): sendToServer(message, from: process)
    case .disconnect: hangUp(process)
    case .sample(let lease):
      let slots = lease.prompts.flatMap { prompt in
        prompt.samples.map { Slot(round: lease.round, prompt: prompt.prompt, sample: $0) }
      }
      updateClient(process) { $0.jobs.append((lease, slots)) }
    case .cancel(let id): updateClient(process) { $0.jobs.removeAll { $0.lease.id == id } }
    case .transfer(.install(let bundle)): updateClient(process) { $0.installing = bundle }
    case .transfer: break
    case .dropPolicy(let version): updateClient(process) { $0.policies.removeAll { $0 == version } }
    case .exit(let departure): exit(process, departure)
    }
  }

  private mutating func perform(_ effect: LearnerEffect, _ process: ProcessNumber) {
    switch effect {
    case .connect: updateClient(process) { $0.wantsConnection = true }
    case .send(let message): sendToServer(message, from: process)
    case .disconnect: hangUp(process)
    case .train(let step, let batch):
      guard let spec = size.plan.first(where: { $0.id == .train(step: step) }) else { return }
      let expected = (0..<spec.samples).map {
        Self.trajectory(Slot(round: spec.id, prompt: 0, sample: $0), spec.policy)
      }
      if batch != expected { violate("step \(step) gets a batch of \(batch.count), not the one it should") }
      updateClient(process) { $0.training = step }
    case .sendPolicy(let version, _):
      sendToServer(.policyBytes(version, offset: 0, bytes: [0, 0, 0, UInt8(version.number)]), from: process)
    case .exit(let departure): exit(process, departure)
    }
  }

  private mutating func hangUp(_ process: ProcessNumber) {
    if let number = link(of: process) {
      _ = links.update(number) {
        $0.isClientOpen = false
        $0.toClient = []
        $0.toServer.append(.closed)
      }
      forgetDeadLinks()
    }
    feed(process, .disconnected, .disconnected)
  }

  private mutating func exit(_ process: ProcessNumber, _ departure: Departure) {
    if !departure.isSuccess { violate("process \(process) had to leave: \(departure)") }
    end(process, .dead, departure.isSuccess ? .left : .dead)
  }

  mutating func work(_ process: ProcessNumber) {
    guard let client = clients[process - 1].process, survives(process) else { return }
    if let step = client.training {
      updateClient(process) { $0.training = nil }
      checkpoint = step + 1
      effectCount += 1
      guard survives(process) else { return }
      feed(process, .tick(tokens: 0), .trained(Self.manifest(step + 1), report: StepReport(step: step)))
    } else if let bundle = client.installing {
      updateClient(process) {
        $0.installing = nil
        $0.policies.append(bundle.policy.version)
      }
      feed(process, .transfer(.installed(bundle, isIntact: true)), .tick)
    } else if let job = client.jobs.first {
      sample(job.lease, process)
    }
  }

  /// Samples one slot.
  private mutating func sample(_ lease: Lease, _ process: ProcessNumber) {
    var sampled: Slot?
    updateClient(process) { client in
      if !client.policies.contains(lease.policy) { return }
      sampled = client.jobs[0].slots.removeFirst()
      if client.jobs[0].slots.isEmpty { client.jobs.removeFirst() }
    }
    guard let sampled else { return violate("process \(process) samples from policy \(lease.policy), which it lacks") }
    feed(process, .sampled([SampledTrajectory(Self.trajectory(sampled, lease.policy), of: lease.id)]), .tick)
  }
}

extension CoordinatorEffect {
  fileprivate var isStore: Bool {
    if case .store = self { true } else { false }
  }
}
