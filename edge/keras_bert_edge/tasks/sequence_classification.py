"""A label, several labels or a number for one text or a pair."""

import math
from typing import NamedTuple

from .checks import require_outputs

MULTI_LABEL_THRESHOLD = 0.5


class ClassificationResult(NamedTuple):
    """The best label, its probability, and every label's. `truncated`: the text was too long and cut."""

    label: str
    score: float
    scores: dict[str, float]
    truncated: bool


class MultiLabelResult(NamedTuple):
    """The labels whose probability is at least 0.5, and the probability of every label."""

    labels: tuple[str, ...]
    scores: dict[str, float]
    truncated: bool


class RegressionResult(NamedTuple):
    """The number that the model gives."""

    value: float
    truncated: bool


class SequenceClassification:
    OPTIONS = ()
    READS_PAIRS = True
    ONE_RUN = True

    def __init__(self, manifest, engine, tokenizer, path):
        self._engine = engine
        self._tokenizer = tokenizer
        self._labels = manifest.labels
        # MediaPipe's profile has the softmax or sigmoid in the graph.
        self._output = "probability" if "probability" in engine.output_widths else "logits"
        require_outputs(engine, {self._output: len(self._labels)}, path)
        self._activate = {
            "single_label_classification": softmax,
            "multi_label_classification": sigmoid,
            "regression": list,
        }[manifest.problem_type]
        if self._output == "probability":
            self._activate = list
        self._result = {
            "single_label_classification": self._one_label,
            "multi_label_classification": self._many_labels,
            "regression": lambda values, truncated: RegressionResult(values[0], truncated),
        }[manifest.problem_type]

    def __call__(self, text, pair=None):
        encoding = self.encode(text, pair)
        return self.decode(encoding, self._engine.run_encoding(encoding))

    def encode(self, text, pair):
        """What the model reads."""
        return self._tokenizer.encode(text, pair)

    def decode(self, encoding, outputs):
        """The result from the model's outputs for an encoding."""
        values = outputs[self._output][0].tolist()
        return self._result(self._activate(values), self._tokenizer.was_truncated(encoding))

    def _one_label(self, scores, truncated):
        best = scores.index(max(scores))
        return ClassificationResult(self._labels[best], scores[best], dict(zip(self._labels, scores)), truncated)

    def _many_labels(self, scores, truncated):
        chosen = tuple(label for label, score in zip(self._labels, scores) if score >= MULTI_LABEL_THRESHOLD)
        return MultiLabelResult(chosen, dict(zip(self._labels, scores)), truncated)

    def describe(self, result):
        """`label <tab> score`, `label score, label score` or the value."""
        if isinstance(result, ClassificationResult):
            return f"{result.label}\t{result.score:.4f}"
        if isinstance(result, MultiLabelResult):
            return ", ".join(f"{label} {result.scores[label]:.4f}" for label in result.labels)
        return f"{result.value:.4f}"


def softmax(values):
    """Probabilities of a list of logits. For the few labels of a classifier, plain floats are faster than an array."""
    highest = max(values)
    exponentials = [math.exp(value - highest) for value in values]
    total = sum(exponentials)
    return [value / total for value in exponentials]


def sigmoid(values):
    """Independent probabilities of a list of logits; exact for large negative ones too."""
    return [1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(value)) for value in values]
