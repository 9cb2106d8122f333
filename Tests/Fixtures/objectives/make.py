"""Makes objectives.json: the objective by PyTorch's automatic differentiation, on numbers that fit on a page.

    python make.py > objectives.json        # torch 2.x; written from the published formulas, in float64

A mini-batch of eight responses to three prompts. Policy, sampler and policy 0 have logits of their own; what is written
down are log-probabilities, and per case the advantages, the loss, and d loss / d logprob of every token.
"""

import json

import torch

torch.set_default_dtype(torch.float64)
generator = torch.Generator().manual_seed(4)
VOCABULARY, TEMPERATURE, TOKENS_MAX = 7, 0.8, 9
GROUPS = [0, 0, 0, 1, 1, 1, 2, 2]
LENGTHS = [3, 1, 4, 2, 2, 5, 1, 3]
REWARDS = [1, 0, 1, 0, 0, 1, 1, 1]


def logprobs(logits, tokens):
    return torch.log_softmax(logits / TEMPERATURE, -1).gather(-1, tokens[:, None])[:, 0]


def rounded(x):
    """Float32, so that both sides begin with the same numbers."""
    return x.to(torch.float32).to(torch.float64)


sequences = []
for length in LENGTHS:
    tokens = torch.randint(VOCABULARY, (length,), generator=generator)
    base = torch.randn(length, VOCABULARY, generator=generator)
    sampler = base + 0.5 * torch.randn(length, VOCABULARY, generator=generator)
    policy = sampler + 0.6 * torch.randn(length, VOCABULARY, generator=generator)
    sequences.append({k: rounded(logprobs(v, tokens)) for k, v in
                      {"logprobs": policy, "recorded": sampler, "reference": base}.items()})


def kl(name, logprob, reference):
    d = reference - logprob
    return {"k1": -d, "k2": d.square() / 2, "k3": (torch.exp(d) - d - 1).clamp(-10, 10)}[name]


def of_group(values, group):
    return torch.stack([v for v, g in zip(values, GROUPS) if g == group])


def whiten(rows):
    values = torch.cat(rows)
    scale = torch.rsqrt(values.var(correction=1) + 1e-8)
    return [(row - values.mean()) * scale for row in rows]


def advantages(case):
    rewards = []
    for sequence, reward, length in zip(sequences, REWARDS, LENGTHS):
        tokens = torch.zeros(length)
        if case["kl_in"] == "reward":
            tokens -= case["kl_coefficient"] * kl(case["kl_estimator"], sequence["recorded"], sequence["reference"])
        tokens[-1] += reward
        rewards.append(tokens)
    if case["advantage"] == "reinforce++":
        return whiten([row.flip(0).cumsum(0).flip(0) for row in rewards])
    scores = [row.sum() for row in rewards]
    values = []
    for index, (score, group) in enumerate(zip(scores, GROUPS)):
        mates = of_group(scores, group)
        others = torch.stack([s for i, s in enumerate(scores) if GROUPS[i] == group and i != index])
        values.append({
            "grpo": (score - mates.mean()) / (mates.std(correction=1) + 1e-6),
            "dr-grpo": score - mates.mean(),
            "rloo": score - others.mean(),
            "reinforce++-baseline": score - mates.mean(),
            "maxrl": (score - mates.mean()) / mates.mean(),
            "fixed": 2 * score - 1,
        }[case["advantage"]])
    rows = [value.repeat(length) for value, length in zip(values, LENGTHS)]
    return whiten(rows) if case["advantage"] == "reinforce++-baseline" else rows


def loss(case, policy, worth):
    rows = []
    for logprob, sequence, a in zip(policy, sequences, worth):
        ratio = torch.exp(logprob - sequence["recorded"])
        row = torch.maximum(-a * ratio, -a * ratio.clamp(1 - case["clip_low"], 1 + case["clip_high"]))
        if case["dual_clip"] > 0:
            row = torch.where(a < 0, torch.minimum(row, -a * case["dual_clip"]), row)
        if case["kl_in"] == "loss":
            row = row + case["kl_coefficient"] * kl(case["kl_estimator"], logprob, sequence["reference"])
        rows.append(row)
    size = 2
    return {
        "token-mean": lambda: torch.cat(rows).mean(),
        "micro-batch": lambda: torch.stack(
            [torch.cat(rows[i:i + size]).mean() for i in range(0, len(rows), size)]).mean(),
        "sequence-mean": lambda: torch.stack([row.mean() for row in rows]).mean(),
        "sequence-sum": lambda: torch.stack([row.sum() for row in rows]).mean(),
        "fixed-length": lambda: torch.stack([row.sum() / TOKENS_MAX for row in rows]).mean(),
    }[case["denominator"]]()


def case(**changes):
    case = {"advantage": "grpo", "denominator": "token-mean", "kl_coefficient": 0.0, "kl_estimator": "k3",
            "kl_in": "loss", "clip_low": 0.2, "clip_high": 0.2, "dual_clip": 3.0} | changes
    policy = [sequence["logprobs"].clone().requires_grad_() for sequence in sequences]
    worth = advantages(case)
    value = loss(case, policy, worth)
    value.backward()
    tidy = lambda rows: [[round(x, 9) for x in row.tolist()] for row in rows]
    return case | {"loss": round(value.item(), 9), "advantages": tidy(worth), "slopes": tidy([p.grad for p in policy])}


cases = [case(advantage=name) for name in ["grpo", "dr-grpo", "rloo", "reinforce++", "reinforce++-baseline"]]
cases += [case(denominator=name) for name in ["micro-batch", "sequence-mean", "sequence-sum", "fixed-length"]]
cases += [case(kl_coefficient=0.3, kl_estimator=k, kl_in=where) for k in ["k1", "k2", "k3"]
          for where in ["loss", "reward"]]
cases += [
    case(advantage="reinforce++", kl_coefficient=0.3, kl_in="reward", kl_estimator="k1"),
    case(advantage="rloo", denominator="micro-batch", kl_coefficient=0.3),
    case(clip_low=0.1, clip_high=0.5, dual_clip=0.0),
    case(advantage="dr-grpo", clip_low=0.05, clip_high=0.05, dual_clip=1.1),
    case(advantage="maxrl"), case(advantage="fixed"),
]
batch = [{"group": g, "reward": r} | {k: [float(x) for x in v] for k, v in s.items()}
         for g, r, s in zip(GROUPS, REWARDS, sequences)]
print("{\"max_new_tokens\": %d, \"sequences\": [\n%s],\n\"cases\": [\n%s]}" % (
    TOKENS_MAX, ",\n".join(json.dumps(x) for x in batch), ",\n".join(json.dumps(x) for x in cases)))
