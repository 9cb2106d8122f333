#!/usr/bin/env python3
"""Makes LoRA adapters of small models, and the gradients that PyTorch and PEFT compute with them, for PEFTTests.

    python make.py [NAME ...]      # needs torch, transformers, peft and safetensors; writes into this folder

For each: base/config.json and base/model.safetensors (random, float32, as transformers saves them), adapter_config.json
and adapter_model.safetensors (as peft saves them, B not zero), gradients.safetensors (d loss / d A and d loss / d B,
computed in float64 and rounded to float32 once, with the names of adapter_model.safetensors), and cases.json: the
sequences, the loss's coefficients and the log-probabilities. The loss is the sum over response tokens of coefficient
times log-probability.
"""
import json
import os
import random
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import (
    LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3_5ForCausalLM,
    Qwen3_5TextConfig, Qwen3Config, Qwen3ForCausalLM)

COMMON = dict(
    vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64)
LORA = dict(task_type="CAUSAL_LM", lora_dropout=0.0)
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = {
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(
        **COMMON, rope_theta=1000.0, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False),
        LoraConfig(**LORA, r=4, lora_alpha=6, target_modules=LINEAR)),
    # Some linear layers only, and a scale of alpha / sqrt(rank).
    "llama": (LlamaForCausalLM, LlamaConfig(
        **COMMON, rms_norm_eps=1e-5, tie_word_embeddings=False, rope_theta=500.0),
        LoraConfig(**LORA, r=3, lora_alpha=5, use_rslora=True, target_modules=["v_proj", "o_proj", "up_proj"])),
    # peft writes the full name of every linear layer.
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(
        **COMMON, head_dim=8, rope_theta=1000.0, rms_norm_eps=1e-6, tie_word_embeddings=True),
        LoraConfig(**LORA, r=18, lora_alpha=32, target_modules="all-linear")),
    # Files have q, k and v as one, and gate and up.
    "phi3": (Phi3ForCausalLM, Phi3Config(
        **{**COMMON, "hidden_size": 32}, bos_token_id=1, eos_token_id=2, pad_token_id=None,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=1.0)),
        LoraConfig(**LORA, r=2, lora_alpha=4, target_modules=["qkv_proj", "o_proj", "gate_up_proj", "down_proj"])),
    "qwen3_5_text": (Qwen3_5ForCausalLM, Qwen3_5TextConfig(
        **COMMON, head_dim=12, rms_norm_eps=1e-6, tie_word_embeddings=True,
        layer_types=["linear_attention", "full_attention"], linear_num_key_heads=2, linear_num_value_heads=4,
        linear_key_head_dim=6, linear_value_head_dim=18,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.5)),
        LoraConfig(**LORA, r=4, lora_alpha=4, target_modules=LINEAR + [
            "in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj"])),
}
VECTORS = {"A_log": (-2.0, 0.7), "dt_bias": (-0.5, 0.5)}


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


def make(name, kind, config, lora):
    torch.manual_seed(7)
    model = kind(config)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            # Norms and biases away from 1 and 0, so that nothing is hidden by them.
            usual = (1.0 if parameter.ndim == 1 else 0.0, 0.3)
            parameter.normal_(*VECTORS.get(key.rpartition(".")[2], usual))
    shutil.rmtree(name, ignore_errors=True)
    model.save_pretrained(f"{name}/base")
    adapted = get_peft_model(model, lora)
    adapted.peft_config["default"].base_model_name_or_path = "base"
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_" in key:
                parameter.normal_(0.0, 0.2)
    adapted.save_pretrained(name)
    os.remove(f"{name}/README.md")
    os.remove(f"{name}/base/generation_config.json")
    double = adapted.double()
    double.eval()
    written = []
    loss = 0
    for case in cases():
        values = logprobs(double, case)
        loss = loss + (torch.tensor(case["coefficients"], dtype=torch.float64) * values).sum()
        written.append(dict(case, logprobs=values.tolist()))
    loss.backward()
    gradients = {
        key.replace(".default.", "."): value.grad.float()
        for key, value in double.named_parameters() if value.requires_grad}
    save_file(gradients, f"{name}/gradients.safetensors")
    with open(f"{name}/cases.json", "w") as file:
        json.dump(written, file)


os.chdir(os.path.dirname(os.path.abspath(__file__)))
for chosen in sys.argv[1:] or ADAPTERS:
    make(chosen, *ADAPTERS[chosen])
