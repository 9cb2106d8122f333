#!/usr/bin/env python3
"""Makes tiny models whose blocks are unlike Llama's, with random weights, and what transformers computes with them.

    python blocks.py [TYPE ...]     # needs torch and transformers; writes a directory for each model type

gemma3 is a model that sees pictures; the others are language models.

Weights are stored in bfloat16. expected.jsonl has, per line: ids, the log-probabilities of ids[1:] in float32 (natural
log, normalised in float64), and the next 12 greedy tokens.
"""
import json
import os
import sys

import torch
from transformers import (
    AutoModelForCausalLM, Gemma3Config, Gemma3ForConditionalGeneration, Gemma3TextConfig, GraniteConfig, Olmo2Config,
    Olmo3Config)

COMMON = dict(
    vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=512, bos_token_id=None, eos_token_id=None, pad_token_id=None)
# Windows shorter than the longest text, and two kinds of positions.
GEMMA = dict(
    COMMON, num_hidden_layers=4, head_dim=12, sliding_window=24, sliding_window_pattern=3, query_pre_attn_scalar=20,
    rope_scaling=dict(rope_type="linear", factor=8.0), tie_word_embeddings=True)
VISION = dict(
    model_type="siglip_vision_model", hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    image_size=28, patch_size=14, vision_use_head=False)
FAMILIES = dict(
    granite=GraniteConfig(
        **COMMON, tie_word_embeddings=True, rope_theta=10000.0, rms_norm_eps=1e-5, embedding_multiplier=12.0,
        attention_multiplier=0.0625, residual_multiplier=0.22, logits_scaling=3.0),
    olmo2=Olmo2Config(**COMMON, tie_word_embeddings=False, rope_theta=500000.0, rms_norm_eps=1e-6),
    olmo3=Olmo3Config(
        **{**COMMON, "num_hidden_layers": 4}, tie_word_embeddings=False, rms_norm_eps=1e-6, sliding_window=24,
        rope_scaling=dict(
            rope_type="yarn", factor=4.0, original_max_position_embeddings=64, beta_fast=32.0, beta_slow=1.0,
            attention_factor=1.1386294361119891)),
    gemma3_text=Gemma3TextConfig(**GEMMA),
    gemma3=Gemma3Config(text_config=GEMMA, vision_config=VISION, mm_tokens_per_image=4, tie_word_embeddings=True),
)


def expected(model, count):
    ids = torch.randint(0, COMMON["vocab_size"], (1, count))
    with torch.no_grad():
        rows = torch.log_softmax(model(ids).logits[0, :-1].double(), -1)
        # Without a mask, the token for padding would not be seen where it is in the text.
        greedy = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12, min_new_tokens=12,
            pad_token_id=0)[0, count:]
    logprobs = rows.gather(-1, ids[0, 1:, None])[:, 0]
    return dict(ids=ids[0].tolist(), logprobs=logprobs.tolist(), greedy_next=greedy.tolist())


def make(name, config):
    torch.manual_seed(3)
    model = Gemma3ForConditionalGeneration(config) if name == "gemma3" else AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            # Norms away from what they begin with, so that nothing is hidden by them.
            parameter.normal_(parameter.mean() if parameter.ndim == 1 else 0.0, 0.2)
    model.to(torch.bfloat16).save_pretrained(name)
    model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).eval()
    with open(f"{name}/expected.jsonl", "w") as file:
        for count in (2, 5, 17, 64, 150):
            file.write(json.dumps(expected(model, count)) + "\n")


os.chdir(os.path.dirname(os.path.abspath(__file__)))
for family in sys.argv[1:] or FAMILIES:
    make(family, FAMILIES[family])
