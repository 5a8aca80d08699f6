"""What tables of counts make of masked tokens: the floor that a pretrained model must clear.

Counted on training shards, asked on the masked positions of held-out ones, as `PretrainingData` masks them:
  unigram        always the most frequent token
  left           the most frequent token after the left neighbour
  right          the most frequent token before the right neighbour
  both           the best product P(token | left) P(right | token), counts smoothed by the unigram table
A neighbour that is itself masked, special or padding says nothing; where both do, the unigram's guess stands.

Example:
    python benchmarks/pretraining_baselines.py shards held-out-shards
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from report import machine_facts, print_table, write_json

from keras_bert.data.shards import read_manifest
from keras_bert.tokenizers import Tokenizer

GUESSES = ("unigram", "left", "right", "both")
# Weight of the unigram table beside a token's own counts.
SMOOTHING = 1.0


@dataclasses.dataclass(frozen=True)
class Tables:
    """Counts of tokens and of neighbouring pairs.

    Attributes:
        unigrams: [vocabulary], how often each token stands in the shards.
        after: for each token the tokens after it and how often, as (starts [vocabulary + 1], tokens, counts).
        before: likewise the tokens before it.
    """

    unigrams: np.ndarray
    after: tuple[np.ndarray, np.ndarray, np.ndarray]
    before: tuple[np.ndarray, np.ndarray, np.ndarray]

    def guess(self, left: int | None, right: int | None) -> dict[str, int]:
        """The token that each way of guessing names between two neighbours; None for one that says nothing."""
        most = int(self.unigrams.argmax())
        shares = self.unigrams / self.unigrams.sum()
        after = self._smoothed(self.after, left, shares)
        # P(right | token) for every token: its row in the table of tokens before `right`, over the token's own count.
        before = None
        if right is not None:
            counts = self._row(self.before, right) + SMOOTHING * shares[right]
            before = counts / (self.unigrams + SMOOTHING)
        backwards = self._smoothed(self.before, right, shares)
        if after is not None and before is not None:
            both = int((after * before).argmax())
        else:
            one = after if after is not None else backwards
            both = most if one is None else int(one.argmax())
        return {
            "unigram": most,
            "left": most if after is None else int(after.argmax()),
            "right": most if backwards is None else int(backwards.argmax()),
            "both": both,
        }

    def _row(self, table: tuple[np.ndarray, np.ndarray, np.ndarray], token: int) -> np.ndarray:
        starts, tokens, counts = table
        row = np.zeros(len(self.unigrams))
        stretch = slice(starts[token], starts[token + 1])
        row[tokens[stretch]] = counts[stretch]
        return row

    def _smoothed(
        self, table: tuple[np.ndarray, np.ndarray, np.ndarray], token: int | None, shares: np.ndarray
    ) -> np.ndarray | None:
        """Smoothed shares of the tokens beside `token`, [vocabulary]."""
        if token is None:
            return None
        row = self._row(table, token)
        return (row + SMOOTHING * shares) / (row.sum() + SMOOTHING)


def count_tables(folder: Path) -> Tables:
    """Count the tokens, and the pairs of neighbours within documents, of a shard folder."""
    from keras_bert.data.pretraining import PretrainingData, PretrainingSettings

    data = PretrainingData(folder, PretrainingSettings(objective="mlm"))
    size = data.manifest.vocab_size
    documents = [ids.astype(np.int64) for ids in data.first_documents(data.manifest.tokens)]
    unigrams = np.bincount(np.concatenate(documents), minlength=size)
    pairs = np.concatenate([ids[:-1] * size + ids[1:] for ids in documents])
    codes, counts = np.unique(pairs, return_counts=True)
    first, second = codes // size, codes % size
    return Tables(unigrams, _table(first, second, counts, size), _table(second, first, counts, size))


def _table(keys: np.ndarray, tokens: np.ndarray, counts: np.ndarray, size: int) -> Any:
    order = np.argsort(keys, kind="stable")
    return np.searchsorted(keys[order], np.arange(size + 1)), tokens[order], counts[order]


def masked_accuracy(
    tables: Tables, batches: Iterable[Mapping[str, Any]], silent_ids: Iterable[int]
) -> dict[str, float]:
    """Share of the masked tokens that each way of guessing names rightly; "masked" is how many there were.

    Args:
        batches: as `PretrainingData.dataset` gives them.
        silent_ids: tokens that say nothing as neighbours: the special ones, the mask among them.
    """
    silent = set(silent_ids)
    right_guesses = dict.fromkeys(GUESSES, 0)
    total = 0
    known: dict[tuple[int | None, int | None], dict[str, int]] = {}
    for batch in batches:
        ids = np.pad(np.asarray(batch["token_ids"]), ((0, 0), (1, 1)), constant_values=-1)
        used = np.argwhere(np.asarray(batch["masked_weights"]) > 0)
        positions, targets = np.asarray(batch["masked_positions"]), np.asarray(batch["masked_targets"])
        for row, place in used:
            position = int(positions[row, place]) + 1
            sides = (int(ids[row, position - 1]), int(ids[row, position + 1]))
            left, right = (None if token < 0 or token in silent else token for token in sides)
            if (left, right) not in known:
                known[left, right] = tables.guess(left, right)
            for name, token in known[left, right].items():
                right_guesses[name] += token == targets[row, place]
            total += 1
    if not total:
        raise SystemExit("the held-out shards gave no masked token")
    return {"masked": total, **{name: count / total for name, count in right_guesses.items()}}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", type=Path, help="folder of the training shards")
    parser.add_argument("held_out", type=Path, help="folder of the held-out shards, made with the same tokenizer")
    parser.add_argument("--batches", type=int, default=40, help="batches of 32 x 128 tokens to ask (default 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    from keras_bert.data.pretraining import PretrainingData, PretrainingSettings

    if read_manifest(arguments.shards).tokenizer_sha256 != read_manifest(arguments.held_out).tokenizer_sha256:
        raise SystemExit("the two folders were made with different tokenizers")
    settings = PretrainingSettings(sequence_length=128, objective="nsp", max_predictions=20)
    data = PretrainingData(arguments.held_out, settings, seed=arguments.seed)
    batches = data.dataset(batch_size=32, lanes=1).take(arguments.batches).as_numpy_iterator()
    special = Tokenizer.from_pretrained(arguments.held_out).special_ids
    result = masked_accuracy(count_tables(arguments.shards), batches, special)
    print_table(
        f"Accuracy on {result['masked']} masked tokens of {arguments.held_out}",
        GUESSES,
        [[f"{result[name]:.4f}" for name in GUESSES]],
    )
    if arguments.json:
        write_json(arguments.json, {"machine": machine_facts(["numpy"]), **result})


if __name__ == "__main__":
    main()
