# Makes the tokenizers beside this file, and what the `tokenizers` library (0.23.3) does with some texts.
#
# Three small vocabularies, one for each of the most frequent patterns, each with another mix of options; and in kinds/,
# one of each kind that Tests/Differential/tokenization.py knows. The texts are short, awkward and drawn with a fixed
# seed. Run: python make.py (it writes into its own folder).

import json
import pathlib
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

FOLDER = pathlib.Path(__file__).parent
sys.path.append(str(FOLDER.parent.parent / "Differential"))

import tokenization  # noqa: E402 (needs the path above)

TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
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


def tokenizer(regex, **options):
    split = [pre_tokenizers.Split(Regex(regex), "isolated")] if regex else []
    level = pre_tokenizers.ByteLevel(add_prefix_space=options.get("prefix", False), use_regex=not regex)
    made = Tokenizer(models.BPE(ignore_merges=options.get("whole", False)))
    made.normalizer = normalizers.NFC() if options.get("nfc") else None
    made.pre_tokenizer = pre_tokenizers.Sequence(split + [level]) if split else level
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256 + 180, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    made.add_special_tokens(["<|end|>", "<|endless|>"])
    made.add_tokens(options.get("added", []))
    return made


MADE = {
    "qwen2": tokenizer(
        HEAD + r"\p{N}" + TAIL, nfc=True, added=["<think>", "</think>", AddedToken("Å", normalized=True)]),
    "llama3": tokenizer(
        HEAD + r"\p{N}{1,3}" + TAIL, whole=True, added=[AddedToken("<gap>", lstrip=True, rstrip=True)]),
    "gpt2": tokenizer(None, prefix=True, added=[AddedToken("word", single_word=True, normalized=False)]),
}



def write(folder, name, file, texts):
    (folder / f"{name}.json").write_text(json.dumps(file, ensure_ascii=False, separators=(",", ":")) + "\n")
    made = Tokenizer.from_file(str(folder / f"{name}.json"))
    with open(folder / f"{name}.vectors.jsonl", "w") as out:
        for text in texts:
            ids = made.encode(text, add_special_tokens=False).ids
            # Some tokens taken out of the middle: characters break.
            broken = [id for id in ids if random.random() < 0.7]
            out.write(json.dumps({
                "text": text, "ids": ids, "decoded": made.decode(ids, skip_special_tokens=False), "broken": broken,
                "decoded_broken": made.decode(broken, skip_special_tokens=True)}) + "\n")


for name, made in MADE.items():
    file = json.loads(made.to_str())
    if name == "llama3":  # Files from before 2024 spell a merge as one string.
        file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]
    random.seed(7)
    write(FOLDER, name, file, PIECES + ["".join(random.choices(PIECES, k=random.randint(2, 5))) for _ in range(60)])

(FOLDER / "kinds").mkdir(exist_ok=True)
for name, file in tokenization.kinds().items():
    if name in [*MADE, "gpt2-prefix"]:
        continue
    random.seed(7)
    texts = [text for text in tokenization.texts(600, 7, file) if len(text) < 60]
    write(FOLDER / "kinds", name, file, random.sample(texts, 48))
