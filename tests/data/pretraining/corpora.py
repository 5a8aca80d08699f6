"""A corpus in which every token has an id of its own, so that each row of a batch says where it came from."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from shard_files import Document, write_shards

import keras_bert as kb
from keras_bert.data.pretraining import PretrainingData, PretrainingSettings

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(5)


@dataclasses.dataclass(frozen=True)
class Corpus:
    """Shards of documents of unique ids, and by token id (-1 for special tokens) where the token stands.

    Attributes:
        continues: bool, whether the vocabulary writes the token with `##`.
        document, sentence: numbers over the whole corpus. first: bool, the first token of its sentence.
    """

    folder: pathlib.Path
    shards: list[list[Document]]
    continues: np.ndarray
    document: np.ndarray
    sentence: np.ndarray
    first: np.ndarray

    def data(self, seed: int = 0, **settings) -> PretrainingData:
        return PretrainingData(self.folder, PretrainingSettings(**{"sequence_length": 32, **settings}), seed=seed)


def unique_corpus(folder: pathlib.Path, *, shards: int = 4, documents: int = 50, seed: int = 0) -> Corpus:
    """Documents of 1 to 40 sentences of 1 to 9 tokens; one document is a single token, one sentence has 100 tokens."""
    generator = np.random.default_rng(seed)
    lengths = [
        [generator.integers(1, 10, generator.integers(1, 41)).tolist() for _ in range(documents)] for _ in range(shards)
    ]
    lengths[0][1], lengths[0][2] = [1], [4, 100, 5]
    ids = iter(range(len(SPECIALS), 10**6))
    text = [[[[next(ids) for _ in range(n)] for n in document] for document in shard] for shard in lengths]
    size = next(ids)
    continues = (generator.random(size) < 0.35) & (np.arange(size) >= len(SPECIALS))
    words = [*SPECIALS, *(f"##w{i}" if continues[i] else f"w{i}" for i in range(len(SPECIALS), size))]
    source = folder / "tokenizer"
    source.mkdir(parents=True)
    (source / "vocab.txt").write_text("\n".join(words) + "\n")
    write_shards(folder / "shards", kb.Tokenizer.from_pretrained(source), text)

    document_of, sentence_of, first = np.full(size, -1), np.full(size, -1), np.zeros(size, bool)
    sentences = 0
    for number, document in enumerate(document for shard in text for document in shard):
        for sentence in document:
            document_of[sentence], sentence_of[sentence] = number, sentences
            first[sentence[0]] = True
            sentences += 1
    return Corpus(folder / "shards", text, continues, document_of, sentence_of, first)


def read(data: PretrainingData, batches: int, batch_size: int = 32, **arguments) -> dict[str, np.ndarray]:
    """The first batches, row after row."""
    parts = list(data.dataset(batch_size, **{"lanes": 4, **arguments}).take(batches).as_numpy_iterator())
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def one_epoch(rows: dict[str, np.ndarray], epoch: int = 0) -> dict[str, np.ndarray]:
    """The rows of one epoch, of which all must have been read: the next one has begun in every lane."""
    ids = rows["example_ids"]
    assert all((ids[ids[:, 0] == lane, 1] > epoch).any() for lane in np.unique(ids[:, 0]))
    return {name: values[ids[:, 1] == epoch] for name, values in rows.items()}


def unmasked(rows: dict[str, np.ndarray]) -> np.ndarray:
    """Token ids [rows, length] with the targets put back."""
    tokens = rows["token_ids"].copy()
    row, column = np.nonzero(rows["masked_weights"])
    tokens[row, rows["masked_positions"][row, column]] = rows["masked_targets"][row, column]
    return tokens


def examples_of(rows: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """(row, its places, the example's number within it) of all examples, packed or not."""
    sequence_ids = rows.get("sequence_ids", rows["padding_mask"])
    return [
        (row, np.flatnonzero(sequence_ids[row] == number), number - 1)
        for row in range(len(sequence_ids))
        for number in range(1, sequence_ids[row].max() + 1)
    ]


def parts_of(tokens: np.ndarray) -> list[np.ndarray]:
    """The runs of text in one example's tokens: between [CLS] and the separators."""
    assert tokens[0] == CLS
    assert tokens[-1] == SEP
    ends = np.flatnonzero(tokens == SEP)
    return [tokens[start + 1 : end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
