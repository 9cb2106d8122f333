#!/usr/bin/env python3
"""Makes LoRA adapters of small models, and the gradients that PyTorch and PEFT compute with them, for PEFTTests.

    python make.py [NAME ...]      # needs torch, transformers, peft and safetensors; writes into this folder

For each: base/config.json and base/model.safetensors (random, float32, as transformers saves them), adapter_config.json
and adapter_model.safetensors (as peft saves them, B not zero), gradients.safetensors (d loss / d A and d loss / d B,
computed in float64 and rounded to float32 once, with the names of adapter_model.safetensors), and cases.json: the
sequences, the loss's coefficients and the log-probabilities. The loss is the sum over response tokens of coefficient
times log-probability.
"""
import os
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import (
    LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3_5ForCausalLM,
    Qwen3_5TextConfig, Qwen3Config, Qwen3ForCausalLM)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "gradients"))
from common import COMMON, backward, randomize  # noqa: E402

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


def make(name, kind, config, lora):
    torch.manual_seed(7)
    model = kind(config)
    randomize(model)
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
    backward(double, f"{name}/cases.json")
    gradients = {
        key.replace(".default.", "."): value.grad.float()
        for key, value in double.named_parameters() if value.requires_grad}
    save_file(gradients, f"{name}/gradients.safetensors")


os.chdir(os.path.dirname(os.path.abspath(__file__)))
for chosen in sys.argv[1:] or ADAPTERS:
    make(chosen, *ADAPTERS[chosen])
