"""A corpus and its preparation: what the tests of preparation start from."""

from __future__ import annotations

import pathlib
import random
import sys

from keras_bert.data.corpus import CorpusFormat
from keras_bert.data.preparation_plan import PreparationSettings

WORDS = "the film was very bad and dull but great fun of zzz 3,200 café it's".split()  # noqa: SIM905
Documents = list[list[str]]


def make_documents(count: int, seed: int) -> Documents:
    """Documents as lists of sentences that a reader sees end where they end."""
    rng = random.Random(seed)

    def sentence() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 12))).capitalize() + rng.choice(".!?")

    return [[sentence() for _ in range(rng.randint(1, 30))] for _ in range(count)]


SETTINGS = PreparationSettings(CorpusFormat("blank-line"), num_shards=6, seed=3)


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "report.json"}


def command(corpus: pathlib.Path, tokenizer: pathlib.Path, output: pathlib.Path, *more: str) -> list[str]:
    job = [sys.executable, "-m", "keras_bert_tools", "prepare-data", str(corpus), "--format", "blank-line"]
    return [*job, "--tokenizer", str(tokenizer), "-o", str(output), "--seed", "3", "--workers", "2", *more]
