// ttrl-dev: tools for those who work on ttrl: `simulate`, whole runs on a simulated fleet; `results`, docs/results.md;
// `random-model`, a model directory to try things on; `agree`, sampler and trainer compared bit for bit; `differences`,
// where ours judges otherwise than the reference; `fuzz-answers`, hostile texts for extraction and grading; `fuzz`, any
// bytes for every decoder (scripts/fuzz builds it); `assault`, strangers at a coordinator's port; `crowd`, a long run
// of a large fleet to look at; `sizing`, what models need of machines.
//
// The last line of standard output is the result; progress goes to standard error.

import Glibc

let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments.first {
case "simulate": exit(SimulateCommand.run(Array(arguments.dropFirst())))
case "results": exit(ResultsCommand.run(Array(arguments.dropFirst())))
case "differences": exit(DifferencesCommand.run(Array(arguments.dropFirst())))
case "fuzz-answers": exit(FuzzAnswersCommand.run(Array(arguments.dropFirst())))
case "random-model": exit(RandomModelCommand.run(Array(arguments.dropFirst())))
case "agree": exit(AgreeCommand.run(Array(arguments.dropFirst())))
case "fuzz": exit(FuzzCommand.run(Array(arguments.dropFirst())))
case "assault": exit(AssaultCommand.run(Array(arguments.dropFirst())))
case "crowd": exit(CrowdCommand.run(Array(arguments.dropFirst())))
case "sizing": exit(SizingCommand.run(Array(arguments.dropFirst())))
default:
  let usages = [
    SimulateCommand.usage, ResultsCommand.usage, RandomModelCommand.usage, AgreeCommand.usage, DifferencesCommand.usage,
    FuzzAnswersCommand.usage, FuzzCommand.usage, AssaultCommand.usage, CrowdCommand.usage,
    SizingCommand.usage,
  ]
  for usage in usages {
    SimulateCommand.print("usage: ttrl-dev \(usage)\n", to: STDERR_FILENO)
  }
  exit(2)
}
