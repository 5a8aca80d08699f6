"""Sentence vectors: pairs of texts that belong together, or that have a score of how alike they are."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_bert import metrics
from keras_bert.data import Columns, SentencePairs, predict_logits, read_sentence_pairs, tokenize
from keras_bert.data.sentence_pairs import interleaved, paired_dataset
from keras_bert.errors import KerasBertError
from keras_bert.training import CosineSimilarityLoss, MultipleNegativesRankingLoss

from .base import Answered, Evaluation, TaskAdapter, TrainingExamples, refuse_class_options, split_by

LOSSES = ("contrastive", "cosine")

_BLOCK = 1024


class PairVectors(NamedTuple):
    """Vectors of length 1 of the first and second texts, float32 [pairs, hidden_size] each."""

    first: np.ndarray
    second: np.ndarray


@dataclasses.dataclass(frozen=True)
class PairExamples(TrainingExamples):
    """Interleaved texts; targets are scores or None."""

    def num_batches(self, batch_size: int) -> int:
        return -(-len(self.texts) // 2 // batch_size)

    def dataset(self, config: Any, *, batch_size: int, seed: int, first_epoch: int) -> Any:
        return paired_dataset(
            self.texts, self.targets, config, batch_size=batch_size, shuffle=True, seed=seed, first_epoch=first_epoch
        )


class SentenceEmbedding(TaskAdapter):
    """Predictions are `PairVectors`."""

    name = "sentence_embedding"
    reads_pairs = "may"
    max_length = 128
    unit = "pairs"
    option_names = ("max_score", "loss", "scale", "text_column", "pair_column", "label_column")

    def add_reading_options(self, group: Any) -> None:
        group.description = "two columns of text, and where there is one, a column `label` of scores"
        group.add_argument(
            "--max-score", type=float, metavar="X", help="score of two texts that mean the same (default 1; 5 in STS-B)"
        )

    def add_training_options(self, group: Any) -> None:
        group.add_argument(
            "--loss", choices=LOSSES, help="of sentence_embedding; default: cosine with scores, contrastive without"
        )
        group.add_argument("--scale", type=float, metavar="X", help="inverse temperature of --loss contrastive (20)")

    def read(self, path: str, options: argparse.Namespace) -> SentencePairs:
        columns = Columns(options.text_column, options.pair_column, options.label_column)
        return read_sentence_pairs(path, columns, max_score=options.max_score or 1.0)

    def split(
        self, data: SentencePairs, fraction: float, options: argparse.Namespace
    ) -> tuple[SentencePairs, SentencePairs]:
        """Hold out first texts with all their seconds."""
        return split_by(data.texts, data, fraction, options.seed)

    def model_arguments(self, train: SentencePairs, options: argparse.Namespace) -> dict[str, Any]:
        return {}

    def check(self, data: SentencePairs, model_labels: Sequence[str], options: argparse.Namespace) -> None:
        """Every file that can be read can be scored."""

    def training_examples(
        self, model: Any, train: SentencePairs, max_length: int, options: argparse.Namespace
    ) -> PairExamples:
        train, notes = _whole_pairs(train, options)
        sides = [tokenize(model.tokenizer, side, max_length=max_length) for side in (train.texts, train.pairs)]
        texts = interleaved(*sides)
        if texts.truncated:
            notes.append(f"{texts.truncated} of {2 * len(train)} training texts were cut to {max_length} tokens")
        return PairExamples(texts, train.scores, notes)

    def compile_arguments(self, model: Any, examples: TrainingExamples, options: argparse.Namespace) -> dict[str, Any]:
        refuse_class_options(self.name, options)
        loss = options.loss or ("contrastive" if examples.targets is None else "cosine")
        if loss == "cosine":
            if examples.targets is None:
                raise KerasBertError("--loss cosine needs scores: a column `label`, or one named by --label-column")
            if options.scale:
                raise KerasBertError("--scale is of --loss contrastive")
            return {"loss": CosineSimilarityLoss()}
        return {"loss": MultipleNegativesRankingLoss(options.scale or 20.0)}

    def predict(
        self,
        model: Any,
        data: SentencePairs,
        *,
        batch_size: int,
        max_length: int | None,
        on_item: Callable[[int], None],
    ) -> PairVectors:
        return PairVectors(
            *(
                _unit(predict_logits(model, side, batch_size=batch_size, max_length=max_length, on_batch=advance))
                for side, advance in ((data.texts, None), (data.pairs, on_item))
            )
        )

    def edge_predict(self, runner: Any, data: SentencePairs, on_item: Callable[[int], None]) -> PairVectors:
        rows = []
        for pair in zip(data.texts, data.pairs, strict=True):
            rows.append([runner(text).vector for text in pair])
            on_item(1)
        vectors = _unit(np.array(rows, "float32"))
        return PairVectors(vectors[:, 0], vectors[:, 1])

    def evaluate(self, predictions: PairVectors, data: SentencePairs, model: Any) -> Evaluation:
        """With scores their correlation with the cosines (Spearman's first, as STS is ranked by); without, how often
        the second text of a pair is the nearest of all seconds to its first, and the mean reciprocal rank."""
        cosines = (predictions.first * predictions.second).sum(-1)
        if data.scores is None:
            return Evaluation(_retrieval(predictions, data.pairs), {})
        targets = np.array(data.scores)
        return Evaluation(
            {
                "spearman": metrics.spearman(targets, cosines),
                "pearson": metrics.pearson(targets, cosines),
                "mse": float(np.mean((targets - cosines) ** 2)),
            },
            {},
        )

    def answer(
        self, model: Any, texts: Sequence[str], pairs: Sequence[str] | None, options: argparse.Namespace
    ) -> list[Answered]:
        """A text's vector, or the cosine of a pair."""
        vectors = predict_logits(model, texts, batch_size=options.batch_size)
        if pairs is None:
            return [
                Answered(" ".join(f"{value:.6g}" for value in row), {"text": text, "vector": row.tolist()})
                for text, row in zip(texts, vectors, strict=True)
            ]
        others = _unit(predict_logits(model, pairs, batch_size=options.batch_size))
        cosines = (_unit(vectors) * others).sum(-1).tolist()
        return [
            Answered(f"{cosine:.4f}\t{text}\t{pair}", {"text": text, "pair": pair, "cosine": cosine})
            for text, pair, cosine in zip(texts, pairs, cosines, strict=True)
        ]


def _whole_pairs(train: SentencePairs, options: argparse.Namespace) -> tuple[SentencePairs, list[str]]:
    """The pairs that the devices of `--mirrored` can share without parting any, and what to say of the others.

    Raises:
        KerasBertError: a batch cannot be shared so.
    """
    import tensorflow as tf

    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if options.batch_size % replicas:
        raise KerasBertError(f"--batch-size {options.batch_size} pairs cannot be shared by {replicas} devices")
    left = len(train) % replicas
    if not left:
        return train, []
    kept = train.subset(range(len(train) - left))
    return kept, [f"the last {left} of {len(train)} training pairs are left out: {replicas} devices share each batch"]


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1; a zero vector stays one."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def _retrieval(vectors: PairVectors, seconds: Sequence[str]) -> dict[str, float]:
    """Accuracy at 1 and mean reciprocal rank; a second text that is equal to the right one is no rival."""
    numbers: dict[str, int] = {}
    same = np.array([numbers.setdefault(text, len(numbers)) for text in seconds])
    ranks = []
    for start in range(0, len(seconds), _BLOCK):
        part = slice(start, start + _BLOCK)
        cosines = vectors.first[part] @ vectors.second.T
        own = cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))]
        rivals = (cosines > own[:, None]) & (same[None] != same[part][:, None])
        ranks.append(1 + rivals.sum(-1))
    rank = np.concatenate(ranks)
    return {"accuracy": float(np.mean(rank == 1)), "mrr": float(np.mean(1 / rank))}
