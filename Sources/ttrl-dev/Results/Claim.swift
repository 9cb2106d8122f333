// Claim: the paper's claims, each with the figure that decides it and the bound that the figure has to reach.
//
// The numbers C1 … C11 are those of docs/embedded.md. A claim's text states the bound. The closure that prints the
// figure also checks it.

import Records

/// One claim, checked for each seed.
struct Claim {
  var id: String
  var text: String
  /// One figure per seed, or one for all seeds.
  var values: [String]
  var holds: Bool

  /// A claim that has to be true of every run.
  init(_ id: String, _ text: String, _ runs: [FinishedRun], _ value: (FinishedRun) -> (String, Bool)) {
    let values = runs.map(value)
    self.init(id: id, text: text, values: values.map(\.0), holds: values.allSatisfy(\.1))
  }

  init(id: String, text: String, values: [String], holds: Bool) {
    self.id = id
    self.text = text
    self.values = values
    self.holds = holds
  }
}

extension Claim {
  /// The ratio of the paper's main result, which a reproduction has to reach.
  private static let headline = 2.6

  /// The claims about the four arms with whole evaluations, then those that compare arms.
  static func all(in experiment: Experiment) -> [Claim] {
    let (vote, truth) = (experiment["vote"], experiment["truth"])
    let (random, unsolvable) = (experiment["random"], experiment["unsolvable"])
    func pass(_ run: FinishedRun, _ end: String, _ set: String = "train") -> Double { run.figure(end, set, "pass@1") }
    return [
      Claim("C1", "pass@1 rises, by more than 2 standard errors", vote) { run in
        let (mean, error) = run.change
        return ("\(Figures.points(mean)) ± \(Figures.points(error, sign: false))", mean > 2 * error)
      },
      Claim("", "final pass@1 divided by initial pass@1 (at least \(headline))", vote) { run in
        let ratio = pass(run, "after") / pass(run, "before")
        return (Figures.decimal(ratio) + "×", ratio >= headline)
      },
      Claim("C2", "final pass@1 above initial maj@64", vote) { run in
        let (after, majority) = (pass(run, "after"), run.figure("before", "train", "maj@64"))
        return ("\(Figures.percent(after)) > \(Figures.percent(majority))", after > majority)
      },
      Claim("C3", "maj@16 rises", vote) { run in
        let (before, after) = (run.figure("before", "train", "maj@16"), run.figure("after", "train", "maj@16"))
        return (Figures.change(before, after), after > before)
      },
      Claim("C4", "share of the gap to training on true labels that is closed (at least 75 %)", vote) { run in
        let oracle = truth.first { $0.seed == run.seed } ?? run
        let share = (pass(run, "after") - pass(run, "before")) / (pass(oracle, "after") - pass(oracle, "before"))
        return (Figures.percent(share), share >= 0.75)
      },
      Claim("C5", "identities I1 and I2 are exact for every prompt of every step (broken / checked)", vote) { run in
        let found = run.identities
        return ("\(found.broken) / \(found.prompts), \(found.wrongLabels) with a wrong label", found.broken == 0)
      },
      Claim(
        "C5",
        "reward accuracy over prompts with a wrong label, first \(FinishedRun.luckySteps) steps (lucky hits: above "
          + "50 %)",
        vote
      ) {
        let (count, accuracy) = $0.luckyHits
        return ("\(Figures.percent(accuracy)) over \(count)", accuracy > 0.5)
      },
      Claim("C7", "held-out pass@1 rises", vote) { run in
        let (before, after) = (pass(run, "before", "held_out"), pass(run, "after", "held_out"))
        return (Figures.change(before, after), after > before)
      },
      Claim("C10", "no gain on questions that the base model never solves (maj@64, pass@1)", unsolvable) { run in
        let (before, after) = (run.figure("before", "train", "maj@64"), run.figure("after", "train", "maj@64"))
        let passes = Figures.change(pass(run, "before"), pass(run, "after"))
        let isFlat = after <= before + 0.02 && pass(run, "after") <= pass(run, "before") + 0.02
        return ("\(Figures.change(before, after)), \(passes)", isFlat)
      },
      Claim("C11", "entropy falls (nats per token, first and last 3 steps)", vote) { run in
        let count = run.stepCount
        let (first, last) = (run.meanOfSteps(.entropy, 0..<3), run.meanOfSteps(.entropy, count - 3..<count))
        return ("\(Figures.decimal(first, 3)) → \(Figures.decimal(last, 3))", last < first)
      },
      Claim("control", "random rewards do not help (pass@1)", random) { run in
        let (before, after) = (pass(run, "before"), pass(run, "after"))
        return (Figures.change(before, after), after <= before + 0.02)
      },
    ] + comparisons(in: experiment)
  }

  /// One figure per seed; the mean decides.
  private static func adapter(in experiment: Experiment) -> Claim {
    let pairs = zip(experiment[Arm.adapter.name], experiment["vote"])
    func pass(_ run: FinishedRun) -> Double { run.figure("after", "train", "pass@1") }
    let differences = pairs.map { pass($0) - pass($1) }
    let mean = differences.reduce(0, +) / Double(max(1, differences.count))
    let values = pairs.map { adapted, whole in
      let distances = zip(adapted.curve, whole.curve).map { abs($0.pass - $1.pass) }
      let distance = distances.reduce(0, +) / Double(max(1, distances.count))
      return "\(Figures.percent(pass(adapted))), all weights \(Figures.percent(pass(whole))); "
        + Figures.points(distance, sign: false)
    }
    return Claim(
      id: "LoRA",
      text: "an adapter of rank 16 ends within 3 points of training all weights, in the mean over the seeds (mean "
        + "difference \(Figures.points(mean)); pass@1, and the mean distance of the curves)",
      values: values, holds: abs(mean) <= 0.03)
  }

  /// The claims that compare arms.
  private static func comparisons(in experiment: Experiment) -> [Claim] {
    let finals = Arm.objectives.map { experiment.mean($0, "after", "train", "pass@1") }
    let spread = (finals.max() ?? .nan) - (finals.min() ?? .nan)
    let votes = Arm.votes.map { experiment.mean($0, "after", "train", "pass@1") }
    let (fewest, most) = (votes.first ?? .nan, votes.last ?? .nan)
    func pass(_ run: FinishedRun, _ end: String) -> Double { run.figure(end, "train", "pass@1") }
    return [
      Claim(
        "early stop", "ends with exactly the weights of full sampling (share of unneeded samples)",
        experiment["early-stop"]
      ) { run in
        let full = experiment[Arm.estimators[0].name].first { $0.seed == run.seed }
        return (Figures.percent(run.unneededShare), run.weights == full?.weights && run.unneededShare > 0)
      },
      Claim(
        "X2", "at five times the learning rate, a long run collapses: final pass@1 is below half of the best step's",
        experiment["guard-off"]
      ) { run in
        let (highest, after) = (run.highestPass, pass(run, "after"))
        return ("\(Figures.percent(highest)) → \(Figures.percent(after))", after < highest / 2)
      },
      Claim(
        "guard", "the guard ends such a run and delivers a policy better than the base model (pass@1)",
        experiment["guard-stop"]
      ) { run in
        let (before, after) = (pass(run, "before"), pass(run, "after"))
        return (Figures.change(before, after), run.delivered.alarm != nil && after > before)
      },
      adapter(in: experiment),
      Claim(
        id: "C8", text: "objectives end within 5 points of each other (mean pass@1, lowest and highest)",
        values: ["\(Figures.percent(finals.min() ?? .nan)) – \(Figures.percent(finals.max() ?? .nan))"],
        holds: spread <= 0.05),
      Claim(
        id: "C9",
        text: "more votes help, with 8 trained samples (mean pass@1 of \(Arm.votes[0].name) and "
          + "\(Arm.votes[Arm.votes.count - 1].name))",
        values: [Figures.change(fewest, most)], holds: most > fewest),
    ]
  }
}
