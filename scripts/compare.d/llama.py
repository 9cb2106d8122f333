"""Sampling with llama.cpp, through the C interface of a prebuilt library (package llama-cpp-py-sync).

All samples decode together; each prompt is computed once and its keys are copied to its samples. At most 256 sequences
live at once. Temperature 1 over the whole vocabulary, llama.cpp's own sampler. A checkpoint is converted once, to
ggml-DTYPE.gguf beside it.
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

from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

lib, ffi = get_lib(), get_ffi()


@ffi.callback("void(enum ggml_log_level, const char *, void *)")
def silent(level, text, data):
    pass


lib.llama_log_set(silent, ffi.NULL)
lib.llama_backend_init()
model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
V = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
prompts_at_once = max(1, min(a.prompts, 256 // a.samples))
sequences = prompts_at_once * a.samples
settings = lib.llama_context_default_params()
settings.n_seq_max = sequences
settings.n_ctx = (a.prompt_tokens + a.new_tokens + 255) // 256 * 256 * sequences
settings.n_batch = max(sequences, prompts_at_once * a.prompt_tokens, 512)
settings.n_ubatch = max(512, sequences)
settings.n_threads = settings.n_threads_batch = a.threads
settings.no_perf = True
context = lib.llama_init_from_model(model, settings)
assert context != ffi.NULL, "llama.cpp made no context"
memory = lib.llama_get_memory(context)
batch = lib.llama_batch_init(settings.n_batch, 0, 1)
sampler = lib.llama_sampler_init_dist(1234)
prompts = np.random.default_rng(0).integers(3, V, (a.prompts, a.prompt_tokens))


def put(index, token, position, sequence, wants_logits):
    batch.token[index], batch.pos[index], batch.n_seq_id[index] = token, position, 1
    batch.seq_id[index][0], batch.logits[index] = sequence, wants_logits


def decode(count):
    batch.n_tokens = count
    status = lib.llama_decode(context, batch)
    assert status == 0, f"llama_decode says {status}"


def wave(chosen, new_tokens):
    lib.llama_memory_clear(memory, True)
    count, last = 0, []
    for place, prompt in enumerate(chosen):
        for position, token in enumerate(prompt):
            put(count, int(token), position, place * a.samples, position == a.prompt_tokens - 1)
            count += 1
        last.append(count - 1)
    decode(count)
    tokens = [lib.llama_sampler_sample(sampler, context, row) for row in last for _ in range(a.samples)]
    for place in range(len(chosen)):
        for sample in range(1, a.samples):
            lib.llama_memory_seq_cp(memory, place * a.samples, place * a.samples + sample, -1, -1)
    for step in range(new_tokens - 1):
        for index, token in enumerate(tokens):
            put(index, token, a.prompt_tokens + step, index, True)
        decode(len(tokens))
        tokens = [lib.llama_sampler_sample(sampler, context, row) for row in range(len(tokens))]


def run(new_tokens=a.new_tokens):
    for start in range(0, a.prompts, prompts_at_once):
        wave(prompts[start:start + prompts_at_once], new_tokens)


timing.report(run, a.prompts * a.samples * a.new_tokens, lambda: run(4))
# Its threads do not end by themselves.
os.sys.stdout.flush()
os._exit(0)
