// ttrl: see Command.swift for what it can do. `main` is synchronous: the learner calls MPI from this thread only.

import Foundation

exit(Command.run(Array(CommandLine.arguments.dropFirst())))
