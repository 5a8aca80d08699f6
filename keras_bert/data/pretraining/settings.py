"""What pretraining examples are made like."""

from __future__ import annotations

import dataclasses
import math

from ...errors import ConfigError

OBJECTIVES = ("nsp", "sop", "mlm")
MASKINGS = ("token", "whole_word", "ngram", "span")
# Packed examples of a row are numbered in the sort keys of masking, which give seven bits to it.
_MOST_PACKED = 64


@dataclasses.dataclass(frozen=True)
class PretrainingSettings:
    """How documents become masked examples.

    Attributes:
        sequence_length: tokens of a row, special tokens included.
        objective: "nsp" (BERT: masked tokens, and whether the second text follows the first or is a random one), "sop"
            (ALBERT: masked tokens, and whether two neighbouring texts are swapped) or "mlm" (RoBERTa: masked tokens
            of full sentences).
        masking: what is masked as one: a "token", a "whole_word", an "ngram" of 1 to 3 whole words with
            p(n) ~ 1/n (ALBERT paper, section 4.1) or a "span" of 1 to 10 whole words with geometric lengths, p = 0.2
            (SpanBERT paper, section 3.1).
        mask_rate: share of an example's tokens, special ones counted, that the model must predict.
        max_predictions: most of them in one example; None takes mask_rate * sequence_length rounded up.
        short_sequence_rate: share of examples whose length is drawn from 2 tokens up; None is 0.1 for pairs, as in
            BERT, and 0 for "mlm", as in RoBERTa.
        static_masks: 0 makes new examples and masks in each epoch; k repeats those of the first k epochs, which is
            BERT's duplication of the data with k masks each.
        pack: lay several short examples into one row, each seeing only itself.
        max_packed: most examples of a packed row.
        cross_documents: whether an example of "mlm" goes on into the next document, after a separator (RoBERTa paper,
            section 4.2: FULL-SENTENCES; False is DOC-SENTENCES).
    """

    sequence_length: int = 128
    objective: str = "nsp"
    masking: str = "token"
    mask_rate: float = 0.15
    max_predictions: int | None = None
    short_sequence_rate: float | None = None
    static_masks: int = 0
    pack: bool = False
    max_packed: int = 8
    cross_documents: bool = True

    def __post_init__(self) -> None:
        """Fill in what was left to the defaults; raise ConfigError for a value out of range."""
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"objective: expected one of {', '.join(OBJECTIVES)}, got {self.objective!r}")
        if self.masking not in MASKINGS:
            raise ConfigError(f"masking: expected one of {', '.join(MASKINGS)}, got {self.masking!r}")
        if self.max_predictions is None:
            # A frozen dataclass can only be completed this way.
            object.__setattr__(self, "max_predictions", max(1, math.ceil(self.mask_rate * self.sequence_length)))
        if self.short_sequence_rate is None:
            object.__setattr__(self, "short_sequence_rate", 0.1 if self.pairs else 0.0)
        self._check("sequence_length", 8, 2**15)
        self._check("mask_rate", 0.0, 0.9)
        self._check("max_predictions", 1, self.sequence_length)
        self._check("short_sequence_rate", 0.0, 1.0)
        self._check("static_masks", 0, 2**31)
        self._check("max_packed", 1, _MOST_PACKED)

    def _check(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ConfigError(f"{name}: expected a number from {least:g} to {most:g}, got {value!r}")
        if isinstance(least, int) and not isinstance(value, int):
            raise ConfigError(f"{name}: expected a whole number, got {value!r}")

    @property
    def pairs(self) -> bool:
        """Whether an example is two texts with a question about them."""
        return self.objective != "mlm"

    @property
    def text_length(self) -> int:
        """Tokens of text that fit into a row beside the special tokens: [CLS] A [SEP] B [SEP], or [CLS] A [SEP]."""
        return self.sequence_length - (3 if self.pairs else 2)

    @property
    def examples_per_row(self) -> int:
        """Most examples in one row."""
        return self.max_packed if self.pack else 1

    @property
    def predictions_per_row(self) -> int:
        """Most masked tokens in one row: what the examples of a row can add up to when each rounds up."""
        assert self.max_predictions is not None
        if not self.pack:
            return self.max_predictions
        # An example of n tokens has at most mask_rate * n + 1.
        most = math.floor(self.mask_rate * self.sequence_length + self.max_packed)
        return min(most, self.max_packed * self.max_predictions, self.sequence_length)
