# Makes the GGUF files beside this file, and what the `gguf` package (0.19) says of them.
#
#   blocks.jsonl       random blocks of each type: their bytes, and the bits of the float32 numbers that they mean
#   llama.gguf         a Llama model: rows of q and k in ggml's order, tied head, Llama 3's frequencies, byte-level BPE
#   qwen2.gguf         a Qwen 2 model with biases, a head of its own, YaRN
#   qwen3.gguf         a Qwen 3 model with a size of head that is not hidden size / heads
#   sentencepiece.gguf a Llama model with a sentencepiece vocabulary
#   expected.json      for each model: a hash of the bits of each tensor, under its name in a model directory
#
# It also writes files from which the fuzzer starts (../fuzzing/gguf).
#
# Run: python make.py (it writes into its own folder). All numbers are drawn with a fixed seed.

import hashlib
import json
import pathlib

import gguf
import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as Type

FOLDER = pathlib.Path(__file__).parent
TYPES = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]
random = np.random.default_rng(7)


def blocks(kind, count):
    """Random blocks that mean finite numbers."""
    numbers, size = GGML_QUANT_SIZES[kind]
    made = []
    while len(made) < count:
        block = random.integers(0, 256, size=(1, size), dtype=np.uint8)
        with np.errstate(all="ignore"):
            values = gguf.quants.dequantize(block, kind)
        if np.isfinite(values).all():
            made.append(block)
    return np.concatenate(made)


def write_blocks():
    with open(FOLDER / "blocks.jsonl", "w") as file:
        for name in TYPES:
            data = blocks(Type[name], 16 if GGML_QUANT_SIZES[Type[name]][0] == 1 else 2)
            bits = gguf.quants.dequantize(data, Type[name]).astype("<f4")
            file.write(json.dumps({"type": name, "bytes": data.tobytes().hex(), "bits": bits.tobytes().hex()}) + "\n")


def byte_alphabet():
    """The character of each byte in a byte-level vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(0x100 + n) for n, byte in enumerate(others)}


def byte_level(writer, pre):
    alphabet = [byte_alphabet()[byte] for byte in range(256)]
    merges = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("1", "2"), ("a", "n"), ("Ġ", "a"), ("Ġa", "n"), ("an", "d")]
    special = ["<|end|>", "<|turn|>", "<｜bos｜>"]
    tokens = alphabet + [a + b for a, b in merges] + special + ["<think>", "[PAD268]"]
    types = [1] * (len(alphabet) + len(merges)) + [3] * len(special) + [4, 5]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{a} {b}" for a, b in merges])
    writer.add_eos_token_id(264)
    writer.add_eot_token_id(265)
    writer.add_bos_token_id(266)
    writer.add_pad_token_id(264)
    writer.add_add_bos_token(pre == "llama-bpe")
    writer.add_chat_template("{% for m in messages %}{{ m['content'] }}<|turn|>{% endfor %}")
    return len(tokens)


def sentencepiece(writer):
    words = ["▁", "t", "h", "e", "▁t", "he", "▁the", "a", "n", "d", "an", "and", "▁and", "1", "2", "▁▁"]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + words + ["<|user|>"]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    # "he" and "an" have the same score.
    scores = [-float(len(words) - n) for n in range(len(words))]
    scores[words.index("an")] = scores[words.index("he")]
    writer.add_token_scores([0.0] * 259 + scores + [0.0])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * len(words) + [4])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    return len(tokens)


def interleaved(rows, heads):
    """The order in which ggml has the rows of q and k of a Llama model."""
    half = rows.shape[0] // heads // 2
    return rows.reshape(heads, 2, half, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def digest(values):
    """FNV-1a over the bits of float32 numbers, a number at a time."""
    result = 0xCBF29CE484222325
    for bits in values.astype("<f4").view("<u4").reshape(-1).tolist():
        result = (result ^ bits) * 0x100000001B3 % (1 << 64)
    return f"{result:016x}"


def model(name, architecture, heads, groups, size, tied, kinds, pre=None, original=None, yarn=False):
    """Writes a model of one layer; `kinds` are the types of its matrices, in turn."""
    hidden, inner = 64, 96
    writer = gguf.GGUFWriter(FOLDER / f"{name}.gguf", architecture)
    vocabulary = byte_level(writer, pre) if pre else sentencepiece(writer)
    writer.add_name(f"a random {architecture} model")
    writer.add_block_count(1)
    writer.add_context_length(512)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(5000.0)
    writer.add_quantization_version(2)
    writer.add_vocab_size(vocabulary)
    if size * heads != hidden:
        writer.add_key_length(size)
        writer.add_value_length(size)
    if yarn:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)
        writer.add_rope_scaling_orig_ctx_len(128)
    expected = {}
    turn = iter(kinds * 8)

    def add(target, name, shape, kind=None, heads=0):
        kind = Type[kind or next(turn)]
        values = (random.standard_normal(shape) * (0.5 if len(shape) > 1 else 0.1) + (len(shape) == 1)).astype("<f4")
        data = gguf.quants.quantize(interleaved(values, heads) if heads else values, kind)
        means = gguf.quants.dequantize(data, kind)
        if heads:
            half = shape[0] // heads // 2
            means = means.reshape(heads, half, 2, shape[1]).swapaxes(1, 2).reshape(shape)
        expected[target] = digest(means)
        writer.add_tensor(name, data, raw_dtype=kind)

    add("model.embed_tokens.weight", "token_embd.weight", (vocabulary, hidden))
    if not tied:
        add("lm_head.weight", "output.weight", (vocabulary, hidden))
    layer, block = "model.layers.0.", "blk.0."
    is_llama = architecture == "llama"
    for part, short, rows in [("q", "q", heads), ("k", "k", groups), ("v", "v", groups)]:
        turned = rows if is_llama and part != "v" else 0
        add(f"{layer}self_attn.{part}_proj.weight", f"{block}attn_{short}.weight", (rows * size, hidden), heads=turned)
        if architecture == "qwen2":
            add(f"{layer}self_attn.{part}_proj.bias", f"{block}attn_{short}.bias", (rows * size,), "F32")
        if architecture == "qwen3" and part != "v":
            add(f"{layer}self_attn.{part}_norm.weight", f"{block}attn_{short}_norm.weight", (size,), "F32")
    add(f"{layer}self_attn.o_proj.weight", f"{block}attn_output.weight", (hidden, heads * size))
    add(f"{layer}mlp.gate_proj.weight", f"{block}ffn_gate.weight", (inner, hidden))
    add(f"{layer}mlp.up_proj.weight", f"{block}ffn_up.weight", (inner, hidden))
    add(f"{layer}mlp.down_proj.weight", f"{block}ffn_down.weight", (hidden, inner))
    add(f"{layer}input_layernorm.weight", f"{block}attn_norm.weight", (hidden,), "F32")
    add(f"{layer}post_attention_layernorm.weight", f"{block}ffn_norm.weight", (hidden,), "F32")
    add("model.norm.weight", "output_norm.weight", (hidden,), "F32")
    if original:
        writer.add_tensor("rope_freqs.weight", llama3(5000.0, size, 8.0, original))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def llama3(theta, size, factor, original):
    """What each frequency is divided by, with low_freq_factor 1 and high_freq_factor 4."""
    length = 2 * np.pi * theta ** (np.arange(0, size, 2) / size)
    smooth = (original / length - 1) / (4 - 1)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.where(length < original / 4, 1, np.where(length > original, factor, between)).astype("<f4")


write_blocks()
expected = {
    "llama": model("llama", "llama", 4, 2, 16, True, ["Q8_0", "Q4_0", "F16"], "llama-bpe", original=512),
    "qwen2": model("qwen2", "qwen2", 4, 4, 16, False, ["Q5_0", "Q4_1", "Q8_0"], "qwen2", yarn=True),
    "qwen3": model("qwen3", "qwen3", 2, 1, 64, True, ["BF16"], "qwen2"),
    "sentencepiece": model("sentencepiece", "llama", 4, 4, 16, False, ["F16", "Q5_1"]),
}
(FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def smallest(architecture, sentencepiece=False, kind=Type.F16, change=lambda writer: None):
    """A model of a few bytes, for the fuzzer to start from."""
    path = FOLDER / "smallest.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    tokens = ["<u>", "a", "b", "ab", "<e>", "Ġ"]
    writer.add_tokenizer_model("llama" if sentencepiece else "gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([2, 1, 1, 1, 3, 1])
    if sentencepiece:
        writer.add_token_scores([0.0, -1.0, -2.0, -3.0, 0.0, -5.0])
    else:
        writer.add_token_merges(["a b"])
    writer.add_eos_token_id(4)
    writer.add_block_count(1)
    writer.add_context_length(16)
    writer.add_embedding_length(4)
    writer.add_feed_forward_length(4)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    change(writer)
    suffixes = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    for name in ["token_embd"] + [f"blk.0.{suffix}" for suffix in suffixes]:
        values = random.standard_normal((6 if name == "token_embd" else 4, 4)).astype("<f4")
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
    norms = ["blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"]
    if architecture == "qwen3":
        norms += ["blk.0.attn_q_norm.weight", "blk.0.attn_k_norm.weight"]
    if architecture == "qwen2":
        norms += [f"blk.0.attn_{part}.bias" for part in "qkv"]
    for name in norms:
        writer.add_tensor(name, np.ones(4, "<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    path.unlink()
    return data


def yarn(writer):
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(4.0)


def lists(writer):
    writer.add_array("general.tags", ["a", "b"])
    writer.add_chat_template("{{ messages[0]['content'] }}")
    writer.add_add_bos_token(False)


def write_seeds():
    """Valid files, and two that are refused, under the names that a fuzzer gives."""
    folder = FOLDER.parent / "fuzzing" / "gguf"
    folder.mkdir(exist_ok=True)
    seeds = [
        smallest("llama"), smallest("llama", sentencepiece=True), smallest("qwen2"), smallest("qwen3", kind=Type.BF16),
        smallest("llama", kind=Type.F32, change=yarn), smallest("qwen3", change=lists), smallest("gemma3"),
    ]
    seeds.append(seeds[0][:300])
    for seed in seeds:
        (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


write_seeds()
