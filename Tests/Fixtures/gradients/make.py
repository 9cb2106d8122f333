#!/usr/bin/env python3
"""Makes the gradients that PyTorch computes for one small model of each family, for PyTorchGradientTests.

    python make.py [FAMILY ...]      # needs torch, transformers and safetensors; writes into this folder

For each family: config.json and model.safetensors (random, float32, as transformers saves them), gradients.safetensors
(d loss / d parameter, computed in float64 and rounded to float32 once), and cases.json: the sequences, the loss's
coefficients and the log-probabilities. The loss is the sum over response tokens of coefficient times log-probability.
"""
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import (
    Gemma3ForCausalLM, Gemma3TextConfig, GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM,
    Ministral3Config, Ministral3ForCausalLM, MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM,
    Olmo3Config, Olmo3ForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3_5ForCausalLM,
    Qwen3_5TextConfig, Qwen3Config, Qwen3ForCausalLM, SmolLM3Config, SmolLM3ForCausalLM)

from common import COMMON, backward, randomize

FAMILIES = {
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(
        **COMMON, rope_theta=1000.0, rms_norm_eps=1e-6, tie_word_embeddings=True, use_sliding_window=False)),
    "llama": (LlamaForCausalLM, LlamaConfig(
        **COMMON, rms_norm_eps=1e-5, tie_word_embeddings=False,
        rope_parameters=dict(
            rope_type="llama3", rope_theta=500.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=16))),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(
        **COMMON, head_dim=8, rope_theta=1000.0, rms_norm_eps=1e-6, tie_word_embeddings=True)),
    # Heads whose widths are no multiples of 16, and two value heads for each key head.
    "qwen3_5_text": (Qwen3_5ForCausalLM, Qwen3_5TextConfig(
        **{**COMMON, "num_hidden_layers": 3}, head_dim=12, rms_norm_eps=1e-6, tie_word_embeddings=True,
        layer_types=["linear_attention", "full_attention", "linear_attention"], linear_num_key_heads=2,
        linear_num_value_heads=4, linear_key_head_dim=6, linear_value_head_dim=18,
        rope_parameters=dict(rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.5))),
    # Windows within a page and over its end, in sequences of up to 36 tokens.
    "mistral": (MistralForCausalLM, MistralConfig(
        **COMMON, rms_norm_eps=1e-6, sliding_window=9, rope_parameters=dict(
            rope_type="linear", rope_theta=1000.0, factor=3.0))),
    "phi3": (Phi3ForCausalLM, Phi3Config(
        **{**COMMON, "hidden_size": 32}, sliding_window=20, bos_token_id=1, eos_token_id=2,
        pad_token_id=None, rope_parameters=dict(
            rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.5))),
    "smollm3": (SmolLM3ForCausalLM, SmolLM3Config(
        **{**COMMON, "num_hidden_layers": 3}, bos_token_id=1, eos_token_id=2, pad_token_id=None, no_rope_layers=[0, 1, 0], use_sliding_window=True,
        sliding_window=7, layer_types=["sliding_attention", "sliding_attention", "full_attention"])),
    # Queries grow from position 10 on.
    "ministral3": (Ministral3ForCausalLM, Ministral3Config(
        **COMMON, head_dim=8, pad_token_id=None, rope_parameters=dict(
            rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=10, mscale=1.0,
            mscale_all_dim=1.0, llama_4_scaling_beta=0.3))),
    "granite": (GraniteForCausalLM, GraniteConfig(
        **COMMON, rope_theta=1000.0, rms_norm_eps=1e-5, tie_word_embeddings=True, embedding_multiplier=3.5,
        attention_multiplier=0.4, residual_multiplier=0.6, logits_scaling=1.5)),
    "olmo2": (Olmo2ForCausalLM, Olmo2Config(
        **COMMON, rope_theta=1000.0, rms_norm_eps=1e-6, tie_word_embeddings=False, pad_token_id=None, eos_token_id=2)),
    # Windows that are shorter than the sequences.
    "olmo3": (Olmo3ForCausalLM, Olmo3Config(
        **COMMON, rms_norm_eps=1e-6, tie_word_embeddings=False, pad_token_id=None, eos_token_id=2,
        sliding_window=7,
        layer_types=["sliding_attention", "full_attention"],
        rope_scaling=dict(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0))),
    "gemma3_text": (Gemma3ForCausalLM, Gemma3TextConfig(
        **COMMON, head_dim=8, rms_norm_eps=1e-6, tie_word_embeddings=True, pad_token_id=None, sliding_window=7,
        query_pre_attn_scalar=12,
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters=dict(
            sliding_attention=dict(rope_type="default", rope_theta=100.0),
            full_attention=dict(rope_type="linear", rope_theta=1000.0, factor=4.0)))),
}


def make(name, kind, config):
    torch.manual_seed(7)
    model = kind(config)
    randomize(model)
    os.makedirs(name, exist_ok=True)
    model.save_pretrained(name)
    double = model.double()
    backward(double, f"{name}/cases.json")
    save_file({key: value.grad.float() for key, value in double.named_parameters()}, f"{name}/gradients.safetensors")


os.chdir(os.path.dirname(os.path.abspath(__file__)))
for family in sys.argv[1:] or FAMILIES:
    make(family, *FAMILIES[family])
