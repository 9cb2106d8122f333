// ttrl: CommandTable.swift lists its commands. `main` is synchronous: the learner calls MPI from this thread only.

import Commands
import Glibc

exit(CommandSet.ttrl.run(Array(CommandLine.arguments.dropFirst())))
