// ttrl-dev: tools for those who work on ttrl: `simulate`, whole runs on a simulated fleet; `random-model`, a model
// directory to try things on.
//
// The last line of standard output is the result; progress goes to standard error.

import Glibc

let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments.first {
case "simulate": exit(SimulateCommand.run(Array(arguments.dropFirst())))
case "random-model": exit(RandomModelCommand.run(Array(arguments.dropFirst())))
default:
  SimulateCommand.print(
    "usage: ttrl-dev \(SimulateCommand.usage)\n       ttrl-dev \(RandomModelCommand.usage)\n", to: STDERR_FILENO)
  exit(2)
}
