"""The demo's labelled texts are what their card says: counts, balance, clean rows, no leak into the test split."""

import itertools
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "tools" / "demo_data"
SIZES = {"train": 480, "test": 160}


def read_rows(split: str) -> list[tuple[str, str]]:
    header, *lines = (FOLDER / f"{split}.tsv").read_text(encoding="utf-8").split("\n")
    assert header == "text\tlabel"
    assert lines.pop() == "", "the file ends with one newline"
    rows = [tuple(line.split("\t")) for line in lines]
    assert {len(row) for row in rows} == {2}
    return rows


def token_set(text: str) -> frozenset[str]:
    """Lower-case words of `text` without accents and punctuation; a text of symbols alone would be empty."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    return frozenset(re.findall(r"[a-z0-9]+", plain.replace("'", "")))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / len(first | second)


@pytest.mark.parametrize("split", SIZES)
def test_size_balance_and_clean_rows(split):
    rows = read_rows(split)
    assert Counter(label for _, label in rows) == {"negative": SIZES[split] // 2, "positive": SIZES[split] // 2}
    for text, _ in rows:
        assert text == " ".join(text.split()), text
        assert '"' not in text, text
        assert text == unicodedata.normalize("NFC", text), text
        assert 3 <= len(text.split()) <= 40, text


@pytest.mark.parametrize(
    ("first", "second", "limit"), [("train", "test", 0.6), ("train", "train", 0.7), ("test", "test", 0.7)]
)
def test_no_near_duplicates(first, second, limit):
    ours, theirs = ([(text, token_set(text)) for text, _ in read_rows(split)] for split in (first, second))
    pairs = itertools.combinations(ours, 2) if first == second else itertools.product(ours, theirs)
    close = [(a, b) for (a, words), (b, others) in pairs if jaccard(words, others) >= limit]
    assert close == []


def test_card_states_the_sizes():
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    for split, size in SIZES.items():
        assert f"| {split} | {size} | {size // 2} | {size // 2} |" in card
