"""`EncoderConfig`, what makes one encoder of the BERT family, and `PRESETS`, one row per published model."""

from __future__ import annotations

import dataclasses
from typing import Any

from .errors import ConfigError

FAMILIES = ("bert", "distilbert", "roberta", "albert")
ACTIVATIONS = ("gelu", "gelu_tanh", "relu")

# Target of a token that no loss and no metric looks at.
IGNORED_TARGET = -100


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """The shape of one Transformer encoder. A family differs from another only in these values.

    Attributes:
        family: `bert`, `distilbert`, `roberta` or `albert`; decides heads, names in checkpoints, tokenizer.
        vocab_size: rows of the token table.
        hidden_size: width of the encoder; a multiple of `num_heads` unless `head_size` is given.
        num_layers: layers that a text passes, counted as published (ALBERT: groups applied, whatever is shared).
        num_heads: attention heads per layer.
        head_size: width of one head; None means `hidden_size / num_heads`. Given where heads were removed, and the
            attention is narrower than the encoder.
        intermediate_size: width of the feed-forward layer, of the widest one where they differ.
        intermediate_sizes: of each block with weights of its own, where units were removed and not equally many in
            each; None where all have `intermediate_size`.
        max_positions: longest sequence in tokens.
        num_segments: rows of the segment table; 0 no table, 1 one row added to every token, 2 a `segment_ids` input.
        embedding_size: width of the embedding tables; 0 means `hidden_size`. ALBERT's factorised embedding is
            narrower and followed by a projection (ALBERT paper, section 3.1).
        num_layer_groups: None gives every layer its own weights; G shares: layer i uses group i * G // num_layers
            (ALBERT paper, section 3.1; all published models have one group).
        layers_per_group: transformer blocks inside one group (ALBERT's `inner_group_num`).
        activation: `gelu` (erf), `gelu_tanh` or `relu`.
        layer_norm_epsilon: added to the variance in every LayerNorm.
        hidden_dropout, attention_dropout, classifier_dropout: rates in [0, 1).
        initializer_range: standard deviation of the truncated normal that weights start from.
        pad_token_id: id of the padding token.
        position_offset: first row of the position table that a token uses. RoBERTa: 2, the table has
            `max_positions + 2` rows and padding tokens use row 1.
        sinusoidal_positions: position table fixed to sines and cosines (a DistilBERT option).
        pooler: dense + tanh over the first token, the `pooled_output`.
    """

    family: str = "bert"
    vocab_size: int = 30522
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    head_size: int | None = None
    intermediate_size: int = 3072
    intermediate_sizes: tuple[int, ...] | None = None
    max_positions: int = 512
    num_segments: int = 2
    embedding_size: int = 0
    num_layer_groups: int | None = None
    layers_per_group: int = 1
    activation: str = "gelu"
    layer_norm_epsilon: float = 1e-12
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    classifier_dropout: float = 0.1
    initializer_range: float = 0.02
    pad_token_id: int = 0
    position_offset: int = 0
    sinusoidal_positions: bool = False
    pooler: bool = True

    def __post_init__(self) -> None:
        if not self.embedding_size:
            object.__setattr__(self, "embedding_size", self.hidden_size)
        self._require(self.family in FAMILIES, "family", f"one of {', '.join(FAMILIES)}")
        self._require(self.activation in ACTIVATIONS, "activation", f"one of {', '.join(ACTIVATIONS)}")
        sizes = ("vocab_size", "hidden_size", "num_layers", "num_heads", "intermediate_size", "max_positions")
        for name in (*sizes, "embedding_size", "layers_per_group"):
            value = getattr(self, name)
            self._require(_is_whole(value) and value > 0, name, "a positive whole number")
        if self.head_size is None:
            fits = self.hidden_size % self.num_heads == 0
            self._require(fits, "hidden_size", f"a multiple of {self.num_heads} heads")
        else:
            self._require(_is_whole(self.head_size) and self.head_size > 0, "head_size", "a positive whole number")
            if self.head_size * self.num_heads == self.hidden_size:  # one way to say the same
                object.__setattr__(self, "head_size", None)
        for name in ("hidden_dropout", "attention_dropout", "classifier_dropout"):
            self._require(_is_number(getattr(self, name)) and 0 <= getattr(self, name) < 1, name, "a rate in [0, 1)")
        for name in ("num_segments", "position_offset"):
            value = getattr(self, name)
            self._require(_is_whole(value) and value >= 0, name, "a whole number, 0 or more")
        for name in ("layer_norm_epsilon", "initializer_range"):
            self._require(_is_number(getattr(self, name)) and getattr(self, name) > 0, name, "a number above 0")
        pad = self.pad_token_id
        self._require(_is_whole(pad) and 0 <= pad < self.vocab_size, "pad_token_id", f"an id below {self.vocab_size}")
        groups = self.num_layer_groups
        fits = groups is None or (_is_whole(groups) and 0 < groups <= self.num_layers)
        self._require(fits, "num_layer_groups", "1 to num_layers, or None")
        if self.intermediate_sizes is not None:
            self._check_intermediate_sizes()

    def _check_intermediate_sizes(self) -> None:
        sizes, blocks = self.intermediate_sizes, self.num_blocks
        fits = isinstance(sizes, (list, tuple)) and len(sizes) == blocks and all(_is_whole(s) and s > 0 for s in sizes)
        self._require(fits, "intermediate_sizes", f"None, or a positive whole number for each of {blocks} blocks")
        assert sizes is not None
        object.__setattr__(self, "intermediate_size", max(sizes))
        # One way to say the same; JSON knows lists alone.
        object.__setattr__(self, "intermediate_sizes", None if len(set(sizes)) == 1 else tuple(sizes))

    def _require(self, condition: bool, name: str, expected: str) -> None:
        if not condition:
            raise ConfigError(f"EncoderConfig.{name}: expected {expected}, got {getattr(self, name)!r}")

    @property
    def uses_segments(self) -> bool:
        """Whether the model takes `segment_ids`."""
        return self.num_segments >= 2

    @property
    def attention_size(self) -> int:
        """Width of the queries, keys and values: all heads side by side."""
        return self.hidden_size if self.head_size is None else self.num_heads * self.head_size

    @property
    def position_rows(self) -> int:
        """Rows of the position table."""
        return self.max_positions + self.position_offset

    @property
    def num_blocks(self) -> int:
        """Transformer blocks with weights of their own."""
        return (self.num_layer_groups or self.num_layers) * self.layers_per_group

    @property
    def block_schedule(self) -> tuple[int, ...]:
        """The blocks a text passes, by index, in order; a block that returns is shared."""
        groups, inner = self.num_layer_groups or self.num_layers, self.layers_per_group
        first = [layer * groups // self.num_layers * inner for layer in range(self.num_layers)]
        return tuple(start + step for start in first for step in range(inner))

    @property
    def feedforward_sizes(self) -> tuple[int, ...]:
        """Width of the feed-forward layer of each block with weights of its own."""
        return self.intermediate_sizes or (self.intermediate_size,) * self.num_blocks

    def of_block(self, index: int) -> EncoderConfig:
        """The configuration of one block: this one, with the block's own `intermediate_size` for all."""
        return self.replace(intermediate_size=self.feedforward_sizes[index], intermediate_sizes=None)

    def replace(self, **changes: Any) -> EncoderConfig:
        """A copy with `changes`; checked like a new one."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, for JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> EncoderConfig:
        """The inverse of `to_dict`.

        Raises:
            ConfigError: a field is unknown or its value does not fit.
        """
        unknown = sorted(set(values) - {field.name for field in dataclasses.fields(cls)})
        if unknown:
            raise ConfigError(f"EncoderConfig has no field {', '.join(unknown)}")
        return cls(**values)


def _bert(vocab_size: int, num_layers: int, hidden_size: int, num_heads: int, **changes: Any) -> EncoderConfig:
    values = {"intermediate_size": 4 * hidden_size, **changes}
    return EncoderConfig(
        vocab_size=vocab_size, num_layers=num_layers, hidden_size=hidden_size, num_heads=num_heads, **values
    )


def _distilbert(vocab_size: int) -> EncoderConfig:
    return _bert(vocab_size, 6, 768, 12, family="distilbert", num_segments=0, pooler=False, classifier_dropout=0.2)


def _roberta(num_layers: int, hidden_size: int, num_heads: int) -> EncoderConfig:
    return _bert(
        50265,
        num_layers,
        hidden_size,
        num_heads,
        family="roberta",
        num_segments=1,
        layer_norm_epsilon=1e-5,
        pad_token_id=1,
        position_offset=2,
    )


def _albert(num_layers: int, hidden_size: int, num_heads: int) -> EncoderConfig:
    return _bert(
        30000,
        num_layers,
        hidden_size,
        num_heads,
        family="albert",
        embedding_size=128,
        num_layer_groups=1,
        activation="gelu_tanh",
        hidden_dropout=0.0,
        attention_dropout=0.0,
    )


PRESETS: dict[str, EncoderConfig] = {
    "bert_tiny_uncased": _bert(30522, 2, 128, 2),
    "bert_mini_uncased": _bert(30522, 4, 256, 4),
    "bert_small_uncased": _bert(30522, 4, 512, 8),
    "bert_medium_uncased": _bert(30522, 8, 512, 8),
    "bert_base_uncased": _bert(30522, 12, 768, 12),
    "bert_base_cased": _bert(28996, 12, 768, 12),
    "bert_large_uncased": _bert(30522, 24, 1024, 16),
    "bert_large_cased": _bert(28996, 24, 1024, 16),
    "minilm_l6_uncased": _bert(30522, 6, 384, 12),
    "minilm_l12_uncased": _bert(30522, 12, 384, 12),
    "tinybert_4l_uncased": _bert(30522, 4, 312, 12, intermediate_size=1200),
    "distilbert_base_uncased": _distilbert(30522),
    "distilbert_base_cased": _distilbert(28996),
    "distilroberta_base": _roberta(6, 768, 12),
    "roberta_base": _roberta(12, 768, 12),
    "roberta_large": _roberta(24, 1024, 16),
    "albert_base_v2": _albert(12, 768, 12),
    "albert_large_v2": _albert(24, 1024, 16),
    "albert_xlarge_v2": _albert(24, 2048, 16),
    "albert_xxlarge_v2": _albert(12, 4096, 64),
}
