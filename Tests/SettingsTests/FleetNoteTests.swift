// fleet.json: one codec writes and reads it, and a reader believes a note only while it is fresh.

import Base
import Runs
import Testing

@Suite struct FleetNoteTests {
  private let note = FleetNote(
    time: 1000,
    members: [
      FleetNote.Member(
        name: "ada", isWorker: true, connected: 60, silence: 0.5, tokens: 12, leases: 2, slots: 5,
        holding: "step 1, prompt #3", stillness: 7),
      FleetNote.Member(
        name: "learner", isWorker: false, connected: 61, silence: 1, tokens: 0, leases: 0, slots: 0, holding: nil,
        stillness: 0),
    ],
    waits: [
      FleetNote.Wait(
        waiter: "step 1", awaited: "worker ada", what: "5 slots", seconds: 3, deadlineSeconds: 4),
      FleetNote.Wait(waiter: "learner", awaited: "step 1", what: "its batch", seconds: 9, deadlineSeconds: nil),
    ])

  @Test func `what is written is read`() throws {
    #expect(FleetNote(note.json) == note)
    #expect(FleetNote(try JSON.parse(note.json.bytes())) == note)
  }

  @Test func `a member or a wait that lacks something is left out, and a note without a time is none`() {
    let json: JSON = ["time": 1, "members": [["name": "ada"]], "waits": [["waiter": "learner"], 7]]
    #expect(FleetNote(json) == FleetNote(time: 1, members: [], waits: []))
    #expect(FleetNote(["members": []]) == nil)
  }

  @Test func `a note that is read later is as old as it is`() {
    let later = note.aged(by: 5)
    #expect(later.members.map(\.silence) == [5.5, 6] && later.members.map(\.stillness) == [12, 0])
    #expect(later.waits.map(\.seconds) == [8, 14] && later.waits.map(\.deadlineSeconds) == [0, nil])
  }
}
