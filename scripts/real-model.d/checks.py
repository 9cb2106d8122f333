"""scripts/real-model check: what the script relies on, checked without a model."""

import hashlib
import json
import os
import re
import tempfile

import pages
import questions

SETS_SHA256 = "94904f545cc307d4a53dfb92307bc28b5845eb5d53d2e726e37f77d3e845da5e"


def check_questions():
    sets = questions.sets(320, 64)
    every = [question for part in sets.values() for question in part]
    assert len(every) == 320 + 2 * 64
    assert len({question["id"] for question in every}) == len(every), "two questions have the same id"
    assert len({question["prompt"] for question in every}) == len(every), "a question is there twice"
    numbers = [(questions.kind_of(q["id"]), *sorted(re.findall(r"\d+", q["prompt"]))) for q in every]
    assert len(set(numbers)) == len(every), "two questions of a kind have the same numbers"
    kinds = {name: {questions.kind_of(question["id"]) for question in part} for name, part in sets.items()}
    assert kinds["train"] == kinds["held-out"] and not kinds["train"] & kinds["transfer"]
    for question in every:
        assert int(question["answer"]) == answer(question), f"{question} has another answer: {answer(question)}"
    assert questions.sets(330, 64)["held-out"] == sets["held-out"], "held-out questions depend on the number of others"
    found = hashlib.sha256("".join(map(questions.text_of, sets.values())).encode()).hexdigest()
    assert found == SETS_SHA256, f"the questions have changed: their SHA-256 is {found}"


def answer(question):
    """The answer, worked out from the text alone."""
    text, kind = question["prompt"], questions.kind_of(question["id"])
    numbers = list(map(int, re.findall(r"\d+", text)))
    a, b, *rest = numbers
    return {
        "plus": lambda: a + b, "minus": lambda: a - b, "times": lambda: a * b, "three": lambda: a + b + rest[0],
        "gain": lambda: a + b, "lose": lambda: a - b, "boxes": lambda: a * b,
        "pay": lambda: a * b + rest[0], "compare": lambda: a - b, "earlier": lambda: b - a,
        "together": lambda: a + b + rest[0], "share": lambda: a // b,
    }[kind]()


def made_up(right, steps=None):
    """A result as a run writes it. `right`: the number of right responses of each question, of 4."""
    figures = {name: {"pass@1": right / 4, "maj@16": right / 4, "majority_ratio": 0.5, "no_answer_ratio": 0.0,
                      "by_prompt": [{"id": f"{name}-{n}-plus-1", "right": right, "label_right": right > 2}
                                    for n in range(3)]} for name in pages.SETS}
    result = {
        "about": {"model": "M", "evaluation": [3, 4]}, "commits": ["abc"], "cores": 2,
        "date": "2026-01-01", "figures": figures, "samples": 4, "seconds": 60, "memory_bytes": 1_000_000,
        "arithmetic": "none",
        "responses": [{"id": "held-out-0-plus-1", "prompt": "1 + 1", "answer": "2", "responses": ["2 | `2`\n", ""]}]}
    if steps:
        step = dict.fromkeys(["ground_truth_ratio", "label_accuracy", "majority_ratio", "reward_accuracy", "entropy",
                              "response_length_mean"], right / 4)
        result["steps"] = [step | {"step": n, "sampled_tokens": 100} for n in range(steps)]
        result["training"] = {"seconds": 60, "memory_bytes": 2_000_000, "alarms": [], "weights_sha256": "0" * 64,
                              "policy": steps}
    return result


def check_page():
    regime = {"steps": "2", "prompts-per-step": "3", "temperature": "1"}
    with tempfile.TemporaryDirectory() as directory:
        def refused():
            try:
                pages.page(directory, "real", regime)
            except pages.Problem as problem:
                return str(problem)

        def write(name, result, **about):
            result["about"] |= about
            os.makedirs(os.path.dirname(f"{directory}/{name}"), exist_ok=True)
            with open(f"{directory}/{name}", "w") as file:
                json.dump(result, file)

        assert "base.json is missing" in refused()
        write("base.json", made_up(1))
        assert "no result of a run" in refused()
        write("vote-0.json", made_up(3, 2), arm="vote", seed=0, settings=regime)
        text, picture = pages.page(directory, "real", regime)
        assert "| vote | 0 | 25.0 % → 75.0 % |" in text, text
        assert "So pass@1 ends above it, and held-out pass@1 rises. Not here yet: the vote with seed 1 and 2." in text
        assert "`2 ¦ '2'`" in text and "(empty)" in text
        assert picture.count("<title>") == 2, "one line per run and chart"
        # A run that does not gain is reported as such.
        write("vote-1.json", made_up(1, 2), arm="vote", seed=1, settings=regime)
        write("random-1.json", made_up(3, 2), arm="random", seed=1, settings=regime)
        text, _ = pages.page(directory, "real", regime)
        assert "does not end above it in every run" in text and "**no** (1 of 2 seeds)" in text
        assert "| 25.0 % → 75.0 % | **no** (0 of 1 seeds) |" in text, "random rewards that help"
        # An adapter is compared with all weights of the same seed.
        write("lora-0.json", made_up(2, 2), arm="lora", seed=0, settings=regime)
        text, _ = pages.page(directory, "real", regime)
        assert "| −25.0; curves 25.0 apart | – | **no** (0 of 1 seeds) |" in text, text
        # Tries are listed with what differs.
        write("tries/base.json", made_up(1))
        write("tries/slow-0.json", made_up(2, 2), arm="vote", seed=0, settings=regime | {"steps": "9"})
        text, _ = pages.page(directory, "real", regime)
        assert "| slow-0 | `vote --steps 9` | 2 | 25.0 % → 50.0 % |" in text
        # Results that do not belong together are refused.
        write("truth-0.json", made_up(3, 2), arm="truth", seed=0, settings=regime | {"steps": "3"})
        assert "different settings" in refused()
        write("truth-0.json", made_up(3, 2), arm="truth", seed=0, settings=regime, model="other")
        assert "do not belong together: model" in refused()


def main():
    check_questions()
    check_page()
    print("scripts/real-model: the questions and the page are as they should be")
