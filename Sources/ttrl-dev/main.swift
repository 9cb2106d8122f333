// ttrl-dev: tools for those who work on ttrl; CommandTable.swift says which. `main` is synchronous: benchmarks of
// learner ranks call MPI from this thread only.

import Commands
import Glibc

exit(CommandSet.ttrlDev.run(Array(CommandLine.arguments.dropFirst())))
