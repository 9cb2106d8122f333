"""Makes losses.json: the objectives other than the clipped surrogate, on the numbers of make.py.

    python losses.py > losses.json        # torch 2.x; written from the published formulas, in float64
"""

import contextlib
import io
import json
import pathlib
import runpy

import torch

with contextlib.redirect_stdout(io.StringIO()):
    base = runpy.run_path(str(pathlib.Path(__file__).with_name("make.py")))
sequences, GROUPS, REWARDS, LENGTHS = (base[name] for name in ("sequences", "GROUPS", "REWARDS", "LENGTHS"))


def gspo(case, policy, worth):
    """GSPO, arXiv 2507.18071, equations 5 to 7: one ratio per sequence, in the loss of each of its tokens."""
    rows = []
    for logprob, sequence, a in zip(policy, sequences, worth):
        ratio = torch.exp((logprob - sequence["recorded"]).mean()).expand(len(logprob))
        rows.append(torch.maximum(-a * ratio, -a * ratio.clamp(1 - case["clip_low"], 1 + case["clip_high"])))
    return rows


def share(group):
    rewards = [reward for reward, g in zip(REWARDS, GROUPS) if g == group]
    return sum(rewards) / len(rewards)


def nft_weights(case):
    rows = []
    for group, reward, length in zip(GROUPS, REWARDS, LENGTHS):
        q = min(max(share(group), 0.02), 0.98)
        weight = {"one": 1, "dr-grpo": 1 - q, "grpo": ((1 - q) / q) ** 0.5}[case["nft_prompt_weight"]]
        if share(group) in (0, 1):
            weight = 0
        rows.append(torch.full((length,), float(weight if reward else -weight)))
    return rows


def nft(case, policy, worth):
    """NFT, arXiv 2505.18116, equation 10, with the bound of its script: 1, straight-through beyond it."""
    rows = []
    for logprob, sequence, group, reward, a in zip(policy, sequences, GROUPS, REWARDS, worth):
        q = min(max(share(group), 0.02), 0.98)
        ratio = torch.exp((logprob - sequence["recorded"]).clamp(max=10))
        rest = (1 - q * ratio) / (1 - q)
        bounded = rest + (rest.clamp(min=1) - rest).detach()
        rows.append(a.abs() * -torch.log(ratio if reward else bounded))
    return rows


def mean(case, rows):
    return {
        "token-mean": lambda: torch.cat(rows).mean(),
        "sequence-mean": lambda: torch.stack([row.mean() for row in rows]).mean(),
        "fixed-length": lambda: torch.stack([row.sum() / base["TOKENS_MAX"] for row in rows]).mean(),
    }[case["denominator"]]()


def case(**changes):
    case = {"objective": "gspo", "nft_prompt_weight": "dr-grpo", "advantage": "grpo", "denominator": "token-mean",
            "kl_coefficient": 0.0, "kl_estimator": "k3", "kl_in": "loss", "clip_low": 0.2, "clip_high": 0.2,
            "dual_clip": 3.0} | changes
    policy = [sequence["logprobs"].clone().requires_grad_() for sequence in sequences]
    worth = nft_weights(case) if case["objective"] == "nft" else base["advantages"](case)
    rows = (nft if case["objective"] == "nft" else gspo)(case, policy, worth)
    if case["kl_coefficient"] > 0:
        rows = [row + case["kl_coefficient"] * base["kl"](case["kl_estimator"], logprob, sequence["reference"])
                for row, logprob, sequence in zip(rows, policy, sequences)]
    value = mean(case, rows)
    value.backward()
    tidy = lambda rows: [[round(x, 9) for x in row.tolist()] for row in rows]
    return case | {"loss": round(value.item(), 9), "advantages": tidy(worth), "slopes": tidy([p.grad for p in policy])}


cases = [
    case(), case(denominator="sequence-mean"), case(clip_low=0.0003, clip_high=0.0004, denominator="sequence-mean"),
    case(advantage="dr-grpo", clip_low=0.05, clip_high=0.1, kl_coefficient=0.3),
    case(clip_low=0.9, clip_high=2.0),
]
cases += [case(objective="nft", nft_prompt_weight=name) for name in ["one", "dr-grpo", "grpo"]]
cases += [case(objective="nft", denominator="fixed-length", kl_coefficient=0.3)]
batch = [{"group": g, "reward": r} | {k: [float(x) for x in v] for k, v in s.items()}
         for g, r, s in zip(GROUPS, REWARDS, sequences)]
print("{\"max_new_tokens\": %d, \"sequences\": [\n%s],\n\"cases\": [\n%s]}" % (
    base["TOKENS_MAX"], ",\n".join(json.dumps(x) for x in batch), ",\n".join(json.dumps(x) for x in cases)))
