#!/usr/bin/env python3
"""Makes a tiny Qwen3.5 with random weights, as its makers publish it, and what transformers computes with it.

    python qwen3_5.py        # needs torch, transformers and safetensors; writes into qwen3_5/

The checkpoint is a model that sees pictures (Qwen3_5ForConditionalGeneration) in bfloat16, with a vision part and a
tensor of the multi-token prediction head. expected.jsonl has, per line: ids, the log-probabilities of ids[1:] in
float32 (natural log, normalised in float64), and the next 12 greedy tokens.
"""
import json
import os

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Qwen3_5Config, Qwen3_5ForConditionalGeneration

TEXT = dict(
    vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=2,
    num_key_value_heads=1, head_dim=32, max_position_embeddings=512, linear_num_key_heads=2, linear_num_value_heads=4,
    linear_key_head_dim=12, linear_value_head_dim=20, rms_norm_eps=1e-6, tie_word_embeddings=True,
    rope_parameters=dict(
        rope_type="default", rope_theta=10000000.0, partial_rotary_factor=0.25, mrope_section=[2, 1, 1],
        mrope_interleaved=True))
VISION = dict(
    depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=32, num_position_embeddings=4,
    patch_size=2)
DEVIATIONS = {"A_log": (-2.0, 0.7), "dt_bias": (-0.5, 0.5), "linear_attn.norm.weight": (1.0, 0.2)}


def deviation(name, parameter):
    for end, values in DEVIATIONS.items():
        if name.endswith(end):
            return values
    return (0.0, 0.2)


def expected(model, count):
    ids = torch.randint(0, TEXT["vocab_size"], (1, count))
    with torch.no_grad():
        rows = torch.log_softmax(model(ids).logits[0, :-1].double(), -1)
        greedy = model.generate(ids, do_sample=False, max_new_tokens=12, min_new_tokens=12, pad_token_id=0)[0, count:]
    logprobs = rows.gather(-1, ids[0, 1:, None])[:, 0]
    return dict(ids=ids[0].tolist(), logprobs=logprobs.tolist(), greedy_next=greedy.tolist())


torch.manual_seed(3)
directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), "qwen3_5")
model = Qwen3_5ForConditionalGeneration(Qwen3_5Config(text_config=TEXT, vision_config=VISION, tie_word_embeddings=True))
with torch.no_grad():
    for name, parameter in model.named_parameters():
        parameter.normal_(*deviation(name, parameter))
model.to(torch.bfloat16).save_pretrained(directory)
tensors = load_file(f"{directory}/model.safetensors")
tensors["mtp.fc.weight"] = torch.zeros(3, 3, dtype=torch.bfloat16)
save_file(tensors, f"{directory}/model.safetensors", metadata={"format": "pt"})
text = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
assert type(text).__name__ == "Qwen3_5ForCausalLM"
with open(f"{directory}/expected.jsonl", "w") as file:
    for count in (2, 5, 17, 64, 150):
        file.write(json.dumps(expected(text, count)) + "\n")
