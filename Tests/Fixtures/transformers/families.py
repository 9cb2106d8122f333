#!/usr/bin/env python3
"""Makes a tiny model of each family with random weights, as its makers publish it, and what transformers computes.

    python families.py [NAME ...]        # needs torch, transformers and safetensors; writes into NAME/

Each folder has config.json and model.safetensors as transformers saves them, in bfloat16, and expected.jsonl with, per
line: ids, the log-probabilities of ids[1:] in float32 (natural log, normalised in float64), and the next 12 greedy
tokens. Windows are shorter than the sequences. A change of a key after saving is in CHANGES: older forms of a file, which
transformers reads too.
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM, Gemma3Config, Gemma3ForCausalLM, Gemma3ForConditionalGeneration, Gemma3TextConfig,
    GraniteConfig, GraniteForCausalLM, MinistralConfig, MinistralForCausalLM, Ministral3ForCausalLM, Mistral3Config,
    Mistral3ForConditionalGeneration, MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM, Olmo3Config,
    Olmo3ForCausalLM, Phi3Config, Phi3ForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3_5Config, Qwen3_5ForCausalLM,
    Qwen3_5ForConditionalGeneration, Qwen3_5TextConfig, Qwen3Config, Qwen3ForCausalLM, SmolLM3Config,
    SmolLM3ForCausalLM)

COMMON = dict(
    vocab_size=160, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
PAIRS = 6  # of the rotated dimensions of Phi-3's heads
QWEN3_5_TEXT = dict(
    vocab_size=320, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=2,
    num_key_value_heads=1, head_dim=32, max_position_embeddings=512, linear_num_key_heads=2, linear_num_value_heads=4,
    linear_key_head_dim=12, linear_value_head_dim=20, rms_norm_eps=1e-6, tie_word_embeddings=True,
    rope_parameters=dict(
        rope_type="default", rope_theta=10000000.0, partial_rotary_factor=0.25, mrope_section=[2, 1, 1],
        mrope_interleaved=True))
QWEN3_5_VISION = dict(
    depth=1, hidden_size=16, intermediate_size=16, num_heads=2, out_hidden_size=32, num_position_embeddings=4,
    patch_size=2)
MINISTRAL3_TEXT = dict(
    COMMON, model_type="ministral3", head_dim=16, tie_word_embeddings=False,
    rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=16.0, original_max_position_embeddings=32, beta_fast=32.0,
        beta_slow=1.0, mscale=1.0, mscale_all_dim=1.0, llama_4_scaling_beta=0.1))
PIXTRAL_VISION = dict(
    model_type="pixtral", hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, head_dim=8,
    image_size=28, patch_size=14)
LONGROPE = dict(
    rope_type="longrope", rope_theta=10000.0, short_factor=[1.0 + 0.1 * i for i in range(PAIRS)],
    long_factor=[1.0 + 2.5 * i for i in range(PAIRS)])
GEMMA3_TEXT = dict(
    COMMON, head_dim=12, sliding_window=24, sliding_window_pattern=3, query_pre_attn_scalar=20,
    rope_scaling=dict(rope_type="linear", factor=8.0), tie_word_embeddings=True)
SIGLIP_VISION = dict(
    model_type="siglip_vision_model", hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
    image_size=28, patch_size=14, vision_use_head=False)
OLMO3_SCALING = dict(
    rope_type="yarn", factor=4.0, original_max_position_embeddings=64, beta_fast=32.0, beta_slow=1.0,
    attention_factor=1.1386294361119891)
MODELS = {
    "qwen3_5": lambda: Qwen3_5ForConditionalGeneration(Qwen3_5Config(
        text_config=QWEN3_5_TEXT, vision_config=QWEN3_5_VISION, tie_word_embeddings=True)),
    "qwen3_5-yarn": lambda: Qwen3_5ForCausalLM(Qwen3_5TextConfig(**{
        **QWEN3_5_TEXT, "vocab_size": 160, "rope_parameters": dict(
            rope_type="yarn", rope_theta=10000.0, partial_rotary_factor=0.5, factor=4.0,
            original_max_position_embeddings=64)})),
    "mistral": lambda: MistralForCausalLM(MistralConfig(**COMMON, sliding_window=9)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(
        **COMMON, use_sliding_window=True, sliding_window=20, max_window_layers=1, rope_theta=1000.0)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(
        **COMMON, head_dim=16, use_sliding_window=True, sliding_window=16, tie_word_embeddings=True,
        layer_types=["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
        rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=3.0))),
    "phi3": lambda: Phi3ForCausalLM(Phi3Config(
        **{**COMMON, "hidden_size": 64}, sliding_window=24, original_max_position_embeddings=256,
        rope_parameters=dict(LONGROPE, partial_rotary_factor=0.75))),
    "smollm3": lambda: SmolLM3ForCausalLM(SmolLM3Config(**COMMON)),
    "smollm3-windows": lambda: SmolLM3ForCausalLM(SmolLM3Config(
        **COMMON, no_rope_layers=[0, 1, 1, 0], use_sliding_window=True, sliding_window=11,
        rope_parameters=dict(rope_type="dynamic", rope_theta=5000.0, factor=2.0))),
    "ministral": lambda: MinistralForCausalLM(MinistralConfig(
        **COMMON, head_dim=16, sliding_window=8,
        layer_types=["full_attention", "sliding_attention", "sliding_attention", "full_attention"])),
    "ministral3": lambda: Mistral3ForConditionalGeneration(Mistral3Config(
        text_config=MINISTRAL3_TEXT, vision_config=PIXTRAL_VISION, tie_word_embeddings=False)),
    "granite": lambda: GraniteForCausalLM(GraniteConfig(
        **COMMON, tie_word_embeddings=True, rope_theta=10000.0, rms_norm_eps=1e-5, embedding_multiplier=12.0,
        attention_multiplier=0.0625, residual_multiplier=0.22, logits_scaling=3.0)),
    "olmo2": lambda: Olmo2ForCausalLM(Olmo2Config(**COMMON, rope_theta=500000.0, rms_norm_eps=1e-6)),
    "olmo3": lambda: Olmo3ForCausalLM(Olmo3Config(
        **COMMON, rms_norm_eps=1e-6, sliding_window=24, rope_scaling=OLMO3_SCALING)),
    "gemma3_text": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**GEMMA3_TEXT)),
    "gemma3": lambda: Gemma3ForConditionalGeneration(Gemma3Config(
        text_config=GEMMA3_TEXT, vision_config=SIGLIP_VISION, mm_tokens_per_image=4, tie_word_embeddings=True)),
}
# Keys of the older form of a file, as the makers' own files have them.
CHANGES = {
    "phi3": dict(
        rope_parameters=None, rope_theta=10000.0, partial_rotary_factor=0.75, rope_scaling=dict(
            type="longrope", short_factor=LONGROPE["short_factor"], long_factor=LONGROPE["long_factor"])),
    "smollm3": dict(rope_parameters=None, rope_theta=2000000.0),
    "olmo3": dict(rope_parameters=None, rope_theta=500000.0, rope_scaling=OLMO3_SCALING),
    "gemma3_text": dict(
        layer_types=None, rope_parameters=None, rope_theta=1000000.0, rope_local_base_freq=10000.0,
        rope_scaling=GEMMA3_TEXT["rope_scaling"]),
}
# Of a model inside another one, where AutoModelForCausalLM does not find it.
TEXTS = {"ministral3": Ministral3ForCausalLM}
DEVIATIONS = {"A_log": (-2.0, 0.7), "dt_bias": (-0.5, 0.5), "linear_attn.norm.weight": (1.0, 0.2)}


def deviation(name, key, parameter):
    """Mean and standard deviation. Norms of Qwen3.5 and Gemma 3 are centred on 0."""
    for end, values in DEVIATIONS.items():
        if key.endswith(end):
            return values
    return (1.0, 0.3) if parameter.ndim == 1 and not name.startswith(("qwen3_5", "gemma3")) else (0.0, 0.2)


def expected(model, count, vocabulary):
    ids = torch.randint(0, vocabulary, (1, count))
    model.generation_config.eos_token_id = None
    with torch.no_grad():
        rows = torch.log_softmax(model(ids).logits[0, :-1].double(), -1)
        # Without a mask, generate leaves out tokens that look like padding.
        mask = torch.ones_like(ids)
        greedy = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=12)[0, count:]
    logprobs = rows.gather(-1, ids[0, 1:, None])[:, 0]
    return dict(ids=ids[0].tolist(), logprobs=logprobs.tolist(), greedy_next=greedy.tolist())


def language_model(name, directory):
    if name not in TEXTS:
        return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    whole = Mistral3ForConditionalGeneration.from_pretrained(directory, dtype=torch.float32).eval()
    text = TEXTS[name](whole.config.text_config).eval()
    text.model.load_state_dict(whole.model.language_model.state_dict())
    text.lm_head.load_state_dict(whole.lm_head.state_dict())
    return text


def make(name):
    torch.manual_seed(3)
    directory = os.path.join(os.path.dirname(os.path.abspath(__file__)), name)
    model = MODELS[name]()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            parameter.normal_(*deviation(name, key, parameter))
    model.to(torch.bfloat16).save_pretrained(directory)
    if name == "qwen3_5":
        tensors = load_file(f"{directory}/model.safetensors")
        tensors["mtp.fc.weight"] = torch.zeros(3, 3, dtype=torch.bfloat16)
        save_file(tensors, f"{directory}/model.safetensors", metadata={"format": "pt"})
    if name in CHANGES:
        with open(f"{directory}/config.json") as file:
            config = dict(json.load(file), **CHANGES[name])
        with open(f"{directory}/config.json", "w") as file:
            json.dump({key: value for key, value in config.items() if value is not None}, file, indent=2)
    text = language_model(name, directory)
    vocabulary = text.config.get_text_config().vocab_size
    with open(f"{directory}/expected.jsonl", "w") as file:
        for count in (2, 5, 17, 64, 150):
            file.write(json.dumps(expected(text, count, vocabulary)) + "\n")


for name in sys.argv[1:] or MODELS:
    make(name)
