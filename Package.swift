// swift-tools-version: 6.2
import PackageDescription

// The layers of the program, lowest first: the only place where they are written down. A module imports modules of
// lower layers only, never one of its own layer. SwiftPM enforces the `imports`; Tests/TidyTests reads this file and
// enforces the order of the layers, and docs/architecture.md shows it. `in:` is the folder in Sources.

/// What the code of a module may do.
enum Kind {
  /// No clock, file, socket, thread or raw memory: results depend on arguments only, and the compiler proves that memory
  /// is safe.
  case pure
  /// Pure as well, but works on raw memory, and may share work among threads of its own.
  case numeric
  /// Touches the outside world.
  case shell
}

struct Module {
  var name: String
  var folder: String
  var kind: Kind
  var imports: [String]
}

func module(_ name: String, in folder: String, _ kind: Kind, imports: [String]) -> Module {
  Module(name: name, folder: folder, kind: kind, imports: imports)
}

/// The commit that is built, as scripts/release says it; without it the program says `unknown`.
let commit: [CSetting] = Context.environment["TTRL_COMMIT"].map { [.define("TTRL_COMMIT", to: $0)] } ?? []

/// C libraries of the distribution, and C of our own. They take no decisions.
let shims: [Target] = [
  .systemLibrary(name: "CMPI", path: "Sources/System/CMPI", pkgConfig: "mpi-c", providers: [.apt(["libopenmpi-dev"])]),
  .systemLibrary(
    name: "CSQLite", path: "Sources/System/CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
  .systemLibrary(
    name: "COpenSSL", path: "Sources/System/COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
  .systemLibrary(
    name: "CZstd", path: "Sources/System/CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
  .systemLibrary(
    name: "CMicrohttpd", path: "Sources/System/CMicrohttpd", pkgConfig: "libmicrohttpd",
    providers: [.apt(["libmicrohttpd-dev"])]),
  .target(name: "CLinux", path: "Sources/System/CLinux"),
  .target(name: "CLoopback", path: "Sources/System/CLoopback"),
  .target(
    name: "CKernels", path: "Sources/Engine/CKernels",
    cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno"])]),
  .target(
    name: "COneDNN", path: "Sources/Engine/COneDNN", cSettings: [.unsafeFlags(["-O2"])],
    linkerSettings: [.linkedLibrary("dnnl")]),
  .target(name: "CCeilings", path: "Sources/Engine/CCeilings", cSettings: [.unsafeFlags(["-O2"])]),
  .target(
    name: "CEmbedded", path: "Sources/Run/CEmbedded", cSettings: [.unsafeFlags(["-Wno-c23-extensions"])] + commit),
  .target(
    name: "CPageFiles", path: "Sources/Watching/CPageFiles", cSettings: [.unsafeFlags(["-Wno-c23-extensions"])]),
]

let layers: [[Module]] = [
  [
    module("Base", in: "System", .pure, imports: []),
    module("PageFiles", in: "Watching", .numeric, imports: ["CPageFiles"]),
  ],
  [
    module("Records", in: "Fleet", .pure, imports: ["Base"]),
    module("Answers", in: "Method", .pure, imports: ["Base"]),
    module("Tensors", in: "Engine", .numeric, imports: ["Base", "CKernels", "COneDNN"]),
    module("GGUF", in: "Engine", .numeric, imports: []),
    module("Platform", in: "System", .shell, imports: ["Base", "CLinux", "COpenSSL"]),
  ],
  [
    module("Settings", in: "Run", .pure, imports: ["Base", "Records"]),
    module("TTRL", in: "Method", .pure, imports: ["Base", "Records", "Answers"]),
    module("Templates", in: "Engine", .pure, imports: ["Base", "Records"]),
    module("Fleet", in: "Fleet", .pure, imports: ["Base", "Records"]),
    module("Wire", in: "Fleet", .pure, imports: ["Base", "Records"]),
    module("Bundles", in: "Fleet", .numeric, imports: ["Base", "Records", "CZstd"]),
    module("Archives", in: "Run", .shell, imports: ["Base", "Records", "Platform", "CZstd"]),
    module("Ledger", in: "System", .shell, imports: ["Base", "Records", "CSQLite"]),
    module("Observatory", in: "Watching", .pure, imports: ["PageFiles", "Base", "Records"]),
    module("Collectives", in: "System", .shell, imports: ["Base", "Platform", "Tensors", "CMPI"]),
  ],
  [
    module(
      "LanguageModel", in: "Engine", .numeric, imports: ["Tensors", "GGUF", "TTRL", "Answers", "Records", "Base"]),
    module("Transport", in: "System", .shell, imports: ["Wire", "Platform", "Records", "Base"]),
  ],
  [
    module("Ceilings", in: "Engine", .shell, imports: ["LanguageModel", "Tensors", "Platform", "Base", "CCeilings"]),
    module(
      "Runs", in: "Run", .shell,
      imports: [
        "Settings", "Archives", "Templates", "LanguageModel", "GGUF", "Tensors", "TTRL", "Answers", "Ledger",
        "Platform", "Records", "Base", "CEmbedded",
      ]),
  ],
  [
    module(
      "Commands", in: "Run", .shell,
      imports: [
        "Runs", "Settings", "Archives", "Ledger", "Collectives", "Tensors", "Platform", "Records", "Base",
      ]),
    module(
      "RunReading", in: "Watching", .shell,
      imports: [
        "Archives", "Runs", "Settings", "LanguageModel", "TTRL", "Tensors", "Ledger", "Observatory", "Answers",
        "Platform", "Records", "Base",
      ]),
  ],
  [
    module(
      "CoordinatorRole", in: "Run", .shell,
      imports: [
        "Fleet", "Wire", "Transport", "Bundles", "RunReading", "Runs", "Settings", "Ledger", "TTRL", "LanguageModel",
        "Answers", "Tensors", "Platform", "Records", "Base",
      ]),
    module(
      "WorkerRole", in: "Run", .shell,
      imports: ["Fleet", "Transport", "Bundles", "Runs", "LanguageModel", "Tensors", "Platform", "Records", "Base"]),
    module(
      "LearnerRole", in: "Run", .shell,
      imports: [
        "Fleet", "Wire", "Transport", "Runs", "Settings", "TTRL", "LanguageModel", "Tensors", "Platform", "Records",
        "Base",
      ]),
    module(
      "PageRole", in: "Watching", .shell,
      imports: [
        "RunReading", "Runs", "Settings", "Ledger", "Observatory", "Platform", "Records", "Base", "CMicrohttpd",
      ]),
  ],
  [
    module(
      "StandbyRole", in: "Run", .shell,
      imports: [
        "CoordinatorRole", "WorkerRole", "Fleet", "Transport", "Runs", "Ledger", "Platform", "Records", "Base",
      ]),
    module(
      "Simulation", in: "Workshop", .pure, imports: ["Fleet", "Wire", "Bundles", "TTRL", "Answers", "Records", "Base"]),
    module(
      "Pretraining", in: "Workshop", .shell,
      imports: ["Runs", "LanguageModel", "Tensors", "Platform", "Records", "Base"]),
    module(
      "Benchmarks", in: "Workshop", .shell,
      imports: [
        "CoordinatorRole", "WorkerRole", "Fleet", "Transport", "Ceilings", "Runs", "LanguageModel", "Tensors", "TTRL",
        "Answers", "Collectives", "Platform", "Records", "Base", "COneDNN",
      ]),
    module(
      "Load", in: "Workshop", .shell,
      imports: ["Fleet", "Transport", "Runs", "Ledger", "LanguageModel", "Tensors", "Platform", "Records", "Base"]),
    module("Chaos", in: "Workshop", .shell, imports: ["Runs", "Ledger", "Platform", "Records", "Base"]),
    module(
      "Fuzzing", in: "Workshop", .shell,
      imports: [
        "Archives", "Wire", "Bundles", "Ledger", "CSQLite", "LanguageModel", "GGUF", "Settings", "Platform", "Records",
        "Base",
      ]),
  ],
  [
    module(
      "ttrl", in: "", .shell,
      imports: [
        "Commands", "CoordinatorRole", "StandbyRole", "PageRole", "WorkerRole", "LearnerRole", "RunReading", "Archives",
        "Observatory",
        "Ceilings", "Runs", "Settings", "TTRL", "LanguageModel", "GGUF", "Tensors", "Answers", "Collectives", "Ledger",
        "Platform", "Records", "Base",
      ]),
    module(
      "ttrl-dev", in: "", .shell,
      imports: [
        "Commands", "Simulation", "Fuzzing", "Load", "Chaos", "Benchmarks", "Pretraining", "RunReading", "Observatory",
        "Collectives", "Runs", "Settings", "Ledger", "LanguageModel", "Tensors", "TTRL", "Answers", "Wire", "Platform",
        "Records", "Base",
      ]),
  ],
]

/// Every Swift target: language mode 6, no warning survives, imports say what they use.
let common: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

extension Module {
  var target: Target {
    let settings = common + (kind == .pure ? [.strictMemorySafety()] : [])
    let dependencies = imports.map { Target.Dependency(stringLiteral: $0) }
    return folder.isEmpty
      ? .executableTarget(name: name, dependencies: dependencies, path: "Sources/\(name)", swiftSettings: settings)
      : .target(name: name, dependencies: dependencies, path: "Sources/\(folder)/\(name)", swiftSettings: settings)
  }
}

func tests(_ name: String, of dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name + "Tests", dependencies: dependencies, swiftSettings: common)
}

let package = Package(
  name: "ttrl",
  products: [
    .executable(name: "ttrl", targets: ["ttrl"]),
    .executable(name: "ttrl-dev", targets: ["ttrl-dev"]),
    // Loaded into mpirun, not linked with ttrl.
    .library(name: "ttrl-loopback", type: .dynamic, targets: ["CLoopback"]),
  ],
  targets: shims + layers.flatMap { $0.map(\.target) } + [
    tests("Base", of: ["Base"]),
    tests("Records", of: ["Records", "Base"]),
    tests("Answers", of: ["Answers", "Base"]),
    tests("TTRL", of: ["TTRL", "Answers", "Records", "Base"]),
    tests("Fleet", of: ["Fleet", "Records", "Base"]),
    tests("Bundles", of: ["Bundles", "Platform", "Records", "Base"]),
    tests("Wire", of: ["Wire", "Fleet", "Records", "Base"]),
    tests("Templates", of: ["Templates", "Records", "Base"]),
    .target(
      name: "CSoftwareTiles", dependencies: ["CKernels"], path: "Tests/CSoftwareTiles",
      cSettings: [.unsafeFlags(["-O2", "-ffp-contract=off"])]),
    tests("Tensors", of: ["Tensors", "CKernels", "CSoftwareTiles", "Base"]),
    tests("LanguageModel", of: ["LanguageModel", "GGUF", "Tensors", "TTRL", "Answers", "Records", "Base"]),
    tests("Platform", of: ["Platform", "Base"]),
    .target(name: "CFaultyDisk", path: "Tests/CFaultyDisk", linkerSettings: [.linkedLibrary("sqlite3")]),
    tests("Ledger", of: ["Ledger", "CFaultyDisk", "Records", "Base"]),
    tests("Collectives", of: ["Collectives"]),
    tests("Commands", of: ["Commands"]),
    tests(
      "CoordinatorRole",
      of: [
        "CoordinatorRole", "Fleet", "RunReading", "Archives", "Observatory", "Runs", "Ledger", "TTRL", "Platform",
        "Records", "Base",
      ]),
    tests("LearnerRole", of: ["LearnerRole", "Settings", "Tensors", "Records", "Base"]),
    tests("Observatory", of: ["Observatory", "PageFiles", "Records", "Base"]),
    tests("Chaos", of: ["Chaos", "Runs", "Ledger", "Platform", "Records", "Base"]),
    tests("Fuzzing", of: ["Fuzzing"]),
    tests("PageRole", of: ["PageRole", "Platform"]),
    tests("Simulation", of: ["Simulation", "Fleet", "TTRL", "Records", "Base"]),
    tests("Settings", of: ["Settings", "Runs", "LanguageModel", "Records", "Base"]),
    tests("Archives", of: ["Archives", "Platform", "Records", "Base"]),
    tests("Runs", of: ["Runs", "LanguageModel", "Tensors", "Platform", "Records", "Base"]),
    tests("EndToEnd", of: []),
    tests("Tidy", of: []),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
