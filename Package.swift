// swift-tools-version: 6.2
import PackageDescription

// The targets are the layers of docs/architecture.md; imports point down only, and Tests/TidyTests enforces it.

/// Every Swift target: language mode 6, no warning survives, imports say what they use.
let common: [SwiftSetting] = [
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
]

/// Targets that touch no raw memory: the compiler proves it.
let safe: [SwiftSetting] = common + [.strictMemorySafety()]

func module(_ name: String, _ dependencies: [Target.Dependency], _ settings: [SwiftSetting]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, of dependencies: [Target.Dependency]) -> Target {
  .testTarget(name: name + "Tests", dependencies: dependencies, swiftSettings: common)
}

let package = Package(
  name: "ttrl",
  products: [
    .executable(name: "ttrl", targets: ["ttrl"]),
    .executable(name: "ttrl-dev", targets: ["ttrl-dev"]),
  ],
  targets: [
    // 0: C shims. They take no decisions.
    .systemLibrary(name: "CMPI", pkgConfig: "mpi-c", providers: [.apt(["libopenmpi-dev"])]),
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "openssl", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CMicrohttpd", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
    .target(name: "CLinux"),
    .target(name: "CKernels", cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off", "-fno-math-errno"])]),
    .target(
      name: "COneDNN", cSettings: [.unsafeFlags(["-O2"])], linkerSettings: [.linkedLibrary("dnnl")]),
    .target(name: "CCeilings", cSettings: [.unsafeFlags(["-O2"])]),
    .target(name: "CEmbedded", cSettings: [.unsafeFlags(["-Wno-c23-extensions"])]),

    // 1: the nouns.
    module("Base", [], safe),
    module("Records", ["Base"], safe),
    module("Answers", ["Base"], safe),
    module("Settings", ["Base", "Records"], safe),

    // 2: pure logic.
    module("TTRL", ["Base", "Records", "Answers"], safe),
    module("Fleet", ["Base", "Records"], safe),
    module("Wire", ["Base", "Records"], safe),
    module("Packages", ["Base", "Records", "CZstd"], common),
    module("Tensors", ["Base", "CKernels", "COneDNN"], common),
    module("LanguageModel", ["Tensors", "TTRL", "Answers", "Records", "Base"], common),

    // 3: the outside world.
    module("Platform", ["Base", "CLinux", "COpenSSL"], common),
    module("Ledger", ["Records", "Base", "CSQLite"], common),
    module("Collectives", ["Base", "CMPI"], common),

    // 4: roles.
    module("Transport", ["Wire", "Platform", "Records", "Base"], common),
    module(
      "Runs",
      [
        "Settings", "LanguageModel", "Tensors", "TTRL", "Answers", "Ledger", "Platform", "Records", "Base", "CEmbedded",
      ], common),
    module("Observatory", ["Base"], safe),
    module(
      "CoordinatorRole",
      [
        "Fleet", "Wire", "Transport", "Packages", "Runs", "Settings", "Ledger", "Observatory", "TTRL", "LanguageModel",
        "Tensors",
        "Platform", "Records", "Base",
      ], common),
    module(
      "PageRole",
      [
        "CoordinatorRole", "Runs", "Settings", "Ledger", "Observatory", "LanguageModel", "Answers", "Platform",
        "Records",
        "Base", "CMicrohttpd",
      ], common),
    module(
      "WorkerRole",
      ["Fleet", "Transport", "Packages", "LanguageModel", "Tensors", "Platform", "Records", "Base"], common),
    module(
      "LearnerRole",
      [
        "Fleet", "Wire", "Transport", "Runs", "Settings", "TTRL", "LanguageModel", "Tensors", "Collectives", "Platform",
        "Records",
        "Base",
      ], common),
    module(
      "Pretraining", ["Runs", "LanguageModel", "Tensors", "TTRL", "Answers", "Platform", "Records", "Base"], common),

    module(
      "Benchmarks",
      [
        "CoordinatorRole", "WorkerRole", "LearnerRole", "Fleet", "Transport", "Packages", "Runs", "LanguageModel",
        "Tensors", "TTRL", "Collectives", "Platform", "Records", "Base", "COneDNN", "CCeilings",
      ], common),
    module(
      "Load",
      ["Fleet", "Transport", "Runs", "Ledger", "LanguageModel", "Tensors", "Platform", "Records", "Base"], common),
    module("Chaos", ["Runs", "Ledger", "Platform", "Records", "Base"], common),
    module(
      "Fuzzing", ["Wire", "Packages", "Ledger", "CSQLite", "LanguageModel", "Settings", "Platform", "Records", "Base"],
      common),
    module("Simulation", ["Fleet", "Wire", "Packages", "TTRL", "Answers", "Records", "Base"], safe),

    // 5: programs.
    .executableTarget(
      name: "ttrl",
      dependencies: [
        "CoordinatorRole", "PageRole", "WorkerRole", "LearnerRole", "Pretraining", "Benchmarks", "Load", "Chaos",
        "Observatory",
        "Runs", "Settings", "TTRL", "LanguageModel", "Tensors", "Answers", "Collectives", "Ledger", "Transport",
        "Platform",
        "Records", "Base",
      ], swiftSettings: common),
    .executableTarget(
      name: "ttrl-dev",
      dependencies: [
        "Simulation", "Fuzzing", "Load", "Runs", "Settings", "Ledger", "LanguageModel", "Tensors", "TTRL", "Answers",
        "Wire",
        "Platform", "Records", "Base",
      ],
      swiftSettings: common),

    tests("Base", of: ["Base"]),
    tests("Records", of: ["Records"]),
    tests("Answers", of: ["Answers", "Base"]),
    tests("TTRL", of: ["TTRL", "Answers", "Records", "Base"]),
    tests("Fleet", of: ["Fleet", "Records", "Base"]),
    tests("Packages", of: ["Packages", "Platform", "Records", "Base"]),
    tests("Wire", of: ["Wire", "Records", "Base"]),
    tests("Tensors", of: ["Tensors"]),
    tests("LanguageModel", of: ["LanguageModel", "Tensors", "TTRL", "Answers", "Records", "Base"]),
    tests("Platform", of: ["Platform", "Base"]),
    .target(
      name: "CFaultyDisk", path: "Tests/CFaultyDisk", linkerSettings: [.linkedLibrary("sqlite3")]),
    tests("Ledger", of: ["Ledger", "CFaultyDisk", "Records", "Base"]),
    tests("Collectives", of: ["Collectives"]),
    tests("LearnerRole", of: ["LearnerRole", "Collectives"]),
    tests("Observatory", of: ["Observatory", "Base"]),
    tests("Chaos", of: ["Chaos", "Runs", "Ledger", "Platform", "Records", "Base"]),
    tests("Fuzzing", of: ["Fuzzing"]),
    tests("PageRole", of: ["PageRole", "Observatory", "Ledger", "Platform", "Records", "Base"]),
    tests("Simulation", of: ["Simulation", "TTRL", "Records", "Base"]),
    tests("Settings", of: ["Settings", "Runs", "LanguageModel", "Records", "Base"]),
    tests("EndToEnd", of: []),
    tests("Tidy", of: []),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
