"""Tokenizers of every kind that ttrl reads, hostile strings, and what the `tokenizers` library makes of them.

    tokenization.py make DIR                      writes DIR/KIND/tokenizer.json
    tokenization.py texts N SEED FILE [all]       prints N texts for the tokenizer.json FILE: {"text"}; with "all", also
                                                  texts in which each character of Unicode occurs
    tokenization.py ids SEED FILE < TEXTS         prints token numbers to decode: {"ids"}
    tokenization.py judge FILE TEXTS IDS ENCODED DECODED    compares ttrl's results; status 1 if one differs

The small vocabularies are trained here. What is around them (normalizer, pre-tokenizer, decoder, post-processor) is as
in the tokenizer.json of the models that are named. Tests/Fixtures/tokenizers/make.py uses this file as well.
"""
import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Tokenizer, pre_tokenizers, trainers

TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
FIRST = r"[^\r\n\p{L}\p{N}]?"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
SLASH_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

EXPRESSIONS = {
    "qwen2": HEAD + r"\p{N}" + TAIL,
    "llama3": HEAD + r"\p{N}{1,3}" + TAIL,
    "qwen3.5": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "o200k": f"{FIRST}{UPPER}*{LOWER}+{CONTRACTION}|{FIRST}{UPPER}+{LOWER}*{CONTRACTION}" + r"|\p{N}{1,3}" + SLASH_TAIL,
    "tekken": f"{FIRST}{UPPER}*{LOWER}+|{FIRST}{UPPER}+{LOWER}*" + r"|\p{N}" + SLASH_TAIL,
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
    r"|\s+(?!\S)|\s+",
    "seed": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+"
    "|\\s+(?!\\S)|\\s+",
}
DEEPSEEK_V3 = [
    r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]
DEEPSEEK_LLM = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-\ud7ff]+"]


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def sequence(*parts, name="pretokenizers"):
    return {"type": "Sequence", name: list(parts)}


def byte_level(prefix=False, regex=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def digits(individual):
    return {"type": "Digits", "individual_digits": individual}


def metaspace(scheme, splits=False):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": splits}


def replace(one, other):
    return {"type": "Replace", "pattern": {"String": one}, "content": other}


FALLBACK = [replace("▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
NFC = {"type": "NFC"}
SPACES = replace(" ", "▁")
PREPEND = sequence({"type": "Prepend", "prepend": "▁"}, SPACES, name="normalizers")
TEXT = {"Sequence": {"id": "A", "type_id": 0}}

# Byte-level: pre-tokenizer, normalizer, options of the model.
BYTE_LEVEL = {
    "gpt2": (byte_level(regex=True), None, {}),
    "gpt2-prefix": (byte_level(prefix=True, regex=True), None, {}),
    "qwen2": (sequence(split(EXPRESSIONS["qwen2"]), byte_level()), NFC, {}),  # also Qwen3
    "qwen3.5": (sequence(split(EXPRESSIONS["qwen3.5"]), byte_level()), NFC, {}),
    "llama3": (sequence(split(EXPRESSIONS["llama3"]), byte_level()), None, {"ignore_merges": True}),  # also SmolLM3
    "olmo2": (sequence(split(EXPRESSIONS["llama3"], "Removed", True), byte_level()), None, {}),
    "o200k": (  # Phi-4-mini, gpt-oss
        sequence(split(EXPRESSIONS["o200k"], "Removed", True), byte_level()), None, {}),
    "tekken": (sequence(split(EXPRESSIONS["tekken"]), byte_level()), None, {"ignore_merges": True}),  # Ministral
    "cl100k": (sequence(split(EXPRESSIONS["cl100k"]), byte_level()), None, {}),
    "seed": (sequence(split(EXPRESSIONS["seed"]), byte_level()), None, {}),
    "smollm2": (sequence(digits(True), byte_level(regex=True)), None, {}),  # also StarCoder, Granite 3
    "command-r": (sequence(digits(True), byte_level(regex=True)), NFC, {}),
    "digit-runs": (sequence(digits(False), byte_level(regex=True)), None, {}),
    "deepseek-v3": (
        sequence(*map(split, DEEPSEEK_V3), byte_level()), sequence(name="normalizers"), {}),
    "deepseek-llm": (sequence(*map(split, DEEPSEEK_LLM), digits(True), byte_level()), None, {}),
    "merged": (  # no model: the other behaviors
        sequence(split(r"\p{P}", "MergedWithPrevious"), split("\n", "MergedWithNext", kind="String"),
                 split(r"\s", "Contiguous"), byte_level()), None, {}),
}
# The others: pre-tokenizer, normalizer, decoder, options of the model and of this script.
CHARACTERS = {
    "llama2": (None, PREPEND, FALLBACK + [STRIP], {}),  # also TinyLlama, Mistral 7B, Phi-3
    "mistral": (metaspace("first"), None, FALLBACK + [STRIP], {}),
    "metaspace-always": (metaspace("always", True), None, FALLBACK + [STRIP], {}),
    "metaspace-never": (metaspace("never"), None, FALLBACK, {}),
    "gemma": (split(" ", "MergedWithPrevious", kind="String"), SPACES, FALLBACK, {}),  # also Gemma 3
    "llama2-digits": (  # no model: SentencePiece's split_digits
        sequence(metaspace("always", True), digits(True)), NFC, FALLBACK + [STRIP], {"ignore_merges": True}),
    "few-bytes": (None, SPACES, FALLBACK[:2], {"bytes": range(0x20, 0x90), "fuse_unk": False}),
    "unknown": (None, SPACES, [FALLBACK[0]], {"bytes": [], "byte_fallback": False, "fuse_unk": True}),
    "dropped": (None, SPACES, [FALLBACK[0]], {"bytes": [], "byte_fallback": False, "unk_token": None}),
}

CORPUS = [
    "Let us reason step by step. The sum of 12 and 345 is 357, so the answer is \\boxed{357}.",
    "We've seen that x^2 + y^2 = z^2; it's what they'll say, isn't it? I'd say I'm sure you're right.",
    "def f(x):\n    return x * 2\n\n\nprint(f(21))\n  \n", "Ein Käse für 3,50 €, naïve café, Ångström: résumé.",
    "Число и слово. 数と言葉。 숫자와 단어.", "\\frac{1}{2} \\sqrt{3} \\left( \\pi \\right) \\text{ cm}",
] * 4
PIECES = CORPUS[:6] + [
    " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2003", "\u0085", "'S", "'ſ", "'LL", "'Re", "é", "e\u0301", "A\u030a",
    "\u212b", "각", "\u1100\u1161\u11a8", "a\u0323\u0302", "a\u0302\u0323", "0", "1234567", "٣٤٥", "²", "Ⅷ", "😀",
    "👩‍👩‍👧", "\ufeff", "<|end|>", "<|en", "<think>", "</think>", "word", "words", "_word_", "(word)", " <gap>  x", "Å",
    "ñandú", "ﬁ", "x", "...", "!?\n\n", "\\boxed{7}", "क्षि", "\u0958", "\U0001f1e9\U0001f1ea", "\u0001", "ꟑ",
]
MORE = [
    "▁", "▁▁", " ▁", "▁ ", "<0x41>", "<0xE2>", "</s>", "<s>", "<unk>", "<sum>", "sum", "HTMLParser", "iOS", "ǅ", "ʰ", "İ",
    "don't", "WE'LL", "it'S", "we'vE", "x'ſ", "'K", "//", "/\n/", "a/b\r\n/", "１２３４", "½", "中文字一", "龥", "龦", "ぁ", "ー", "ࠀ",
    "\ud7a3", "¿Qué?", "$5", "+1", "€", "~", "^", "`", "\u200b", "\u3000", "\x1c", "\x85a", "\v\f", "\u180e", "\u0300",
    "#!/usr", "!abc", "@Bob", "\"x", "(a", ".Net", "_id", "-", "—", "…", "।", "۔", "\r", "\r\r\n", " \n \n", "\n ", "   x",
    "\U00011f5f", "\U0001e4d0", "\u1c89", "\ua7cb", "\U0001ccf0", "\ufffd", "\U0010ffff", "\ue000", "\u0378", "𝟘", "𝔸𝔹",
]
ADDED = [
    AddedToken("<|end|>", special=True), AddedToken("<|endless|>", special=True), AddedToken("<think>"),
    AddedToken("</think>"), AddedToken("\u212b", normalized=True), AddedToken("<gap>", lstrip=True, rstrip=True),
    AddedToken("word", single_word=True, normalized=False), AddedToken("<sum>", normalized=True, special=True),
    AddedToken(" x ", normalized=True),
]


def trained(pre_tokenizer, normalizer, special, alphabet, size, **options):
    """A tokenizer with a vocabulary in which tokens cross the borders of words, so that a wrong border shows."""
    bare = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": normalizer,
            "pre_tokenizer": byte_level() if alphabet else None, "post_processor": None, "decoder": None,
            "model": {"type": "BPE", "vocab": {}, "merges": []}}
    made = Tokenizer.from_str(json.dumps(bare))
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
    source = random.Random(1)
    pieces = [piece for piece in PIECES + MORE if len(piece) < 12]
    borders = ["".join(source.choices(pieces + [" ", "\n", "1", "a", "B", "."] * 9, k=6)) for _ in range(3000)]
    words = [word for text in CORPUS * 20 for word in text.split()]
    made.train_from_iterator(CORPUS * 20 + words + borders, trainer)
    file = json.loads(made.to_str())
    file["pre_tokenizer"] = pre_tokenizer
    file["model"].update(options)
    return file


def complete(file, added, decoder, template=None):
    """The file with added tokens, a decoder and a post-processor."""
    file["decoder"] = decoder
    file["added_tokens"] = []
    made = Tokenizer.from_str(json.dumps(file))
    for token in added:
        (made.add_special_tokens if token.special else made.add_tokens)([token])
    file = json.loads(made.to_str())
    file["post_processor"] = template
    return file


def template(tokens, before=(), after=()):
    ids = {token["content"]: token["id"] for token in tokens}
    return {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": name, "type_id": 0}} for name in before] + [TEXT]
        + [{"SpecialToken": {"id": name, "type_id": 0}} for name in after],
        "pair": [TEXT, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in (*before, *after)},
    }


def kinds():
    """By name: the contents of tokenizer.json."""
    made = {}
    for name, (pre_tokenizer, normalizer, options) in BYTE_LEVEL.items():
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        file = trained(pre_tokenizer, normalizer, [], alphabet, 256 + 300, **options)
        # "sum" is in the vocabulary already.
        file = complete(file, ADDED + [AddedToken("sum", single_word=True)], byte_level(prefix=True, regex=True))
        file["post_processor"] = sequence(
            byte_level(), template(file["added_tokens"], ["<|end|>"], ["<|endless|>"]), name="processors")
        made[name] = file
    for name, (pre_tokenizer, normalizer, decoder, options) in CHARACTERS.items():
        bytes_ = [f"<0x{byte:02X}>" for byte in options.get("bytes", range(256))]
        model = {"unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True,
                 **{key: value for key, value in options.items() if key != "bytes"}}
        special = ["<unk>", "<s>", "</s>"]
        file = trained(pre_tokenizer, normalizer, special + bytes_, [], 3 + len(bytes_) + 360, **model)
        added = [AddedToken(token, special=True, normalized=False) for token in special] + ADDED
        file = complete(file, added, sequence(*decoder, name="decoders"))
        file["post_processor"] = template(file["added_tokens"], ["<s>"])
        made[name] = file
    return made


def texts(count, seed, file):
    """Strings that are hard for this tokenizer: parts of words, marks, spaces, added tokens, any character."""
    source = random.Random(seed)
    known = [token["content"] for token in file["added_tokens"]] * 3
    vocabulary = [token for token in file["model"]["vocab"] if "\ud800" not in token]
    pieces = PIECES * 2 + MORE * 2 + known

    def piece():
        choice = source.random()
        if choice < 0.7:
            text = source.choice(pieces)
        elif choice < 0.8:
            text = source.choice(vocabulary)
        elif choice < 0.9:
            text = chr(source.choice([source.randrange(0x80), source.randrange(0x3000), source.randrange(0x20000)]))
        else:
            text = source.choice([" ", "\n", "\t", "7", "a", "A", "\u0301", "▁"]) * source.randrange(1, 9)
        if source.random() < 0.1:
            text = text.upper()
        if source.random() < 0.1:
            text = text[source.randrange(len(text) + 1):]
        return "".join("x" if "\ud800" <= character <= "\udfff" else character for character in text)

    return [*PIECES, *MORE] + [
        "".join(piece() for _ in range(source.choice([1, 2, 3, 5, 8, 20]))) for _ in range(count - len(PIECES + MORE))]


def every_character():
    """Each character of Unicode once, among letters, digits and spaces."""
    characters = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    return ["".join(f"a{c}A{c}{c}1 {c}" for c in characters[start:start + 64]) for start in range(0, len(characters), 64)]


def token_numbers(library, text, source, bound):
    """The tokens of a text; some of them left out, some replaced, so that characters break; random tokens."""
    ids = library.encode(text, add_special_tokens=False).ids
    broken = [id for id in ids if source.random() < 0.8]
    return [ids, broken, [id if source.random() < 0.7 else source.randrange(bound) for id in ids],
            [source.randrange(bound) for _ in range(source.randrange(12))]]


def lines(path):
    return [json.loads(line) for line in open(path, encoding="utf-8")]


def main(command, *arguments):
    if command == "make":
        for name, file in kinds().items():
            folder = pathlib.Path(arguments[0]) / name
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False))
        return
    path = arguments[2 if command == "texts" else 1 if command == "ids" else 0]
    file = json.load(open(path, encoding="utf-8"))
    if command == "texts":
        for text in texts(int(arguments[0]), arguments[1], file) + (every_character() if "all" in arguments else []):
            print(json.dumps({"text": text}))
        return
    library = Tokenizer.from_file(path)
    if command == "ids":
        source = random.Random(arguments[0])
        # Not from the file: the library gives a token that is in the vocabulary the vocabulary's number.
        bound = max(library.get_vocab().values()) + 1
        for line in sys.stdin:
            for ids in token_numbers(library, json.loads(line)["text"], source, bound):
                print(json.dumps({"ids": ids}))
        return
    _, *others = arguments
    given, numbers, encoded, decoded = map(lines, others)
    different = 0
    for line, ours in zip(given, encoded, strict=True):
        theirs = library.encode(line["text"], add_special_tokens=False).ids
        if theirs != ours["ids"]:
            different += 1
            print(f"text {line['text']!r}: ttrl {ours['ids']}, library {theirs}"[:2000])
    for line, ours in zip(numbers, decoded, strict=True):
        theirs = library.decode(line["ids"], skip_special_tokens=False)
        if theirs != ours["text"]:
            different += 1
            print(f"ids {line['ids']}: ttrl {ours}, library {theirs!r}"[:2000])
    print(f"{len(given)} texts and {len(numbers)} lists of tokens: {different} differ")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
