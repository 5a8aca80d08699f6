"""The pretraining data of a shard folder as a `tf.data.Dataset`."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ...errors import DataError
from ...tokenizers import Tokenizer
from ..pipeline import AHEAD, read_ahead
from ..shards import Manifest, file_sha256, read_manifest
from .errors import named_errors
from .examples import Examples, full_sentences, sentence_keys
from .packing import one_example_rows, packed_rows
from .pairs import sentence_pairs
from .positions import Position, as_positions, next_positions
from .randomness import make_key, random_order
from .rows import make_rows
from .settings import PretrainingSettings
from .shard import ShardText, read_records, read_shard, shard_columns
from .vocabulary import read_vocabulary

# Tokens of the rows that are made at once: enough to make the cost of calling operations small.
_CHUNK_TOKENS = 1 << 15
# Leading parts of keys, so that the orders of shards, of examples and of rows are drawn apart (examples have 0).
_SHARD_ORDER, _EXAMPLE_ORDER, _ROW_ORDER = 1, 2, 3


class PretrainingData:
    """Masked examples made from the shards that `keras-bert prepare-data` writes.

    Examples and their masks are a pure function of (seed, epoch, shard, place in the shard). The corpus is read in
    `lanes`: lane l owns the shards l, l + lanes, ...; in each epoch it takes them in an order of its own, and of each
    shard the rows in an order of its own; then its next epoch begins. A global batch takes equally many rows of each
    lane. So the global batches depend neither on how many workers read them nor on where reading began.

    Attributes:
        folder, settings, seed: as given. manifest: what the folder holds. tokenizer: the folder's.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: PretrainingSettings, *, seed: int = 0) -> None:
        """Read the manifest and the tokenizer of a shard folder; the shards are looked at, not read.

        Raises:
            DataError: a manifest or shard that is missing or not of the size it should be, a tokenizer that is not the
                one the shards were made with, or too few documents for the objective.
            TokenizerError: a tokenizer without a mask token.
        """
        self.folder = pathlib.Path(folder)
        self.settings = settings
        self.seed = seed
        self.manifest: Manifest = read_manifest(self.folder)
        self._check_files()
        self.tokenizer = Tokenizer.from_pretrained(self.folder)
        if self.tokenizer.vocab_size != self.manifest.vocab_size:
            raise DataError(
                f"{self.folder}: the shards were made with a vocabulary of {self.manifest.vocab_size}, "
                f"the tokenizer has {self.tokenizer.vocab_size}"
            )
        self._vocabulary = read_vocabulary(self.tokenizer)
        self._check_objective()

    def dataset(
        self,
        batch_size: int,
        lanes: int = 1,
        positions: Sequence[Sequence[int]] | None = None,
        worker: int = 0,
        num_workers: int = 1,
        ahead: int = AHEAD,
    ) -> Any:
        """An endless `tf.data.Dataset` of batches, dicts with static shapes.

        With B rows of this worker, L = sequence_length, P = predictions_per_row and C = examples_per_row:
        `token_ids`, `padding_mask` (1 for tokens) and, for families that have them, `segment_ids`, int32 [B, L];
        `masked_positions`, `masked_targets` int32 and `masked_weights` float32 [B, P] (0 where unused);
        for pairs `sentence_positions` (where each pair begins), `sentence_targets` int32 and `sentence_weights`
        float32 [B, C]; packed also `sequence_ids` (1, 2, ... by example, 0 for padding) and `position_ids` (from 0 in
        each example) int32 [B, L]; and `example_ids` int64 [B, 4]: lane, epoch, shard_index, row.

        Args:
            batch_size: rows of the global batch, of all workers together.
            lanes: in how many parts the corpus is read, at most one a shard. Part of what the batches depend on.
            positions: where each of the lanes begins, as `next_positions` gives them; None is the beginning.
            worker: which of `num_workers` reads; worker w gets rows w * B to (w + 1) * B of each global batch.
            ahead: batches that are made ahead of the reader.

        Raises:
            DataError: numbers that do not divide as they must.
            tf.errors.InvalidArgumentError: while reading: a damaged shard; `named_errors` makes it a DataError.
        """
        self._check_division(batch_size, lanes, worker, num_workers)
        try:
            starts = tf.constant(as_positions(positions, lanes), tf.int64)
        except ValueError as error:
            raise DataError(f"positions: {error}") from error
        own = lanes // num_workers
        rows_of_lane = batch_size // lanes

        def lane(number: tf.Tensor) -> Any:
            return self._lane(number, lanes, starts[number]).rebatch(rows_of_lane, drop_remainder=True)

        dataset = tf.data.Dataset.range(worker * own, (worker + 1) * own)
        threads = min(own, os.cpu_count() or 1)
        dataset = dataset.interleave(
            _plain(lane), cycle_length=own, block_length=1, num_parallel_calls=threads, deterministic=True
        )
        dataset = dataset.batch(own, drop_remainder=True)

        def join(values: tf.Tensor) -> tf.Tensor:
            return tf.reshape(values, [own * rows_of_lane, *values.shape[2:]])

        dataset = read_ahead(dataset.map(_plain(lambda batch: tf.nest.map_structure(join, batch))), ahead)
        options = tf.data.Options()
        # The worker's part is cut out here already.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return dataset.with_options(options)

    def first_documents(self, tokens: int) -> list[np.ndarray]:
        """Token ids of whole documents from the first shards on, until there are `tokens` of them or no more.

        Raises:
            DataError: a damaged shard.
        """
        dtype = np.dtype(self.manifest.token_dtype).newbyteorder("<")
        documents: list[np.ndarray] = []
        for path, count, _ in zip(*shard_columns(self.folder, self.manifest.shards), strict=True):
            with named_errors():
                texts, _ = read_records(path, count)
            for text in texts.numpy():
                documents.append(np.frombuffer(text, dtype))
                tokens -= len(documents[-1])
                if tokens <= 0:
                    return documents
        return documents

    @staticmethod
    def next_positions(example_ids: Any) -> list[Position]:
        """The positions after the rows of one batch, one a lane in it; see `positions.next_positions`."""
        return next_positions(example_ids)

    def shard_files(self, example_ids: Any, lanes: int) -> list[str]:
        """File names, sorted, of the shards that examples came from.

        Args:
            example_ids: int64 [rows, 4] of a batch: lane, epoch, shard_index, row.
            lanes: as the dataset was read with.
        """
        places = np.unique(np.asarray(example_ids)[:, :3], axis=0).tolist()
        return sorted(
            {self.manifest.shards[int(self._shard(lane, epoch, index, lanes))].file for lane, epoch, index in places}
        )

    # === Checks ===

    def _check_files(self) -> None:
        if not self.manifest.shards:
            raise DataError(f"{self.folder} holds no shards")
        for shard in self.manifest.shards:
            path = self.folder / shard.file
            try:
                size = path.stat().st_size
            except OSError as error:
                raise DataError(f"shard {path} cannot be read: {error.strerror or error}") from error
            if size != shard.bytes:
                raise DataError(
                    f"shard {path} has {size} bytes, expected {shard.bytes}: it was cut short or written over"
                )
        tokenizer = self.folder / "tokenizer.json"
        try:
            digest = file_sha256(tokenizer)
        except OSError as error:
            raise DataError(f"{tokenizer} cannot be read: {error.strerror or error}") from error
        if digest != self.manifest.tokenizer_sha256:
            raise DataError(f"{tokenizer} is not the tokenizer that the shards were made with")

    def _check_objective(self) -> None:
        if self.settings.pairs and not self._vocabulary.segments:
            raise DataError(
                f"{self.folder}: objective {self.settings.objective!r} needs a family with segments (bert, albert), "
                f"the tokenizer is made for {self.tokenizer.family}: use objective 'mlm'"
            )
        if self.settings.objective == "sop":
            for shard in self.manifest.shards:
                if shard.tokens == shard.documents:  # no document is empty
                    raise DataError(
                        f"{self.folder / shard.file}: sentence-order prediction needs a document of at least 2 tokens "
                        "in each shard, got documents of one token alone"
                    )
        if self.settings.objective != "nsp":
            return
        if self.manifest.documents < 2:
            raise DataError(
                f"{self.folder}: next-sentence prediction needs at least 2 documents, got {self.manifest.documents}"
            )
        for shard in self.manifest.shards:
            if shard.documents < 2:
                raise DataError(
                    f"{self.folder / shard.file}: next-sentence prediction needs at least 2 documents in each shard, "
                    f"got {shard.documents}: prepare the data with fewer shards"
                )

    def _check_division(self, batch_size: int, lanes: int, worker: int, num_workers: int) -> None:
        shards = len(self.manifest.shards)
        if not 1 <= lanes <= shards:
            raise DataError(f"lanes: expected 1 to {shards}, the number of shards, got {lanes}")
        if batch_size < 1 or batch_size % lanes:
            raise DataError(f"batch_size: expected a multiple of the {lanes} lanes, got {batch_size}")
        if num_workers < 1 or lanes % num_workers:
            raise DataError(f"num_workers: expected a divisor of the {lanes} lanes, got {num_workers}")
        if not 0 <= worker < num_workers:
            raise DataError(f"worker: expected 0 to {num_workers - 1}, got {worker}")

    # === One lane ===

    def _lane(self, lane: tf.Tensor, lanes: int, start: tf.Tensor) -> Any:
        """The rows of one lane from a position on, in chunks of any size."""
        own = (len(self.manifest.shards) - lane + lanes - 1) // lanes
        first = start[0] * own + start[1]

        def rows(visit: tf.Tensor) -> Any:
            epoch, index = visit // own, visit % own
            shard = self._shard(lane, epoch, index, lanes)
            return self._rows(lane, epoch, index, shard, tf.where(visit == first, start[2], 0))

        return tf.data.Dataset.counter(first).flat_map(_plain(rows))

    def _shard(self, lane: Any, epoch: Any, index: Any, lanes: int) -> tf.Tensor:
        """Number of the shard that a lane reads as its `index`-th in an epoch."""
        own = (len(self.manifest.shards) - lane + lanes - 1) // lanes
        order = random_order(make_key(self.seed, _SHARD_ORDER, lane, epoch), own)
        return lane + lanes * tf.cast(order[index], tf.int64)

    def _rows(self, lane: tf.Tensor, epoch: tf.Tensor, index: tf.Tensor, shard: tf.Tensor, first: tf.Tensor) -> Any:
        """The rows of one shard in one epoch, from row `first` on, in chunks."""
        paths, documents, tokens = shard_columns(self.folder, self.manifest.shards)
        text = read_shard(
            tf.gather(paths, shard),
            tf.gather(documents, shard),
            tf.gather(tokens, shard),
            token_dtype=self.manifest.token_dtype,
            vocabulary=self._vocabulary,
            longest_sentence=self.settings.text_length,
        )
        examples = self._examples(text, epoch, shard)
        table = self._row_table(examples, epoch, shard)
        count = tf.shape(table, tf.int64)[0]
        chunk = max(8, _CHUNK_TOKENS // self.settings.sequence_length)

        def make(begin: tf.Tensor) -> dict[str, tf.Tensor]:
            end = tf.minimum(begin + chunk, count)
            rows = make_rows(text, examples, table[begin:end], self.settings, self._vocabulary)
            numbers = tf.range(begin, end)
            rows["example_ids"] = tf.stack([tf.fill(tf.shape(numbers), n) for n in (lane, epoch, index)] + [numbers], 1)
            return rows

        return tf.data.Dataset.range(first, count, chunk).map(_plain(make))

    def _examples(self, text: ShardText, epoch: tf.Tensor, shard: tf.Tensor) -> Examples:
        if self.settings.static_masks:
            epoch = epoch % self.settings.static_masks
        keys = sentence_keys(self.seed, epoch, shard, text)
        return (sentence_pairs if self.settings.pairs else full_sentences)(text, keys, self.settings)

    def _row_table(self, examples: Examples, epoch: tf.Tensor, shard: tf.Tensor) -> tf.Tensor:
        """The examples of each row in the order of this epoch, int32 [rows, examples_per_row]."""
        order = random_order(make_key(self.seed, _EXAMPLE_ORDER, epoch, shard), tf.shape(examples.keys)[0])
        if not self.settings.pack:
            return one_example_rows(order)
        rows = packed_rows(order, examples.lengths, self.settings.sequence_length, self.settings.max_packed)
        shuffled = random_order(make_key(self.seed, _ROW_ORDER, epoch, shard), tf.shape(rows)[0])
        return tf.gather(rows, shuffled)


def _plain(function: Any) -> Any:
    """The function as it stands: none of it needs Python control flow turned into graph code."""
    return tf.autograph.experimental.do_not_convert(function)
