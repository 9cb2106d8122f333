"""What the makers of gradients share: small shapes, random weights, sequences, and the loss.

The loss is the sum over response tokens of coefficient times log-probability, computed in float64.
"""
import json
import random

import torch

COMMON = dict(
    vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64)
# Away from what they begin with; the heads forget slowly enough that the first token matters for the last one.
VECTORS = {"A_log": (-2.0, 0.7), "dt_bias": (-0.5, 0.5)}


def randomize(model):
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            # Norms and biases away from 1 and 0, so that nothing is hidden by them.
            usual = (1.0 if parameter.ndim == 1 else 0.0, 0.3)
            parameter.normal_(*VECTORS.get(key.rpartition(".")[2], usual))


def cases():
    """Two groups: one whose prompt ends within a page of 16 positions, one that fills it."""
    draw = random.Random(1)
    tokens = lambda count: [draw.randrange(COMMON["vocab_size"]) for _ in range(count)]
    prompts = [tokens(5), tokens(16)]
    return [
        dict(group=group, prompt=prompts[group], response=tokens(length),
             coefficients=[draw.randrange(-16, 17) / 16 for _ in range(length)])
        for group, length in ((0, 7), (0, 1), (0, 14), (1, 20), (1, 3))]


def logprobs(model, case):
    ids = torch.tensor([case["prompt"] + case["response"]])
    rows = torch.log_softmax(model(input_ids=ids).logits[0, :-1], -1)
    start = len(case["prompt"]) - 1
    return rows[start:].gather(-1, ids[0, start + 1:, None])[:, 0]


def backward(model, path):
    """Gives the model's parameters their gradients, and writes the cases."""
    written = []
    loss = 0
    for case in cases():
        values = logprobs(model, case)
        loss = loss + (torch.tensor(case["coefficients"], dtype=torch.float64) * values).sum()
        written.append(dict(case, logprobs=values.tolist()))
    loss.backward()
    with open(path, "w") as file:
        json.dump(written, file)
