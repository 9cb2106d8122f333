// ResultsDocument: the text of docs/results.md. The claims are in Claim.swift, the runs in Arm.swift.

import Records

struct ResultsDocument {
  let experiment: Experiment
  let claims: [Claim]

  var text: String {
    let vote = experiment["vote"]
    var lines = [
      "# Results", "",
      "Written by `scripts/results` from the records of the runs in `docs/results/results.jsonl`; no number here was "
        + "typed by hand. The built-in example ([embedded.md](embedded.md)), \(Arm.seeds.count) seeds per arm, "
        + "\(vote[0].stepCount) steps each; the records are of \(Figures.commits(experiment.commits)).", "",
      "pass@1 is the mean over 16 samples; maj@k uses the majority answer of k samples. Both are measured at "
        + "temperature 0.6 and top-p 0.95, on 128 training prompts and 128 held-out prompts.",
    ]
    lines += section("Runs") + runs(Arm.claims + [Arm.adapter])
    lines += section("Claims") + claimTable
    lines += section("Curves", "pass@1 / maj@16 on the training prompts after k steps.") + curves
    lines += section("What C10 shows") + [unsolvableText]
    lines += section(
      "Votes",
      "The number of responses that vote changes; the number of trained responses is fixed. \(columns)")
    lines += comparison(Arm.votes)
    lines += section("Objectives", "Different objectives, with the same rewards. \(columns)")
    lines += comparison(Arm.objectives)
    lines += section(
      "Rewards",
      "Another rule for rewards (soft vote), and early stop, which ends sampling once a vote is decided. \(columns)")
    lines += comparison(Arm.estimators)
    lines += section("A collapse", collapseText) + collapseTable + [""] + collapseCourse
    return (lines + [""]).joined(separator: "\n")
  }

  private func section(_ title: String, _ text: String...) -> [String] {
    ["", "## \(title)", ""] + text.flatMap { [$0, ""] }
  }

  // MARK: Tables

  private func table(_ head: [String], _ rows: [[String]]) -> [String] {
    ([head, head.map { _ in "---" }] + rows).map { "| " + $0.joined(separator: " | ") + " |" }
      .enumerated().map { $0.offset == 1 ? $0.element.replacing(" ", with: "") : $0.element }
  }

  private func runs(_ arms: [Arm]) -> [String] {
    let rows = arms.flatMap { arm in
      experiment[arm.name].map { run in
        func change(_ set: String, _ figure: String) -> String {
          Figures.change(run.figure("before", set, figure), run.figure("after", set, figure))
        }
        return [
          arm.name, "\(run.seed)", change("train", "pass@1"), change("train", "maj@16"), change("train", "maj@64"),
          change("held_out", "pass@1"), change("held_out", "maj@16"),
          "`\(run.weights.prefix(8))`",
        ]
      }
    }
    return table(
      [
        "arm", "seed", "pass@1", "maj@16", "maj@64", "held-out pass@1", "held-out maj@16", "weights",
      ], rows)
  }

  private var claimTable: [String] {
    table(
      ["claim", ""] + Arm.seeds.map { "seed \($0)" } + ["confirmed"],
      claims.map { claim in
        // A claim about all seeds together has one figure.
        let padding = Array(repeating: "", count: Arm.seeds.count - claim.values.count)
        return [claim.id, claim.text] + claim.values + padding + [claim.holds ? "yes" : "**no**"]
      })
  }

  private var curves: [String] {
    let policies = experiment["vote"][0].curve.map(\.policy)
    let rows = (Arm.claims.prefix(3) + [Arm.adapter]).flatMap { arm in
      experiment[arm.name].map { run in
        [arm.name, "\(run.seed)"]
          + run.curve.map { "\(Figures.percent($0.pass)) / \(Figures.percent($0.majority))" }
      }
    }
    return table(["arm", "seed"] + policies.map { "\($0)" }, rows)
  }

  private let columns =
    "Each figure is the mean over the seeds after the run, with the lowest and the highest in parentheses."

  private func comparison(_ arms: [Arm]) -> [String] {
    let rows = arms.map { arm in
      let runs = experiment[arm.name]
      func after(_ set: String, _ name: String) -> String { Figures.span(runs.map { $0.figure("after", set, name) }) }
      let tokens = runs.reduce(0) { $0 + $1.sampledTokens } / Double(runs.count)
      return [
        arm.name, "`\(arm.flags.joined(separator: " "))`", after("train", "pass@1"), after("train", "maj@16"),
        after("held_out", "pass@1"), Figures.decimal(tokens / 1e6, 2) + " M",
      ]
    }
    return table(["arm", "flags", "pass@1", "maj@16", "held-out pass@1", "tokens sampled"], rows)
  }

  private let collapseText =
    "Five times the default learning rate. With `\(Arm.collapse[0].flags.prefix(2).joined(separator: " "))`, the "
    + "model's responses come to agree on wrong answers, on a different one for each question. The guard uses no "
    + "figure that needs an answer. *Ended* is the number of steps that were done; *delivered* is the policy that the "
    + "run delivers."

  private var collapseTable: [String] {
    let rows = Arm.collapse.flatMap { arm in
      experiment[arm.name].map { run in
        let delivered = run.delivered
        return [
          arm.name, "\(run.seed)", "\(run.stepCount)", delivered.alarm ?? "–", "\(delivered.policy)",
          Figures.percent(run.highestPass),
          Figures.change(run.figure("before", "train", "pass@1"), run.figure("after", "train", "pass@1")),
          Figures.change(run.figure("before", "held_out", "pass@1"), run.figure("after", "held_out", "pass@1")),
        ]
      }
    }
    return table(
      ["arm", "seed", "ended", "alarm", "delivered", "highest step", "pass@1", "held-out pass@1"], rows)
  }

  /// Figures of every tenth step, of the runs that the guard did not stop.
  private var collapseCourse: [String] {
    let courses = experiment[Arm.collapse[0].name].map { run in
      run.course([.groundTruthRatio, .majorityRatio, .overturnRatio], every: 10)
    }
    let rows = courses[0].indices.map { index in
      ["\(courses[0][index].step)"] + courses.map { $0[index].values.map(Figures.percent).joined(separator: " / ") }
    }
    return table(["step"] + Arm.seeds.map { "seed \($0): right / majority / overturned" }, rows)
  }

  private var unsolvableText: String {
    let runs = experiment["unsolvable"]
    func mean(_ end: String, _ set: String, _ name: String) -> Double {
      runs.reduce(0) { $0 + $1.figure(end, set, name) } / Double(runs.count)
    }
    func change(_ set: String, _ name: String) -> String {
      "\(Figures.percent(mean("before", set, name))) to \(Figures.percent(mean("after", set, name)))"
    }
    return
      "Each of these 64 questions has one multiplication, an operator that the base model has never seen. When the "
      + "model is trained only on them, its majority ratio on them goes from \(change("train", "majority_ratio")), but "
      + "the share of right answers goes from \(change("train", "pass@1")): the model becomes certain of wrong "
      + "answers. Voting cannot create knowledge that the model does not have. The held-out questions have no "
      + "multiplication, and still their pass@1 rises from \(change("held_out", "pass@1")): what the model learns from "
      + "agreement on the solvable parts of the questions helps there too."
  }
}
