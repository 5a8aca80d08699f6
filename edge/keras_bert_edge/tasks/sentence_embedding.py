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

    def __init__(self, manifest, engine, tokenizer, path):
        require_outputs(engine, {"embedding": None}, path)
        self._engine = engine
        self._tokenizer = tokenizer

    def __call__(self, text, pair=None):
        require_single_text("sentence_embedding", pair)
        encoding = self._tokenizer.encode(text)
        vector = self._engine.run_encoding(encoding)["embedding"][0]
        return EmbeddingResult(vector, self._tokenizer.was_truncated(encoding))

    def describe(self, result):
        """The numbers, a space between them."""
        return " ".join(f"{value:.6g}" for value in result.vector)
