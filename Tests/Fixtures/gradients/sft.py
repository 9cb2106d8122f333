#!/usr/bin/env python3
"""Makes qwen2/sft.json: supervised fine-tuning of the model in qwen2/, by transformers' own loss of labels.

    python sft.py        # needs torch and transformers; reads and writes this folder

The prompts' labels are -100, so that the loss is the mean over all response tokens of -log p. Every conversation is
computed alone, in float64 up to the logits, whose loss transformers computes in float32. For each parameter there are the
norm of its gradient and its first values.
"""
import json
import os

import torch
from transformers import Qwen2ForCausalLM

from common import cases

os.chdir(os.path.dirname(os.path.abspath(__file__)))
model = Qwen2ForCausalLM.from_pretrained("qwen2", dtype=torch.float32).double()
tokens = sum(len(case["response"]) for case in cases())
loss = 0
for case in cases():
    ids = torch.tensor([case["prompt"] + case["response"]])
    labels = torch.tensor([[-100] * len(case["prompt"]) + case["response"]])
    loss = loss + model(input_ids=ids, labels=labels).loss * len(case["response"]) / tokens
loss.backward()
with open("qwen2/sft.json", "w") as file:
    json.dump({
        "loss": loss.item(),
        "gradients": {
            key: {"norm": value.grad.norm().item(), "first": value.grad.flatten()[:4].tolist()}
            for key, value in model.named_parameters()}
    }, file, indent=1)
    file.write("\n")
