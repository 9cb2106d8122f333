// Other objectives than the clipped surrogate, where training has more than one form: adapters, streamed gradients, an
// older sampler. No form changes a bit.

import Base
import LanguageModel
import Records
import Tensors
import Testing

struct OtherObjectivesTests {
  @Test(arguments: PolicyObjective.allCases.filter { $0 != .clip }, [nil, AdapterTargets.all])
  func `ranks, threads and streamed gradients change no bit`(
    _ objective: PolicyObjective, _ adapterTargets: AdapterTargets?
  ) throws {
    var training = TinyTraining(vocabulary: TinyModel.qwen2.configuration.vocabularySize)
    training.adapterTargets = adapterTargets
    training.method.staleness = 1
    let clipped = try training.train(training.policy(.bfloat16))
    training.method.objective = objective
    // Given responses are not stale.
    if objective.takesResponses { training.method.staleness = 0 }
    (training.method.criticLearningRate, training.method.primeLearningRate) = (1e-2, 1e-2)
    let alone = try training.train(training.policy(.bfloat16, threads: 3))
    let isDifferent = alone != clipped
    #expect(isDifferent)
    training.isStreamed = true
    for size in 1...3 {
      let isSame = try training.trainOnRanks(size, .bfloat16) == alone
      #expect(isSame, "on \(size) ranks")
    }
  }
}
