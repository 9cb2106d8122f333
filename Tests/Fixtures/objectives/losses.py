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


def clipped(case, policy, worth):
    rows = []
    for logprob, sequence, a in zip(policy, sequences, worth):
        ratio = torch.exp(logprob - sequence["recorded"])
        row = torch.maximum(-a * ratio, -a * ratio.clamp(1 - case["clip_low"], 1 + case["clip_high"]))
        rows.append(torch.where(a < 0, torch.minimum(row, -a * case["dual_clip"]), row))
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


def awr_weights(case):
    """AWR, arXiv 1910.00177, equation 4, with the bound of its implementation."""
    return [torch.exp(a / case["awr_temperature"]).clamp(max=case["awr_cap"]) for a in base["advantages"](case)]


def likelihood(policy, worth):
    return [-a * logprob for a, logprob in zip(worth, policy)]


VALUES = [base["rounded"](torch.randn(length, generator=base["generator"])) for length in LENGTHS]
OLD_VALUES = [base["rounded"](value + 0.6 * torch.randn(len(value), generator=base["generator"])) for value in VALUES]


def critic_advantages(case):
    """GAE, arXiv 1506.02438, equation 16, as a sum of later errors; the returns; whitened over all tokens."""
    advantages, returns = [], []
    for sequence, reward, old, length in zip(sequences, REWARDS, OLD_VALUES, LENGTHS):
        rewards = torch.zeros(length)
        if case["kl_in"] == "reward":
            rewards -= case["kl_coefficient"] * base["kl"](
                case["kl_estimator"], sequence["recorded"], sequence["reference"])
        rewards[-1] += reward
        following = torch.cat([old[1:], torch.zeros(1)])
        errors = rewards + case["gamma"] * following - old
        rate = case["gamma"] * case["lambda"]
        advantages.append(torch.stack([
            sum(rate ** (later - place) * errors[later] for later in range(place, length)) for place in range(length)]))
        returns.append(advantages[-1] + old)
    return base["whiten"](advantages), returns


def critic_slopes(case, returns):
    """The clipped loss of the values, by automatic differentiation."""
    values = [value.clone().requires_grad_() for value in VALUES]
    rows = []
    for value, old, target in zip(values, OLD_VALUES, returns):
        clipped = torch.clamp(value, old - case["value_clip"], old + case["value_clip"])
        rows.append(0.5 * torch.maximum((value - target) ** 2, (clipped - target) ** 2))
    torch.cat(rows).mean().backward()
    return [value.grad for value in values]


def sums_to_end(row):
    return row.flip(0).cumsum(0).flip(0)


def prime_advantages(case):
    """PRIME, arXiv 2502.01456: implicit process rewards of VALUES, taken as the critic's log-probabilities."""
    process = []
    for sequence, critic in zip(sequences, VALUES):
        row = 0.05 * (critic - sequence["reference"])
        row[-1] = 0
        process.append(row)
    largest = torch.cat([sums_to_end(row).abs() for row in process]).max() + 1e-6
    process = [row / largest for row in process]
    rows = []
    for index, (row, group) in enumerate(zip(process, GROUPS)):
        mates = [i for i, g in enumerate(GROUPS) if g == group]
        n = len(mates)
        total = 5 * (row * n / (n - 1) - sum(process[i].mean() for i in mates) / (n - 1))
        total[-1] += 5 * (REWARDS[index] * n / (n - 1) - sum(REWARDS[i] for i in mates) / (n - 1))
        rows.append(sums_to_end(total))
    return base["whiten"](rows)


def prime_slopes():
    """The cross-entropy of the critic's guesses, by automatic differentiation; per token of its log-probabilities."""
    critics = [value.clone().requires_grad_() for value in VALUES]
    guesses = torch.stack(
        [torch.sigmoid(0.05 * (critic - s["reference"]).sum()) for critic, s in zip(critics, sequences)])
    target = torch.tensor([float(reward) for reward in REWARDS])
    torch.nn.functional.binary_cross_entropy(guesses, target).backward()
    return [critic.grad for critic in critics]


def mean(case, rows):
    return {
        "token-mean": lambda: torch.cat(rows).mean(),
        "sequence-mean": lambda: torch.stack([row.mean() for row in rows]).mean(),
        "fixed-length": lambda: torch.stack([row.sum() / base["TOKENS_MAX"] for row in rows]).mean(),
    }[case["denominator"]]()


def case(**changes):
    case = {"objective": "gspo", "nft_prompt_weight": "dr-grpo", "advantage": "grpo", "denominator": "token-mean",
            "kl_coefficient": 0.0, "kl_estimator": "k3", "kl_in": "loss", "clip_low": 0.2, "clip_high": 0.2,
            "dual_clip": 3.0, "gamma": 1.0, "lambda": 1.0, "value_clip": 0.5} | changes
    policy = [sequence["logprobs"].clone().requires_grad_() for sequence in sequences]
    extra = {}
    tidy = lambda rows: [[round(x, 9) for x in row.tolist()] for row in rows]
    if case["objective"] == "nft":
        worth = nft_weights(case)
        rows = nft(case, policy, worth)
    elif case["objective"] == "gspo":
        worth = base["advantages"](case)
        rows = gspo(case, policy, worth)
    elif case["objective"] == "sft":
        worth = [torch.ones(length) for length in LENGTHS]
        rows = likelihood(policy, worth)
    elif case["objective"] == "awr":
        worth = awr_weights(case)
        rows = likelihood(policy, worth)
    elif case["objective"] == "prime":
        worth = prime_advantages(case)
        extra = {"value_slopes": tidy(prime_slopes())}
        rows = clipped(case, policy, worth)
    else:
        worth, returns = critic_advantages(case)
        extra = {"returns": tidy(returns), "value_slopes": tidy(critic_slopes(case, returns))}
        rows = clipped(case, policy, worth)
    if case["kl_coefficient"] > 0 and case["kl_in"] == "loss":
        rows = [row + case["kl_coefficient"] * base["kl"](case["kl_estimator"], logprob, sequence["reference"])
                for row, logprob, sequence in zip(rows, policy, sequences)]
    value = mean(case, rows)
    value.backward()
    return case | extra | {"loss": round(value.item(), 9), "advantages": tidy(worth), "slopes": tidy([p.grad for p in policy])}


cases = [
    case(), case(denominator="sequence-mean"), case(clip_low=0.0003, clip_high=0.0004, denominator="sequence-mean"),
    case(advantage="dr-grpo", clip_low=0.05, clip_high=0.1, kl_coefficient=0.3),
    case(clip_low=0.9, clip_high=2.0),
]
cases += [case(objective="nft", nft_prompt_weight=name) for name in ["one", "dr-grpo", "grpo"]]
cases += [case(objective="nft", denominator="fixed-length", kl_coefficient=0.3)]
cases += [
    case(objective="ppo"), case(objective="ppo", gamma=0.9, **{"lambda": 0.7}),
    case(objective="ppo", value_clip=0.1, kl_coefficient=0.3, kl_in="reward", kl_estimator="k1"),
    case(objective="ppo", denominator="sequence-mean", kl_coefficient=0.3),
    case(objective="prime"), case(objective="prime", kl_coefficient=0.3, denominator="sequence-mean"),
]
given = {"awr_temperature": 1.0, "awr_cap": 20.0}
cases += [case(objective="sft", denominator=name) for name in ["token-mean", "sequence-mean", "fixed-length"]]
cases += [
    case(objective="awr", **given), case(objective="awr", advantage="rloo", denominator="sequence-mean", **given),
    case(objective="awr", advantage="dr-grpo", **(given | {"awr_temperature": 0.25})),
    case(objective="awr", **(given | {"awr_temperature": 0.5, "awr_cap": 2.0})),
]
batch = [{"group": g, "reward": r, "values": v.tolist(), "old_values": o.tolist()}
         | {k: [float(x) for x in row] for k, row in s.items()}
         for g, r, s, v, o in zip(GROUPS, REWARDS, sequences, VALUES, OLD_VALUES)]
print("{\"max_new_tokens\": %d, \"sequences\": [\n%s],\n\"cases\": [\n%s]}" % (
    base["TOKENS_MAX"], ",\n".join(json.dumps(x) for x in batch), ",\n".join(json.dumps(x) for x in cases)))
