// ttrl-dev: tools for developers of ttrl; CommandTable.swift lists them. `main` is synchronous: benchmarks of
// learner ranks call MPI from this thread only.

import Commands
import Glibc

exit(CommandSet.ttrlDev.run(Array(CommandLine.arguments.dropFirst())))
