"""Sampling with a PyTorch loop that was written for this comparison: what an expert gets without a new engine.

The prompt goes through the model once, and all samples share its keys. q|k|v and gate|up are fused. Keys and values
have fixed buffers. One product multiplies all samples of a prompt with its keys. Tokens are drawn with the Gumbel
trick. --check compares every step with transformers.
"""
import json
import os

import timing

a = timing.arguments(prompts=1, samples=64, prompt_tokens=64, new_tokens=64, check=0)
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

torch.set_num_threads(a.threads)
torch.set_grad_enabled(False)
dtype = getattr(torch, a.dtype)
config = json.load(open(os.path.join(a.checkpoint, "config.json")))
weights = {k: v.to(dtype) for k, v in load_file(os.path.join(a.checkpoint, "model.safetensors")).items()}
C, H, G = config["hidden_size"], config["num_attention_heads"], config["num_key_value_heads"]
D, V, eps = C // H, config["vocab_size"], config["rms_norm_eps"]
theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
embedding, final_norm = weights["model.embed_tokens.weight"], weights["model.norm.weight"]
P, N, L = a.prompts, a.samples, a.prompt_tokens
angles = torch.outer(torch.arange(L + a.new_tokens).float(), theta ** (-torch.arange(0, D, 2).float() / D))
cosines, sines = (torch.cat([f, f], -1).to(dtype) for f in (angles.cos(), angles.sin()))


def fused(prefix, names, kind="weight"):
    return torch.cat([weights[f"{prefix}{name}.{kind}"] for name in names])


layers = []
for index in range(config["num_hidden_layers"]):
    p = f"model.layers.{index}."
    qkv = [f"self_attn.{x}_proj" for x in "qkv"]
    layers.append((
        weights[p + "input_layernorm.weight"], fused(p, qkv),
        # Qwen's layers have biases, Llama's do not.
        fused(p, qkv, "bias") if f"{p}{qkv[0]}.bias" in weights else None,
        weights[p + "self_attn.o_proj.weight"], weights[p + "post_attention_layernorm.weight"],
        fused(p, ["mlp.gate_proj", "mlp.up_proj"]), weights[p + "mlp.down_proj.weight"]))


def norm(x, weight):
    return F.rms_norm(x, (C,), weight, eps)


def rotate(x, cosine, sine):
    left, right = x.chunk(2, -1)
    return x * cosine + torch.cat([-right, left], -1) * sine


def feed_forward(x, weight, gate_up, down):
    gate, up = F.linear(norm(x, weight), gate_up).chunk(2, -1)
    return x + F.linear(F.silu(gate) * up, down)


def prefill(ids):
    x, keys_values = F.embedding(ids, embedding), []
    for norm1, w_qkv, b_qkv, w_out, norm2, gate_up, down in layers:
        y = F.linear(norm(x, norm1), w_qkv, b_qkv).view(P, L, H + 2 * G, D).transpose(1, 2)
        turned = rotate(y[:, :H + G], cosines[:L], sines[:L])
        q, k, v = turned[:, :H], turned[:, H:], y[:, H + G:]
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = feed_forward(x + F.linear(o.transpose(1, 2).reshape(P, L, C), w_out), norm2, gate_up, down)
        keys_values.append((k.reshape(P * G, L, D).contiguous(), v.reshape(P * G, L, D).contiguous()))
    return F.linear(norm(x[:, -1], final_norm), embedding), keys_values


def grouped(x):  # [P·N·G, H/G, D or L] to [P·G, N·H/G, …]: the samples of a prompt are adjacent
    return x.view(P, N, G, H // G, -1).transpose(1, 2).reshape(P * G, N * (H // G), -1)


def ungrouped(x):
    return x.view(P, G, N, H // G, -1).transpose(1, 2).reshape(P * N * G, H // G, -1)


def run(prompts, new_tokens=a.new_tokens, forced=None):
    first, shared = prefill(prompts)
    logits, seen = first.repeat_interleave(N, 0), []
    own = [tuple(torch.zeros(P * N * G, new_tokens, D, dtype=dtype) for _ in "kv") for _ in layers]
    for step in range(new_tokens):
        z = logits.float()
        token = (z - torch.empty_like(z).exponential_().log_()).argmax(-1) if forced is None else forced[:, step]
        seen.append(logits if forced is not None else None)
        if step == new_tokens - 1:
            return seen
        x, cosine, sine = F.embedding(token, embedding), cosines[L + step], sines[L + step]
        for (norm1, w_qkv, b_qkv, w_out, norm2, gate_up, down), (k, v), (own_k, own_v) in zip(layers, shared, own):
            y = F.linear(norm(x, norm1), w_qkv, b_qkv).view(P * N, H + 2 * G, D)
            turned = rotate(y[:, :H + G], cosine, sine)
            own_k[:, step], own_v[:, step] = turned[:, H:].reshape(-1, D), y[:, H + G:].reshape(-1, D)
            q = (turned[:, :H] * D ** -0.5).reshape(P * N * G, H // G, D)
            prompt_scores = ungrouped(torch.bmm(grouped(q), k.transpose(1, 2)))
            scores = torch.cat([prompt_scores, torch.bmm(q, own_k[:, :step + 1].transpose(1, 2))], -1)
            shares = torch.softmax(scores, -1)
            o = ungrouped(torch.bmm(grouped(shares[..., :L]), v)) + torch.bmm(shares[..., L:], own_v[:, :step + 1])
            x = feed_forward(x + F.linear(o.reshape(P * N, C), w_out), norm2, gate_up, down)
        logits = F.linear(norm(x, final_norm), embedding)


prompts = torch.randint(3, V, (P, L))
if a.check:
    from transformers import AutoModelForCausalLM

    forced = torch.randint(3, V, (P * N, a.new_tokens))
    model = AutoModelForCausalLM.from_pretrained(a.checkpoint, dtype=dtype).eval()
    expected = model(torch.cat([prompts.repeat_interleave(N, 0), forced], 1)).logits[:, L - 1:-1]
    found = torch.stack(run(prompts, forced=forced), 1)
    print("largest relative difference", float((found - expected).abs().max() / expected.abs().max()))
else:
    timing.report(lambda: run(prompts), P * N * a.new_tokens, lambda: run(prompts, 4))
