"""Make the vocabularies in data/ and goldens.json: what `transformers` and `sentencepiece` say about them.

The tests compare this project with these answers. To make them anew, in an environment of its own:

    pip install transformers==5.23.0 tokenizers==0.23.3 sentencepiece==0.2.3 protobuf
    python tests/tokenizers/make_goldens.py

The text to learn from, data/corpus.txt, was written for this project (CC0).
"""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE / "data"
sys.path.insert(0, str(HERE.parents[1]))

import sentencepiece  # noqa: E402
from transformers import AddedToken, AlbertTokenizer, BertTokenizer, RobertaTokenizer  # noqa: E402

from keras_bert.data.corpus import stream_texts  # noqa: E402
from keras_bert.tokenizers.training import train_tokenizer  # noqa: E402

TEXTS = (
    "",
    " ",
    "The ferry leaves the harbour at seven.",
    "Why did you paint the door green?",
    "naïve café résumé, crème brûlée",
    "cafe\u0301 with combining marks: o\u0308 n\u0303",
    "THE MÜLLER FAMILY of TROMSØ",
    "don't can't they'd weren't baker's",
    "1,000,000.50 on 12-03-2004, 20% of £3.50 or €4.20",
    "''double'' ``back`` and 'single' “curly” ‘quotes’",
    "中国 and 日本: 水",
    "mixed中文without spaces",
    "tab\there\nnew line\r\nand return",
    "  leading,   inner   and trailing   ",
    "no-break\u00a0space and ideographic\u3000space",
    "zero\u200bwidth \u200djoiner \ufeffmark",
    "control\x00\x07char\x7f",
    "emoji 😀 and 👍🏽 family 👨\u200d👩\u200d👧",
    "a ﬁne ligature, １２３ full width, ½ and ²",
    "[CLS] [MASK] [SEP] [PAD] [UNK]",
    "<s> <mask> </s> <pad> <unk>",
    "The [MASK] leaves the<mask>at seven.",
    "a[MASK]b",
    "▁ is a lower block, ## is two hashes, Ġ is a letter",
    "İstanbul ß ẞ ǅ",
    "x" * 120,
    "ferryferryferryferry harbourless",
    "snake_case CamelCase kebab-case",
    "http://www.example.org/forms?id=17&lang=en",
    "עברית العربية हिन्दी ไทย Ελληνικά русский",
    "\U0001d54f\U0001d556 astral letters and \U000e0041 tags",
)
PAIRS = (
    ("Who built the tower?", "Nobody knows who built the tower. Some say monks, some say soldiers."),
    ("The small boat followed the large boat, and the gulls followed both of them home.", "Seven bridges."),
    ("[MASK]", "<mask>"),
    (" a ", " b "),
)
LENGTHS = (5, 8, 13)


def main() -> None:
    """Write everything under data/."""
    folders = {name: DATA / name for name in ("wordpiece-uncased", "wordpiece-cased", "bpe", "unigram")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    files = [DATA / "corpus.txt"]
    for name, kind, size, lowercase in (
        ("wordpiece-uncased", "wordpiece", 500, True),
        ("wordpiece-cased", "wordpiece", 500, False),
        ("bpe", "bpe", 600, False),
    ):
        learnt = train_tokenizer(kind, lambda: stream_texts(files), size, lowercase=lowercase)
        with tempfile.TemporaryDirectory() as folder:
            learnt.save(folder)
            for file in ("vocab.txt", "vocab.json", "merges.txt"):
                if (pathlib.Path(folder) / file).exists():
                    (folders[name] / file).write_bytes((pathlib.Path(folder) / file).read_bytes())
    (folders["unigram"] / "spiece.model").write_bytes(train_sentencepiece())
    references = {
        "wordpiece-uncased": BertTokenizer.from_pretrained(folders["wordpiece-uncased"]),
        "wordpiece-cased": BertTokenizer.from_pretrained(folders["wordpiece-cased"], do_lower_case=False),
        # As in the published roberta-base: its mask token takes the space before it.
        "bpe": RobertaTokenizer.from_pretrained(
            folders["bpe"], mask_token=AddedToken("<mask>", lstrip=True, normalized=False, special=True)
        ),
        "unigram": AlbertTokenizer.from_pretrained(folders["unigram"]),
    }
    packages = ("transformers", "tokenizers", "sentencepiece")
    goldens = {
        "made_with": {package: importlib.metadata.version(package) for package in packages},
        "rows": {name: rows(reference) for name, reference in references.items()},
    }
    (DATA / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=True, separators=(",", ":")) + "\n")


def train_sentencepiece() -> bytes:
    """A Unigram model with ALBERT's special tokens, some user-defined symbols and a small character map."""
    corpus = (DATA / "corpus.txt").read_text(encoding="utf-8").lower()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        (work / "corpus.txt").write_text(corpus, encoding="utf-8")
        # Source and target code points: curly quotes and the ellipsis to ASCII, format characters to nothing.
        rules = "2018\t27\n2019\t27\n201C\t22\n201D\t22\n2026\t2E 2E 2E\n200B\t20\nFEFF\t20\n7F\t\n7\t\nA\t20\n9\t20\n"
        (work / "rules.tsv").write_text(rules)
        sentencepiece.SentencePieceTrainer.train(
            input=str(work / "corpus.txt"),
            model_prefix=str(work / "model"),
            model_type="unigram",
            vocab_size=420,
            character_coverage=1.0,
            normalization_rule_tsv=str(work / "rules.tsv"),
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            control_symbols=["[CLS]", "[SEP]", "[MASK]"],
            user_defined_symbols=["(", ")", '"', "-", ".", "£", "€"],
            minloglevel=2,
        )
        return (work / "model.model").read_bytes()


def rows(reference) -> list[dict]:
    """The reference's answers for all texts and pairs."""
    answers = [answer(reference, text) for text in TEXTS]
    for text, pair in PAIRS:
        answers.append(answer(reference, text, pair))
        for max_length in LENGTHS:
            answers.append(answer(reference, text, pair, max_length, "longest_first"))
        answers.append(answer(reference, pair, text, 8, "longest_first"))
    answers.append(answer(reference, *PAIRS[0], 15, "only_second"))
    answers.append(answer(reference, *PAIRS[1], 15, "only_first"))
    answers.append(answer(reference, TEXTS[2], None, 6, "longest_first"))
    return answers


def answer(reference, text, pair=None, max_length=None, truncation="longest_first") -> dict:
    """One row: the arguments and what came of them."""
    found = reference(
        text,
        pair,
        max_length=max_length,
        truncation=truncation if max_length else False,
        return_offsets_mapping=True,
        return_token_type_ids=True,
        return_special_tokens_mask=True,
    )
    return {
        "text": text,
        "pair": pair,
        "max_length": max_length,
        "truncation": truncation,
        "token_ids": found["input_ids"],
        "segment_ids": found["token_type_ids"],
        "tokens": found.tokens(),
        "offsets": found["offset_mapping"],
        "word_ids": found.word_ids(),
        "sequence_ids": found.sequence_ids(),
        "special_tokens_mask": found["special_tokens_mask"],
        "truncated": len(found["input_ids"]) < len(reference(text, pair)["input_ids"]),
    }


if __name__ == "__main__":
    main()
