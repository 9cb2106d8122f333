// What MPI refused is said in full. (What several ranks compute needs mpirun: EndToEndTests.)

import Collectives
import Testing

@Suite struct CollectivesErrorTests {
  @Test func `an error names the rank, the work, MPI's own words and the next step`() {
    let error = CollectivesError.failed(operation: "sum integers", rank: 3, text: "MPI_ERR_COMM: invalid communicator")
    #expect(
      "\(error)" == "learner rank 3: MPI cannot sum integers: MPI_ERR_COMM: invalid communicator. The ranks must be "
        + "started again together; the run resumes from its last checkpoint")
  }
}
