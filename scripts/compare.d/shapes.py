"""The checkpoints that every tool is measured on, and how much is sampled and trained on each.

    shapes.py DIRECTORY [NAME ...]      makes DIRECTORY/NAME: random weights, float32, as transformers saves them

`smollm2-135m` is a Llama, the others are Qwen2 models.

The same shapes and amounts as `ttrl-dev bench --model NAME`.
"""
import os
import sys

SHAPES = {
    "tiny": dict(
        hidden_size=128, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, intermediate_size=384,
        vocab_size=64, max_position_embeddings=2048),
    "small": dict(
        hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=2, intermediate_size=1408,
        vocab_size=8192, max_position_embeddings=4096),
    "smollm2-135m": dict(
        hidden_size=576, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, intermediate_size=1536,
        vocab_size=49152, max_position_embeddings=8192),
    "qwen2.5-0.5b": dict(
        hidden_size=896, num_hidden_layers=24, num_attention_heads=14, num_key_value_heads=2, intermediate_size=4864,
        vocab_size=151936, max_position_embeddings=32768),
}
ROLLOUT = {  # prompts, samples of each, tokens of a prompt, new tokens
    "tiny": (8, 64, 32, 64),
    "small": (1, 64, 64, 128),
    "smollm2-135m": (2, 32, 64, 64),
    "qwen2.5-0.5b": (1, 32, 128, 32),
}
TRAINING = {  # sequences, tokens of a prompt, tokens of a response
    "tiny": (64, 32, 64),
    "small": (16, 32, 160),
    "smollm2-135m": (16, 32, 160),
    "qwen2.5-0.5b": (2, 32, 128),
}


def make(directory, name):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    path = os.path.join(directory, name)
    if os.path.exists(os.path.join(path, "model.safetensors")):
        return path
    torch.manual_seed(0)
    common = dict(tie_word_embeddings=True, eos_token_id=1, bos_token_id=None)
    if name == "smollm2-135m":
        config = LlamaConfig(**SHAPES[name], **common, rms_norm_eps=1e-5, rope_theta=1e5)
        model = LlamaForCausalLM(config)
    else:
        config = Qwen2Config(**SHAPES[name], **common, rms_norm_eps=1e-6, rope_theta=1e6, use_sliding_window=False)
        model = Qwen2ForCausalLM(config)
    model.save_pretrained(path)
    return path


if __name__ == "__main__":
    for shape in sys.argv[2:] or SHAPES:
        print(make(sys.argv[1], shape))
