"""What stands behind the mask tokens of a text."""

from typing import NamedTuple

import numpy as np

from ..errors import EdgeError
from .checks import require_counts, require_outputs, require_single_text
from .ranking import highest

MASK_TOKENS = ("[MASK]", "<mask>")


class Fill(NamedTuple):
    """One token for a mask, as text, with its id and probability."""

    text: str
    token_id: int
    score: float


class MaskedLanguageModelResult(NamedTuple):
    """For each mask of the text, in order, its most probable tokens, best first. `truncated`: the text was cut."""

    fills: tuple[tuple[Fill, ...], ...]
    truncated: bool


class MaskedLanguageModel:
    OPTIONS = ("top_k",)
    READS_PAIRS = False
    ONE_RUN = False

    def __init__(self, manifest, engine, tokenizer, path):
        require_outputs(engine, {"logits": None}, path)
        self._engine = engine
        self._tokenizer = tokenizer
        known = [token for token in MASK_TOKENS if tokenizer.backend.token_to_id(token) is not None]
        if not known:
            raise EdgeError(f"tokenizer.json in {path} has no mask token ({' or '.join(MASK_TOKENS)})")
        self.mask_token = known[0]
        self._mask_id = tokenizer.backend.token_to_id(self.mask_token)

    def __call__(self, text, pair=None, top_k: int = 5):
        """Fills for every mask of the text.

        Args:
          top_k: tokens for each mask.
        """
        require_single_text("masked_lm", pair)
        require_counts(top_k=top_k)
        encoding = self._tokenizer.encode(text)
        positions = [index for index, token_id in enumerate(encoding.ids) if token_id == self._mask_id]
        if not positions:
            raise EdgeError(f"the text holds no {self.mask_token} within the first {self._tokenizer.max_length} tokens")
        logits = self._engine.run_encoding(encoding)["logits"][0, positions].astype(np.float64)
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        scores = weights / weights.sum(-1, keepdims=True)
        fills = tuple(self._fills(row, top_k) for row in scores)
        return MaskedLanguageModelResult(fills, self._tokenizer.was_truncated(encoding))

    def _fills(self, scores, count):
        best = highest(scores, count).tolist()
        decode = self._tokenizer.backend.decode
        return tuple(
            Fill(decode([index], skip_special_tokens=False).strip(), index, float(scores[index])) for index in best
        )

    def describe(self, result):
        """The tokens for each mask, masks separated by ` | `."""
        return " | ".join(", ".join(f"{fill.text} {fill.score:.4f}" for fill in fills) for fills in result.fills)
