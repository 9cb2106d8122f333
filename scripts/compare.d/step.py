"""One whole step of training on a real model: sampling, rewards, training, and the new weights where they are sampled.

    step.py MODEL --tool ttrl --program TTRL      `ttrl train` with one worker and one learner rank
    step.py MODEL --tool trl                      TRL's GRPOTrainer, which samples with transformers

Both read the same prompts, of about the same number of tokens, sample the same number of responses, and train on all of
them in one update. Rewards are random, because their values do not change the time. The first step warms up; the median
of the others counts. MODEL is a directory with weights and a tokenizer.
"""
import datetime
import glob
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import timing

a = timing.arguments(tool="ttrl", program="ttrl", steps=3, prompts=8, samples=32, prompt_tokens=130, new_tokens=40)
EXAMPLE = ("Question: Eva has 13 cups and gets 8 more. How many cups does Eva have now?\n"
           "Work: 13 + 8 = 21. The answer is 21.\n")


def prompts():
    """Different questions after as many worked examples as fill the prompt."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(a.checkpoint, "tokenizer.json"))
    question = "Question: Ben has {} cards and gets {} more. How many cards does Ben have now?\nWork:"
    rest = a.prompt_tokens - len(tokenizer.encode(question.format(12, 34)).ids)
    examples = max(rest // len(tokenizer.encode(EXAMPLE).ids), 0) * EXAMPLE
    return [examples + question.format(11 + index, 13 + index) for index in range(a.prompts * a.steps)]


def family(root):
    parents = {}
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            parents.setdefault(int(open(path).read().rsplit(")", 1)[1].split()[1]), []).append(int(path.split("/")[2]))
        except OSError:
            pass
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def memory_of(root, peak):
    """Keeps the most memory of a process and its descendants: the sum of their proportional sets."""
    while True:
        total = 0
        for pid in family(root):
            try:
                total += sum(int(line.split()[1]) * 1024 for line in open(f"/proc/{pid}/smaps_rollup")
                             if line.startswith("Pss:"))
            except OSError:
                pass
        peak[0] = max(peak[0], total)
        time.sleep(1)


def report(seconds, tokens, peak):
    """Prints responses per second of the middle step, its seconds, and how long responses were."""
    middle = statistics.median(seconds)
    print(json.dumps(dict(
        value=a.prompts * a.samples / middle, seconds=middle, response_tokens=statistics.mean(tokens),
        peak_bytes=peak)))


def with_ttrl(folder):
    data, run = os.path.join(folder, "data.jsonl"), os.path.join(folder, "run")
    with open(data, "w") as file:
        for number, prompt in enumerate(prompts()):
            file.write(json.dumps({"id": f"q{number}", "prompt": prompt}) + "\n")
    command = [
        a.program, "train", "--run", run, "--model", a.checkpoint, "--data", data, "--template", "{question}",
        "--dtype", a.dtype, "--steps", a.steps, "--prompts-per-step", a.prompts, "--votes", a.samples,
        "--train-samples", a.samples, "--mini-batch", a.prompts * a.samples, "--max-new-tokens", a.new_tokens,
        "--temperature", 1, "--top-p", 1, "--labels", "random", "--guard", "off", "--eval", "none", "--page", "none",
        "--checkpoint-every", 1000, "--workers", 1, "--learners", 1, "--threads", a.threads]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    peak = [0]
    threading.Thread(target=memory_of, args=(process.pid, peak), daemon=True).start()
    if process.wait():
        sys.exit(f"ttrl train ended with status {process.returncode}")
    # A step ends when its version is published, and the next begins with sampling from it.
    log = open(os.path.join(run, "logs", "coordinator.log")).read()
    ends = re.findall(r"time=(\S+)Z .*event=coordinator.published policy=", log)
    times = [datetime.datetime.fromisoformat(end).timestamp() for end in ends]
    steps = [json.loads(line) for line in open(os.path.join(run, "metrics.jsonl"))]
    steps = [line for line in steps if line["kind"] == "step"][1:]
    idle = [line["step"] for line in steps if not line["trained_tokens"]]
    if idle:
        sys.exit(f"nothing was trained in steps {idle}")
    report([end - begin for begin, end in zip(times, times[1:])], [line["response_length_mean"] for line in steps],
           peak[0])


def with_trl(folder):
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(a.threads)
    batch = a.prompts * a.samples
    at_a_time = min(batch, 32)
    ends, lengths = [], []

    class Clock(TrainerCallback):
        def on_step_end(self, *_, **__):
            ends.append(time.perf_counter())

        def on_log(self, _, __, ___, logs=None, **____):
            if logs and "completions/mean_length" in logs:
                lengths.append(logs["completions/mean_length"])

    def rewards(completions, **_):
        return [float(len(completion) % 2 == index % 2) for index, completion in enumerate(completions)]

    config = GRPOConfig(
        output_dir=folder, max_steps=a.steps, per_device_train_batch_size=at_a_time,
        gradient_accumulation_steps=batch // at_a_time, num_generations=a.samples, max_completion_length=a.new_tokens,
        temperature=1.0, beta=0.0, loss_type="grpo", learning_rate=1e-6, max_grad_norm=1.0, use_cpu=True,
        bf16=a.dtype == "amp", gradient_checkpointing=False, logging_steps=1, save_strategy="no", report_to="none",
        disable_tqdm=True)
    stored = torch.bfloat16 if a.dtype == "bfloat16" else torch.float32
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(a.checkpoint, dtype=stored), reward_funcs=rewards, args=config,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts()]),
        processing_class=AutoTokenizer.from_pretrained(a.checkpoint), callbacks=[Clock()])
    peak = [0]
    threading.Thread(target=memory_of, args=(os.getpid(), peak), daemon=True).start()
    trainer.train()
    report([end - begin for begin, end in zip(ends, ends[1:])], lengths[1:] or [a.new_tokens], peak[0])


with tempfile.TemporaryDirectory() as folder:
    (with_ttrl if a.tool == "ttrl" else with_trl)(folder)
