"""Sampling with llama.cpp, through the low-level interface of the Python package cyllama.

All samples decode together. Each prompt is computed once and its keys are copied to its samples. At most 256 sequences
exist at once. Temperature 1 over the whole vocabulary, llama.cpp's own sampler. A checkpoint is converted once, to
ggml-DTYPE.gguf in the same directory.
"""
import json
import os

import timing

a = timing.arguments(prompts=1, samples=64, prompt_tokens=64, new_tokens=64)
import numpy as np

KIND = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}[a.dtype]


def convert(path):
    import gguf
    from safetensors import safe_open

    config = json.load(open(os.path.join(a.checkpoint, "config.json")))
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    half = getattr(gguf.GGMLQuantizationType, KIND)
    with safe_open(os.path.join(a.checkpoint, "model.safetensors"), "pt") as file:
        for key in file.keys():
            if key == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            values = file.get_tensor(key).float().numpy()
            kind = half if values.ndim == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(
                names.get_name(key, (".weight", ".bias")), gguf.quants.quantize(values, kind), raw_dtype=kind)
    for step in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file, writer.close):
        step()


path = os.path.join(a.checkpoint, f"ggml-{a.dtype}.gguf")
if not os.path.exists(path):
    convert(path + ".part")
    os.rename(path + ".part", path)

from cyllama.llama import llama_cpp as llama

llama.ggml_backend_load_all()
llama.llama_backend_init()
model = llama.LlamaModel(path_model=path, params=llama.LlamaModelParams(), verbose=False)
V = model.get_vocab().n_vocab
prompts_at_once = max(1, min(a.prompts, 256 // a.samples))
sequences = prompts_at_once * a.samples
settings = llama.LlamaContextParams()
settings.n_seq_max = sequences
settings.n_ctx = (a.prompt_tokens + a.new_tokens + 255) // 256 * 256 * sequences
settings.n_batch = max(sequences, prompts_at_once * a.prompt_tokens, 512)
settings.n_ubatch = max(512, sequences)
settings.n_threads = settings.n_threads_batch = a.threads
settings.no_perf = True
context = llama.LlamaContext(model=model, params=settings, verbose=False)
batch = llama.LlamaBatch(n_tokens=settings.n_batch, embd=0, n_seq_max=1, verbose=False)
sampler = llama.LlamaSampler(llama.LlamaSamplerChainParams())
sampler.add_dist(1234)
prompts = np.random.default_rng(0).integers(3, V, (a.prompts, a.prompt_tokens)).tolist()


def wave(chosen, new_tokens):
    context.kv_cache_clear(True)
    batch.reset()
    last = []
    for place, prompt in enumerate(chosen):
        for position, token in enumerate(prompt):
            batch.add(token, position, [place * a.samples], position == a.prompt_tokens - 1)
        last.append(batch.n_tokens - 1)
    context.decode(batch)
    tokens = [sampler.sample(context, row) for row in last for _ in range(a.samples)]
    for place in range(len(chosen)):
        for sample in range(1, a.samples):
            context.memory_seq_cp(place * a.samples, place * a.samples + sample, -1, -1)
    for step in range(new_tokens - 1):
        batch.reset()
        for index, token in enumerate(tokens):
            batch.add(token, a.prompt_tokens + step, [index], True)
        context.decode(batch)
        tokens = [sampler.sample(context, row) for row in range(len(tokens))]


def run(new_tokens=a.new_tokens):
    for start in range(0, a.prompts, prompts_at_once):
        wave(prompts[start:start + prompts_at_once], new_tokens)


timing.report(run, a.prompts * a.samples * a.new_tokens, lambda: run(4))
