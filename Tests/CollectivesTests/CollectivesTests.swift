// A world of one changes nothing. (Several ranks need mpirun: EndToEndTests.)

import Collectives
import Testing

@Suite struct LocalCollectivesTests {
  let world: any Collectives = LocalCollectives()

  @Test func `a world of one is rank 0 of 1`() { #expect(world.rank == 0 && world.size == 1) }

  @Test func `a sum over one rank is the value itself`() throws {
    var integers: [Int64] = [.min, -1, 0, .max]
    var floats: [Float] = [-0.0, .infinity, .leastNonzeroMagnitude]
    let before = (integers, floats.map(\.bitPattern))
    try integers.withUnsafeMutableBufferPointer { try world.sum($0) }
    try integers.withUnsafeMutableBufferPointer { try world.beginReduceScatter($0, slices: [0..<4]) }
    try floats.withUnsafeMutableBufferPointer { try world.beginReduceScatter($0, slices: [0..<3]) }
    try world.finishBuckets()
    try floats.withUnsafeMutableBytes { try world.beginAllGather($0, slices: [0..<12]) }
    #expect(integers == before.0 && floats.map(\.bitPattern) == before.1)
    #expect(try world.sum([0.1, -2]) == [0.1, -2])
    #expect(try world.max([0.1, -2]) == [0.1, -2])
  }

  @Test func `nobody waits for anybody`() throws {
    try world.sendToAll([1, 2, 3])
    try world.barrier()
  }

  @Test func `an error names the rank, the work, MPI's own words and the next step`() {
    let error = CollectivesError.failed(operation: "sum integers", rank: 3, text: "MPI_ERR_COMM: invalid communicator")
    #expect(
      "\(error)" == "learner rank 3: MPI cannot sum integers: MPI_ERR_COMM: invalid communicator. The ranks must be "
        + "started again together; the run resumes from its last checkpoint")
  }
}
