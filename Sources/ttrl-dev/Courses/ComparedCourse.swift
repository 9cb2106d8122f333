// ComparedCourse: the courses of training that docs/courses.md compares. The list below is the experiment: of each
// question, the first arm is what the others are compared with, and each arm is trained once per seed.
//
// Arms of one question have the same base model, the same number of steps, the same settings where nothing else is
// said, and the same held-out questions, which decide. Not here: what a course is (docs/stages.md), the page's text
// (CoursesDocument).

import Base
import Platform
import Pretraining
import Records
import TTRL

/// One way of training. In its texts, RUNS is the directory of all runs, and SEED the seed.
struct CourseArm {
  /// What has to be there before it can be trained.
  enum Need {
    /// The finished run of another arm.
    case arm(String)
    /// A file below RUNS, and the arguments of `ttrl` that make it.
    case file(String, by: String)
  }

  let name: String
  /// What it does, in a few words.
  let idea: String
  /// Of `ttrl train`, without `--run` and `--seed`.
  let flags: String
  let needs: [Need]
  /// The stages of a course, and the directory of the one that is measured; nil for a single run.
  let course: (stages: String, result: String)?

  init(_ name: String, _ idea: String, _ flags: String = "", needs: [Need] = []) {
    self.name = name
    self.idea = idea
    self.flags = flags
    self.needs = needs
    course = nil
  }

  init(_ name: String, _ idea: String, result: String, stages: String) {
    self.name = name
    self.idea = idea
    // Flags would override what stages say.
    flags = "--stages RUNS/\(name).json5"
    needs = []
    course = (stages, result)
  }
}

/// A question, and the arms that answer it.
struct CourseQuestion {
  let title: String
  let description: String
  /// Settings of all arms, as flags.
  let flags: String
  let arms: [CourseArm]
  /// The share of the first arm's gain that the others should reach, if that is the question.
  var target: Double?

  init(_ title: String, _ description: String, flags: String, target: Double? = nil, _ arms: [CourseArm]) {
    self.title = title
    self.description = description
    // Evaluations before and after only, with the samples that pass@1 and maj@16 need.
    self.flags = flags + " --eval-every 0 --eval-samples 16"
    self.arms = arms
    self.target = target
  }

  func run(_ arm: CourseArm, seed: Int) -> PlannedRun {
    func words(_ text: String) -> [String] {
      text.replacing("SEED", with: "\(seed)").split(separator: " ").map(String.init)
    }
    let needs = arm.needs.flatMap { need -> [Preparation] in
      switch need {
      case .arm(let name): arms.filter { $0.name == name }.map { Preparation(of: run($0, seed: seed)) }
      case .file(let product, let command):
        [Preparation(product: words(product).joined(), command: words(command).joined(separator: " "))]
      }
    }
    let common = arm.course == nil ? words(flags) : []
    return PlannedRun(
      name: "\(arm.name)-\(seed)", seed: seed, flags: ["--seed", "\(seed)"] + common + words(arm.flags),
      needs: needs, result: arm.course?.result)
  }

  func runs(seed: Int) -> [PlannedRun] { arms.map { run($0, seed: seed) } }

  /// The file of a course's stages, with the settings of all arms.
  fileprivate func file(_ stages: String) -> String {
    let words = flags.split(separator: " ")
    let common = stride(from: 0, to: words.count, by: 2).map { index in
      "\"\(words[index].dropFirst(2))\": \"\(words[index + 1])\","
    }
    return "{ \(common.joined(separator: " "))\nstages: [\n\(stages)\n] }\n"
  }
}

extension CourseQuestion {
  static let all = [warmUp, curriculum, selection, grown, hardest, offline]

  /// (DDRL, backtracking warm-up) Demonstrations first, then the vote.
  private static let warmUp = CourseQuestion(
    "A supervised warm-up",
    "Only questions of 8 to 10 terms, of which the base model answers few. The warm-up learns 16 solved questions that "
      + "are not asked: right answers, which the vote alone does not have. Both arms take 16 steps.",
    flags: "--data RUNS/long.jsonl --held-out RUNS/long-held-out.jsonl",
    [
      CourseArm("vote-alone", "16 steps of the vote", "--steps 16"),
      CourseArm(
        "warm-up", "6 supervised steps on 16 solved questions, then 10 steps of the vote", result: "02-vote",
        stages: """
          { name: "solved", objective: "sft", data: "RUNS/solved.jsonl", steps: 6, "mini-batch": 4, lr: 3e-4,
            eval: "none" },
          { name: "vote", steps: 10 },
          """),
    ])

  /// (AceReason) Short questions first.
  private static let curriculum = CourseQuestion(
    "A curriculum",
    "The built-in questions, in three parts by their length. All arms take 12 steps at a constant learning rate; a "
      + "stage carries the optimizer of the one before.",
    flags: "--held-out builtin:held-out --lr-schedule constant",
    [
      CourseArm("mixed", "12 steps on all questions", "--steps 12"),
      CourseArm(
        "short-first", "4 steps each on questions of 2 to 4, 5 to 7 and 8 to 10 terms", result: "03-long",
        stages: """
          { name: "short", data: "RUNS/terms-2-4.jsonl", steps: 4, eval: "none" },
          { name: "medium", data: "RUNS/terms-5-7.jsonl", steps: 4, optimizer: "carry", "warmup-steps": 0,
            eval: "none" },
          { name: "long", data: "RUNS/terms-8-10.jsonl", steps: 4, optimizer: "carry", "warmup-steps": 0 },
          """),
      CourseArm(
        "long-first", "the same in the opposite order", result: "03-short",
        stages: """
          { name: "long", data: "RUNS/terms-8-10.jsonl", steps: 4, eval: "none" },
          { name: "medium", data: "RUNS/terms-5-7.jsonl", steps: 4, optimizer: "carry", "warmup-steps": 0,
            eval: "none" },
          { name: "short", data: "RUNS/terms-2-4.jsonl", steps: 4, optimizer: "carry", "warmup-steps": 0 },
          """),
    ])

  /// (LIMR) The questions that the model learns as it learns the whole set.
  private static let selection = CourseQuestion(
    "A third of the questions",
    "The built-in questions. Scores of alignment come from the run on all of them; the run on the chosen third begins "
      + "with the base model again. The first third of the file is the control. All arms take 16 steps.",
    flags: "--held-out builtin:held-out --steps 16",
    [
      CourseArm("all-questions", "all 128 questions"),
      CourseArm(
        "best-third", "the third with the best alignment",
        "--prompt-filter best-aligned:0.3333 --prompt-history RUNS/all-questions-SEED",
        needs: [.arm("all-questions")]),
      CourseArm("first-third", "the first 43 questions", "--data RUNS/first-third.jsonl"),
    ])

  /// (SeRL) Questions that the model wrote.
  private static let grown = CourseQuestion(
    "Self-made questions",
    "16 of the built-in questions, and what `ttrl grow` makes of them. The base model cannot follow the request for a "
      + "question, so a copy of it, the writer, first learns from the 16 questions alone what is asked: each of them "
      + "is the response to a request that shows two others. The runs begin with the base model itself. The last arm "
      + "has 48 further built-in questions instead. All arms take 16 steps of 16 questions.",
    flags: "--held-out builtin:held-out --steps 16",
    [
      CourseArm("sixteen", "16 questions", "--data RUNS/sixteen.jsonl"),
      CourseArm(
        "self-made", "the same, and up to 48 self-made ones", "--data RUNS/grown-SEED.jsonl",
        needs: [
          .file(
            "writer-SEED/summary.json",
            by: "train --run RUNS/writer-SEED --seed SEED --objective sft --data RUNS/writing.jsonl "
              + "--steps \(writerSteps) --mini-batch 16 --lr 1e-3 --max-new-tokens 48 --eval none"),
          .file(
            "grown-SEED.jsonl",
            by: "grow --model RUNS/writer-SEED/checkpoints/step-0000\(writerSteps) --data RUNS/sixteen.jsonl "
              + "--out RUNS/grown-SEED.jsonl --seed SEED --new-questions 48 --examples \(writing.examples) --samples 4 "
              + "--words-least 1 --max-new-tokens 48"),
        ]),
      CourseArm("sixty-four", "the same, and 48 further built-in ones", "--data RUNS/sixty-four.jsonl"),
    ])

  private static let writerSteps = 60
  /// As many examples as fit into the model's context.
  private static var writing: QuestionWriting {
    var writing = QuestionWriting()
    (writing.count, writing.examples) = (4, 2)
    return writing
  }

  /// Requests for a question, with the questions of the set as responses; a request does not show its response.
  private static func writingFile(for sums: [RunningSum]) -> String {
    let set = sums.enumerated().map { Question(id: "\($0)", prompt: $1.question) }
    return set.indices.map { index -> String in
      let others = Array(set[..<index] + set[(index + 1)...])
      return writing.prompts(from: others, seed: UInt64(index)).map { request -> String in
        let row: JSON = [
          "id": .string("\(index)-\(request.id)"), "prompt": .string(request.prompt),
          "response": .string(set[index].prompt),
        ]
        return row.text() + "\n"
      }.joined()
    }.joined()
  }

  /// (ReLIFT, R-Zero) Questions of which no response was rewarded.
  private static let hardest = CourseQuestion(
    "The hardest questions",
    "The built-in questions; a label needs half of the votes, so questions on which responses disagree fail. "
      + "Demonstrations are right answers, which the other arms do not have. All arms take 24 steps.",
    flags: "--held-out builtin:held-out --min-share 0.5",
    [
      CourseArm("no-passes", "24 steps of the vote", "--steps 24"),
      CourseArm(
        "demonstrations", "10 steps; 4 supervised steps on solutions of those that failed; 10 steps",
        result: "03-again",
        stages: """
          { name: "vote", steps: 10, eval: "none" },
          { name: "hard", objective: "sft", data: "RUNS/solved-questions.jsonl", steps: 4, "mini-batch": 4,
            lr: 3e-4, eval: "none", "min-share": 0,
            "prompt-filter": "failed", "prompt-history": "stage:vote", "skip-below": 8 },
          { name: "again", steps: 10 },
          """),
      CourseArm(
        "rest", "10 steps; 7 steps without those that failed; 7 steps with all", result: "03-again",
        stages: """
          { name: "vote", steps: 10, eval: "none" },
          { name: "easier", steps: 7, eval: "none",
            "prompt-filter": "majority:0.5..1", "prompt-history": "stage:vote" },
          { name: "again", steps: 7 },
          """),
    ])

  /// (AWR) From the archive of a run to a model of the same gain.
  private static let offline = CourseQuestion(
    "Off-line from an archive",
    "The built-in example, its archive, and runs that learn from the archive with the base model: no response is "
      + "sampled for their steps.",
    flags: "--held-out builtin:held-out --steps 30", target: 0.8,
    [
      CourseArm("online", "30 steps of the vote"),
      CourseArm(
        "awr", "30 steps of AWR on the archive",
        "--objective awr --responses RUNS/online-SEED.jsonl.zst --train-samples 32", needs: archive),
      CourseArm(
        "majority", "30 supervised steps on the responses of its majorities",
        "--objective sft --responses RUNS/online-SEED.jsonl.zst --train-samples 32 --min-share 0.5", needs: archive),
    ])

  private static let archive: [CourseArm.Need] = [
    .arm("online"), .file("online-SEED.jsonl.zst", by: "export RUNS/online-SEED RUNS/online-SEED.jsonl.zst"),
  ]
}

// MARK: - Files

extension CourseQuestion {
  private static let questionCount = 128

  /// Writes the question files and the files of stages.
  static func prepare(in directory: String) throws {
    try Files.createDirectory(directory)
    let usual = QuestionSets.builtIn
    func write(_ sums: [RunningSum], _ name: String, isSolved: Bool = false) throws {
      try Files.write(
        BaseModelDirectory.fileText(of: sums, "train", isSolved: isSolved), to: "\(directory)/\(name).jsonl")
    }
    try write(QuestionSets.long(count: questionCount, seed: 1), "long")
    try write(QuestionSets.long(count: questionCount, seed: 2), "long-held-out")
    try write(QuestionSets.long(count: 16, seed: 3), "solved", isSolved: true)
    try write(usual, "solved-questions", isSolved: true)
    for terms in [2...4, 5...7, 8...10] {
      try write(
        usual.filter { terms.contains($0.terms.count) }, "terms-\(terms.lowerBound)-\(terms.upperBound)")
    }
    for (count, name) in [(43, "first-third"), (16, "sixteen"), (64, "sixty-four")] {
      try write(Array(usual.prefix(count)), name)
    }
    try Files.write(writingFile(for: Array(usual.prefix(16))), to: "\(directory)/writing.jsonl")
    for question in all {
      for arm in question.arms {
        guard let stages = arm.course?.stages else { continue }
        let text = question.file(stages).replacing("\(PlannedRun.runs)/", with: "\(directory)/")
        try Files.write(text, to: "\(directory)/\(arm.name).json5")
      }
    }
  }
}
