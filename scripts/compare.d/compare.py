"""Measures ttrl and the usual software and writes a page of tables. scripts/compare calls it; --help says how.

Every configuration runs as a separate process, which warms up and measures once. All run once. Then the best
configuration of each tool and all of ttrl's run again, in turns, so that slow changes of the machine affect all of
them. The median counts. Raw lines are appended to a file per kind of processor, docs/speed/KIND.jsonl, and the page is
made from all these files: a campaign can be interrupted and continued, and kinds of processors are kept side by side.
Of ttrl, only the lines of the commit that was measured last count.
"""
import argparse
import datetime
import json
import os
import shlex
import statistics
import subprocess
import sys

import shapes

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TTRL = f"{ROOT}/.build/release/ttrl-dev"
# What is measured, and its unit.
WORKS = [
    ("sampling", "Sampling, new tokens/s"),
    ("training", "Training, tokens/s, prompts included"),
    ("step", "A whole step, responses/s"),
]


def configurations(shape, path, threads):
    """(work, tool, configuration, command) for everything that is measured on a shape."""
    prompts, samples, prompt_tokens, new_tokens = shapes.ROLLOUT[shape]
    amount = f"--prompts {prompts} --samples {samples} --prompt-tokens {prompt_tokens}"
    sequences, train_prompt, train_new = shapes.TRAINING[shape]
    python = shlex.quote(sys.executable)

    def script(name, dtype, more=""):
        rollout = f"{amount} --new-tokens {new_tokens}"
        train = f"--sequences {sequences} --prompt-tokens {train_prompt} --new-tokens {train_new}"
        return (f"{python} {HERE}/{name}.py {path} --threads {threads} --dtype {dtype} "
                f"{train if name == 'train' else rollout} {more}")

    def own(name, dtype, amount):
        return f"{TTRL} bench {name} --json --runs 1 --model {path} --threads {threads} --dtype {dtype} {amount}"

    for dtype in ("float32", "bfloat16"):
        yield "sampling", "ttrl", dtype, own("rollout", dtype, f"{amount} --max-new-tokens {new_tokens}")
        train = f"--samples 1 --prompt-tokens {train_prompt} --max-new-tokens {train_new}"
        yield "training", "ttrl", dtype, own("learner", dtype, f"--prompts {sequences} {train}")
        for cache in ("shared", "static") + (("dynamic",) if shape == "tiny" else ()):
            yield "sampling", "transformers", f"{dtype}, {cache} cache", script("generate", dtype, f"--cache {cache}")
        yield "sampling", "PyTorch loop", dtype, script("loop", dtype)
        yield "sampling", "llama.cpp", dtype, script("llama", dtype)
        yield "training", "PyTorch", dtype, script("train", dtype)
    yield "sampling", "llama.cpp", "float16", script("llama", "float16")
    yield "training", "PyTorch", "amp", script("train", "amp")
    if shape == "smollm2-135m":
        model = subprocess.run(
            [sys.executable, f"{ROOT}/scripts/real-model", "fetch", "--work", os.path.dirname(path)],
            stdout=subprocess.PIPE, text=True).stdout.strip()
        step = f"{python} {HERE}/step.py {model} --threads {threads}"
        for dtype in ("float32", "bfloat16"):
            yield "step", "ttrl", dtype, f"{step} --tool ttrl --program {ROOT}/.build/release/ttrl --dtype {dtype}"
        for dtype in ("float32", "amp", "bfloat16"):
            yield "step", "TRL", dtype, f"{step} --tool trl --steps 2 --dtype {dtype}"
    if shape == "small":
        yield "training", "PyTorch", "float32, 4 at a time", script("train", "float32", "--micro 4")
        growth = f"{TTRL} bench growth --json --runs 3 --model small --threads {threads} --dtype"
        yield "growth", "ttrl", "float32", f"{growth} float32"


def measure(entry, shape, options):
    work, tool, configuration, command = entry
    line = dict(
        shape=shape, work=work, tool=tool, configuration=configuration, time=datetime.date.today().isoformat(),
        processor=processor(), threads=options.threads)
    line |= {"commit": commit()} if tool == "ttrl" else {"versions": versions()}
    try:
        done = subprocess.run(
            options.wrap + shlex.split(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            cwd=ROOT, timeout=options.limit)
        line.update(json.loads(done.stdout.strip().splitlines()[-1]))
        # Not the place where this machine keeps it.
        if "model" in line:
            line["model"] = os.path.basename(line["model"])
    except subprocess.TimeoutExpired:
        line.update(error=f"not finished after {options.limit} s")
    except (ValueError, IndexError):
        line.update(error=(done.stderr or done.stdout).strip()[-300:])
    print(f"{shape} {work} {tool} {configuration}: {line.get('value', line.get('error'))}", file=sys.stderr, flush=True)
    with open(options.raw, "a") as file:
        file.write(json.dumps(line) + "\n")


def lines_of(raw):
    return [json.loads(text) for text in open(raw)] if os.path.exists(raw) else []


def read(raw, own=None):
    """Measured lines by (shape, work, tool, configuration), in the order of the file; failures separately. Of ttrl, only
    those of the commit `own`; without it, of the newest."""
    lines, found, failed = lines_of(raw), {}, {}
    own = own or next((line["commit"] for line in reversed(lines) if line["tool"] == "ttrl"), None)
    for line in lines:
        if line.get("commit", own) != own:
            continue
        key = tuple(line[name] for name in ("shape", "work", "tool", "configuration"))
        if "error" in line:
            failed[key] = line["error"]
        else:
            failed.pop(key, None)
            found.setdefault(key, []).append(line)
    return found, failed


def value(lines):
    return statistics.median(line["value"] for line in lines)


def best(found, shape, work, tool):
    keys = [key for key in found if key[:3] == (shape, work, tool)]
    return max(keys, key=lambda key: value(found[key]), default=None)


def is_measured(entry, shape, found, options):
    """Whether an entry belongs to the campaign. A step of TRL takes many minutes, so it is measured only in the data
    type in which PyTorch, which it trains with, was fastest alone, and only once."""
    work, tool, configuration, _ = entry
    if options.only and tool not in options.only:
        return False
    alone = best(found, shape, "training", "PyTorch")
    return tool != "TRL" or not alone or alone[3].split(",")[0] == configuration


def campaign(options):
    for shape in options.shapes:
        # In another process: the peak memory of this one would count in every child's peak.
        made = subprocess.run(
            [sys.executable, os.path.join(HERE, "shapes.py"), options.models, shape], stdout=subprocess.PIPE,
            text=True, check=True)
        path = made.stdout.split()[-1]
        entries = list(configurations(shape, path, options.threads))
        for entry in entries:
            key = (shape, *entry[:3])
            found, failed = read(options.raw, commit())
            if key not in found and key not in failed and is_measured(entry, shape, found, options):
                measure(entry, shape, options)
        # A campaign that goes on does not repeat the rounds that it has.
        for done in range(1, options.rounds):
            found, failed = read(options.raw, commit())
            for entry in entries:
                work, tool, configuration, _ = entry
                key = (shape, work, tool, configuration)
                if key in failed or work == "growth" or tool == "TRL" or len(found.get(key, [])) > done:
                    continue
                if tool == "ttrl" or key == best(found, shape, work, tool):
                    if is_measured(entry, shape, found, options):
                        measure(entry, shape, options)


def page():
    raws = {kind: f"{ROOT}/docs/speed/{kind}.jsonl" for kind in KINDS}
    raws = {kind: raw for kind, raw in raws.items() if os.path.exists(raw)}
    lines = ["Written by `scripts/compare` from its own measurements, which are in `docs/speed/`; no number here was "
             "typed by hand. ttrl's speed divided by the best other tool's, each in its best configuration:", "",
             "| | " + " | ".join(KINDS[kind] for kind in raws) + " |", "|---|" + "---:|" * len(raws)]
    for work, title in WORKS:
        for shape in shapes.SHAPES:
            cells = [ratio(read(raw)[0], shape, work) for raw in raws.values()]
            if any(cells):
                lines.append(f"| {title.split(',')[0].lower()}, `{shape}` | " + " | ".join(cells) + " |")
    for kind, raw in raws.items():
        lines += ["", f"## {KINDS[kind]}", ""] + section(raw)
    return "\n".join(lines) + "\n"


def ratio(found, shape, work):
    tools = {key[2] for key in found if key[:2] == (shape, work)}
    if "ttrl" not in tools or len(tools) < 2:
        return ""
    speeds = {tool: value(found[best(found, shape, work, tool)]) for tool in tools}
    return f"{speeds.pop('ttrl') / max(speeds.values()):.2f}×"


def section(raw):
    """Everything that was measured on one kind of processor."""
    found, failed = read(raw)
    names = [shape for shape in shapes.SHAPES if any(key[0] == shape for key in found)]
    counted = [line for measured in found.values() for line in measured]
    last = {name: next((line[name] for line in reversed(counted) if name in line), "unknown")
            for name in ("processor", "threads", "commit", "versions")}
    times = sorted(line["time"] for line in counted)
    lines = [f"{last['threads']} threads on {last['processor']}, {times[0]} to {times[-1]}; ttrl {last['commit']}; "
             f"{last['versions']}."]
    for work, title in WORKS:
        if not any(key[1] == work for key in found):
            continue
        lines += ["", f"### {title}", "",
                  "| shape | tool | configuration | median | runs | peak memory | ttrl's best / this |",
                  "|---|---|---|---:|---:|---:|---:|"]
        for shape in names:
            own = best(found, shape, work, "ttrl")
            keys = [key for key in found if key[:2] == (shape, work)]
            for key in sorted(keys, key=lambda key: -value(found[key])):
                other = f"{value(found[own]) / value(found[key]):.2f}×" if own and key[2] != "ttrl" else ""
                peaks = [line["peak_bytes"] for line in found[key] if line["peak_bytes"]]
                peak = f"{statistics.median(peaks) / 1e6:,.0f} MB" if peaks else ""
                speed = value(found[key])
                lines.append(
                    f"| {shape} | {key[2]} | {key[3]} | {speed:,.{0 if speed >= 20 else 1}f} | {len(found[key])} "
                    f"| {peak} | {other} |")
    lines += ["", "### ttrl beside its ceilings", "",
              "The ceiling is the speed that matrix products alone would allow: oneDNN's products of exactly the "
              "same sizes, measured in the same run.",
              "", "| shape | work | dtype | tokens/s | ceiling | share | multiply-add peak, GFLOP/s | memory, GB/s |",
              "|---|---|---|---:|---:|---:|---:|---:|"]
    for key, runs in found.items():
        if key[2] != "ttrl" or key[1] not in ("sampling", "training"):
            continue
        middle = sorted(runs, key=lambda line: line["value"])[len(runs) // 2]
        limits = middle["limits"]
        lines.append(
            f"| {key[0]} | {key[1]} | {key[3]} | {middle['value']:,.0f} | {middle['ceiling']:,.0f} | "
            f"{100 * middle['share']:.0f} % | {limits['fma_float32_gflops']:.0f} | "
            f"{limits['memory_gigabytes_per_second']:.1f} |")
    for key in [key for key in found if key[1] == "growth"]:
        lines += ["", f"### Growth: {key[0]}, {key[3]}, decoding only, new tokens/s", ""] + growth(found[key][-1])
    for key, error in failed.items():
        lines += ["", f"Not measured: {' '.join(key)}: {error.splitlines()[-1] if error else 'no output'}"]
    return lines


def growth(line):
    """Rates by samples and context; line is what `ttrl-dev bench growth` prints."""
    rates = {tuple(int(part) for part in name.split("x")): rate for name, rate in line["limits"].items()}
    contexts = sorted({context for _, context in rates})
    rows = ["| samples | " + " | ".join(f"context {context:,}" for context in contexts) + " |",
            "|---:|" + "---:|" * len(contexts)]
    for samples in sorted({samples for samples, _ in rates}):
        rows.append(f"| {samples} | " + " | ".join(f"{rates[samples, c]:,.0f}" for c in contexts) + " |")
    return rows


KINDS = {
    "amx": "AMX (Intel)",
    "zen4": "AVX-512 with bfloat16 (AMD)",
    "avx512_bf16": "AVX-512 with bfloat16 (Intel without AMX)",
    "avx512": "AVX-512",
    "avx2": "AVX2",
}


def kind():
    """The kind of this processor: what matters for the speed of products."""
    info = open("/proc/cpuinfo").read()
    flags = info.split("flags")[1].split("\n")[0].split()
    if "amx_bf16" in flags:
        return "amx"
    if "avx512_bf16" in flags:
        return "zen4" if "AuthenticAMD" in info else "avx512_bf16"
    return "avx512" if "avx512f" in flags else "avx2"


def processor():
    return open("/proc/cpuinfo").read().split("model name")[1].split(":")[1].split("\n")[0].strip()


def commit():
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], stdout=subprocess.PIPE, text=True).stdout.strip()

    changes = git("status", "--porcelain", "--", "Sources", "Package.swift")
    return git("rev-parse", "--short=12", "HEAD") + (" with changes" if changes else "")


def versions():
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in ("torch", "transformers", "trl", "cyllama"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            pass
    return ", ".join(found)


def main():
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "ttrl-compare")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=list(shapes.SHAPES))
    parser.add_argument("--models", default=cache, help="where checkpoints are made and kept")
    parser.add_argument("--raw", default=f"{ROOT}/docs/speed/{kind()}.jsonl", help="where measurements are appended")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", action="append", help="measure this tool only; can be repeated")
    parser.add_argument("--wrap", type=shlex.split, default=[], help="a command under which every measurement runs")
    parser.add_argument("--limit", type=int, default=600, help="seconds after which a measurement is stopped")
    parser.add_argument("--page", help="write the tables between the markers in this file, and measure nothing")
    options = parser.parse_args()
    os.makedirs(options.models, exist_ok=True)
    os.makedirs(os.path.dirname(os.path.abspath(options.raw)), exist_ok=True)
    if not options.page:
        return campaign(options)
    begin, end = "<!-- compare: begin -->\n", "<!-- compare: end -->\n"
    text = open(options.page).read()
    before, rest = text.split(begin)
    open(options.page, "w").write(before + begin + page() + end + rest.split(end)[1])


main()
