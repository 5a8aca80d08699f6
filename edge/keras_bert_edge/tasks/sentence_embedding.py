"""One vector for a text."""

from typing import NamedTuple

import numpy as np

from .checks import require_outputs, require_single_text


class EmbeddingResult(NamedTuple):
    """`vector` is float32 [hidden_size], pooled (and normalised, where the export said so) in the model."""

    vector: np.ndarray
    truncated: bool


class SentenceEmbedding:
    OPTIONS = ()
    READS_PAIRS = False
    ONE_RUN = True

    def __init__(self, manifest, engine, tokenizer, path):
        require_outputs(engine, {"embedding": None}, path)
        self._engine = engine
        self._tokenizer = tokenizer

    def __call__(self, text, pair=None):
        encoding = self.encode(text, pair)
        return self.decode(encoding, self._engine.run_encoding(encoding))

    def encode(self, text, pair):
        """What the model reads."""
        require_single_text("sentence_embedding", pair)
        return self._tokenizer.encode(text)

    def decode(self, encoding, outputs):
        """The result from the model's outputs for an encoding."""
        return EmbeddingResult(outputs["embedding"][0], self._tokenizer.was_truncated(encoding))

    def describe(self, result):
        """The numbers, a space between them."""
        return " ".join(f"{value:.6g}" for value in result.vector)
