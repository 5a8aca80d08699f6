"""What a teacher says about training examples: computed once, kept in memory or on disk, batched beside the targets."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_bert.config import IGNORED_TARGET, EncoderConfig
from keras_bert.data.batches import TokenizedTexts, TokenTargets, batch_indices
from keras_bert.data.pipeline import generated_dataset
from keras_bert.data.predict import output_batches
from keras_bert.errors import KerasBertError
from keras_bert.files import atomic_path
from keras_bert.tokenizers import Tokenizer

PER_TOKEN = ("token_classification", "question_answering")


@dataclasses.dataclass(frozen=True, eq=False)
class SoftLabels:
    """A teacher's logits: float32 [texts, outputs], or [tokens, outputs] laid end to end as the texts are."""

    values: np.ndarray
    per_token: bool

    def rows(self, texts: TokenizedTexts, indices: np.ndarray, length: int) -> np.ndarray:
        """Those of a batch, float32 [batch, outputs] or [batch, length, outputs] filled up with zeros."""
        if not self.per_token:
            return self.values[indices]
        found = np.zeros((len(indices), length, self.values.shape[-1]), "float32")
        for row, index in enumerate(indices):
            part = self.values[texts.ends[index - 1] if index else 0 : texts.ends[index]]
            found[row, : len(part)] = part
        return found


def ids_in(teacher: Tokenizer, student: Tokenizer) -> np.ndarray | None:
    """The teacher's id of each of the student's, int64 [student's vocab_size]; None where they are the same.

    Raises:
        KerasBertError: the student has a token that the teacher has not.
    """
    own, other = student.vocab, teacher.vocab
    if own == other:
        return None
    if missing := sorted(own.keys() - other.keys(), key=own.__getitem__):
        raise KerasBertError(
            f"the vocabularies differ: the student's {student.vocab_size:,} tokens hold {missing[0]!r}, the teacher's"
            f" {teacher.vocab_size:,} do not; a student reads with its teacher's tokens"
        )
    found = np.zeros(student.vocab_size, "int64")
    for token, token_id in own.items():
        found[token_id] = other[token]
    return found


def stacked_logits(outputs: Any) -> Any:
    """A task's outputs as one tensor, its alternatives last: start and end of an answer become two columns."""
    if isinstance(outputs, Mapping):
        return keras.ops.stack([outputs["start_logits"], outputs["end_logits"]], axis=-1)
    return outputs


def teacher_logits(
    teacher: Any,
    texts: TokenizedTexts,
    *,
    batch_size: int = 64,
    on_batch: Callable[[int], None] = lambda count: None,
) -> SoftLabels:
    """The teacher's logits for all texts.

    Args:
        teacher: a task model.
        texts: in its own tokens.
        on_batch: called with the number of texts done since the last call.

    Raises:
        KerasBertError: the teacher gives values that are not finite.
    """
    per_token = teacher.task in PER_TOKEN
    rows: list[Any] = [None] * len(texts)
    for indices, outputs in output_batches(teacher, texts, batch_size, lambda index: f"number {index + 1}"):
        logits = np.asarray(stacked_logits(outputs.get("output", outputs)))
        for index, row, length in zip(indices, logits, texts.lengths[indices], strict=True):
            rows[index] = row[:length] if per_token else row[None]
        on_batch(len(indices))
    return SoftLabels(np.concatenate(rows), per_token)


def cached_logits(
    path: str | os.PathLike[str],
    teacher: Any,
    texts: TokenizedTexts,
    compute: Callable[[], SoftLabels],
) -> SoftLabels:
    """The logits in `path`, or, where there is no such file, those that `compute` returns, which are written there.

    Raises:
        KerasBertError: the file is broken, or holds the logits of another teacher or for other texts.
    """
    path, digest = pathlib.Path(path), _digest(teacher, texts)
    if not path.exists():
        found = compute()
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, values=found.values, per_token=found.per_token, digest=digest)
        return found
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise ValueError("it holds a bare array")
        with stored:
            found = SoftLabels(stored["values"], bool(stored["per_token"]))
            same = str(stored["digest"]) == digest
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise KerasBertError(f"{path} is no file of teacher logits: {error}") from error
    if not same:
        raise KerasBertError(
            f"{path} holds the logits of another teacher, or for other texts: remove it or name another"
        )
    return found


def distillation_dataset(
    texts: TokenizedTexts,
    targets: Any,
    soft: SoftLabels | None,
    config: EncoderConfig,
    *,
    batch_size: int,
    seed: int = 0,
    segments: bool = False,
    weights: np.ndarray | None = None,
    in_epoch: Callable[[int], np.ndarray] | None = None,
) -> Any:
    """A `tf.data.Dataset` of (features, {"hard": targets, "soft": teacher's logits}) batches, shuffled anew each epoch.

    Args:
        targets: array [texts, ...], such arrays by output name, or `TokenTargets`.
        soft: None leaves `soft` out.
        config: the student's. segments: the teacher reads the batches too, and has segments: they are in the features
            whether the student has any or not.
        weights: of the targets of each text, float32 [texts], which each batch then holds as `weight`; None: all alike.
        in_epoch: epoch, from 0 -> indices of its texts, equally many in all; None: all texts in all.
    """
    import tensorflow as tf

    epochs = itertools.count()
    in_epoch = in_epoch or (lambda epoch: np.arange(len(texts)))

    def batch(indices: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        features = texts.features(indices, config)
        length = features["token_ids"].shape[1]
        if segments:
            features["segment_ids"] = texts.padded(texts.segment_ids, indices, length, 0)
        if isinstance(targets, TokenTargets):
            hard = texts.padded(targets.values, indices, length, IGNORED_TARGET)
        else:
            hard = tf.nest.map_structure(lambda values: np.asarray(values)[indices], targets)
        both = {"hard": hard}
        if weights is not None:
            both["weight"] = weights[indices]
        if soft is not None:
            both["soft"] = soft.rows(texts, indices, length)
        return features, both

    def batches() -> Iterator[Any]:
        chosen = in_epoch(epoch := next(epochs))
        for indices in batch_indices(texts.lengths[chosen], batch_size, shuffle=True, seed=seed, epoch=epoch):
            yield batch(chosen[indices])

    def spec(name: str, values: np.ndarray) -> Any:
        ragged = name == "soft" and soft is not None and soft.per_token
        ragged |= name == "hard" and isinstance(targets, TokenTargets)
        inner = (None, *values.shape[2:]) if ragged else values.shape[1:]
        return tf.TensorSpec((None, *inner), tf.as_dtype(values.dtype))

    features, both = batch(np.arange(min(1, len(texts))))
    signature = (
        {name: tf.TensorSpec((None, None), tf.int32) for name in features},
        {name: tf.nest.map_structure(lambda values, n=name: spec(n, values), both[name]) for name in both},
    )
    return generated_dataset(batches, signature, -(-len(in_epoch(0)) // batch_size))


def _digest(teacher: Any, texts: TokenizedTexts) -> str:
    """Of every weight of the teacher and every token of the texts."""
    digest = hashlib.blake2b(digest_size=20)
    for weight in teacher.trainable_weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight.value)).data)
    for array in (texts.token_ids, texts.segment_ids, texts.ends):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
