"""The network of a pretraining step: logits for the masked tokens and the sentence pairs, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import keras
from keras import ops

from ..layers import dropout as seeds
from ..layers.attention import attention_bias
from ..layers.fusion import is_fusing
from .language import MaskedLanguageModel, PretrainingModel

# In which a part of the network draws its dropout masks, by the part's number.
Scope = Callable[[int], AbstractContextManager[None]]


def pretraining_network(
    model: PretrainingModel | MaskedLanguageModel,
    *,
    packed: bool = False,
    rematerialize: bool = False,
    hidden: bool = False,
) -> PretrainingNetwork:
    """The training network over `model`'s own variables; see `PretrainingNetwork`."""
    return PretrainingNetwork(model, packed=packed, rematerialize=rematerialize, hidden=hidden)


class PretrainingNetwork(keras.Model):
    """Features to the logits that the losses need, over the variables of a pretraining or masked language model.

    The last block computes keys and values for all tokens and everything else for the rows that are asked for alone:
    masked tokens and the first token of each sentence pair. Their values are the model's own; of a small model's
    products a tenth falls away.

    Features, int32: `token_ids`, `segment_ids` (families with segments) `[batch, length]`, `masked_positions`
    `[batch, masked]`, `sentence_positions` `[batch, pairs]` (models with a sentence head); and `padding_mask`
    `[batch, length]`, or where rows hold several texts (`packed`) `sequence_ids` `[batch, length]` (1, 2, ... one
    number a text, 0 padding) and `position_ids` `[batch, length]` (from 0 in each text). Others are passed over.

    Outputs: `mlm_logits` `[batch, masked, vocab_size]`, `sentence_logits` `[batch, pairs, 2]` and, where asked for,
    `sequence_output` `[batch, length, hidden_size]`. Inside `fused_elementwise` also the logits' two parts,
    `mlm_products` and `mlm_bias` `[vocab_size]`: a loss that adds them itself saves a pass over the logits.

    Args:
        packed: rows hold several texts, and no token sees another text's (block-diagonal attention).
        rematerialize: keep only what goes into each block and compute the rest again on the way back (Chen et al.
            2016): memory for one block instead of all, for a third more time.
        hidden: the last hidden states of all tokens are wanted too, so the last block computes them all.
    """

    def __init__(
        self,
        model: PretrainingModel | MaskedLanguageModel,
        *,
        packed: bool = False,
        rematerialize: bool = False,
        hidden: bool = False,
    ) -> None:
        super().__init__(name="pretraining_network")
        self.model, self.config = model, model.config
        self.packed, self.rematerialize, self.hidden = packed, rematerialize, hidden
        self.seeds = keras.random.SeedGenerator()
        self.built = True

    @property
    def inputs_needed(self) -> tuple[str, ...]:
        """Names of the features that are read."""
        return (
            "token_ids",
            *(("sequence_ids", "position_ids") if self.packed else ("padding_mask",)),
            *(("segment_ids",) if self.config.uses_segments else ()),
            "masked_positions",
            *(("sentence_positions",) if self.model.sentence_head is not None else ()),
        )

    def call(
        self,
        features: Mapping[str, Any],
        training: bool | None = None,
        dropout_seed: Any = None,
        fused_dropout: bool = True,
    ) -> dict[str, Any]:
        """Logits by name. `dropout_seed` int32 `[2]` decides all dropout masks; None draws one. `fused_dropout`: XLA
        compiles the call, see `keras_bert.layers.dropout_seed`."""
        if not training:
            return self._outputs(features, None)
        if dropout_seed is None:
            dropout_seed = ops.cast(self.seeds.next(), "int32")

        def scope(part: int) -> AbstractContextManager[None]:
            return seeds.dropout_seed(seeds.derive_seed(dropout_seed, part), fused=fused_dropout)

        return self._outputs(features, scope)

    def _outputs(self, features: Mapping[str, Any], scope: Scope | None) -> dict[str, Any]:
        encoder: Any = self.model.encoder
        schedule = self.config.block_schedule
        masked = features["masked_positions"]
        wanted = masked
        if self.model.sentence_head is not None:
            wanted = ops.concatenate([masked, features["sentence_positions"]], axis=1)

        x = _in_training(scope, 0, encoder.embeddings)(
            features["token_ids"],
            features.get("segment_ids") if self.config.uses_segments else None,
            features["position_ids"] if self.packed else None,
        )
        keys = features["sequence_ids" if self.packed else "padding_mask"]
        bias = self._bias(keys, keys, encoder.embeddings.compute_dtype)
        whole = schedule if self.hidden else schedule[:-1]
        for number, index in enumerate(whole, start=1):
            x = self._block(encoder.blocks[index], scope, number)(x, bias)
        states, x = x, ops.take_along_axis(x, ops.expand_dims(wanted, -1), axis=1)
        if not self.hidden:
            bias = self._bias(ops.take_along_axis(keys, wanted, axis=1), keys, encoder.embeddings.compute_dtype)
            x = self._block(encoder.blocks[schedule[-1]], scope, len(schedule))(states, bias, x)

        count = masked.shape[1]
        head, table = self.model.head, encoder.embeddings.token_table
        if is_fusing():
            products = head.products(x[:, :count], table)
            bias = ops.cast(head.bias, products.dtype)
            outputs = {"mlm_logits": products + bias, "mlm_products": products, "mlm_bias": bias}
        else:
            outputs = {"mlm_logits": head(x[:, :count], table)}
        if self.model.sentence_head is not None:
            pooled = encoder.pooler(x[:, count:])
            outputs["sentence_logits"] = _in_training(scope, len(schedule) + 1, self.model.sentence_head)(pooled)
        if self.hidden:
            outputs["sequence_output"] = states
        return outputs

    def _bias(self, queries: Any, keys: Any, dtype: str) -> Any:
        """`[batch, 1, 1 or queries, length]`: padding is hidden, in packed rows the other texts too."""
        keys = ops.expand_dims(ops.expand_dims(keys, 1), 1)
        if not self.packed:
            return attention_bias(keys, dtype)
        queries = ops.expand_dims(ops.expand_dims(queries, 1), 3)
        return attention_bias(ops.logical_and(ops.equal(queries, keys), keys > 0), dtype)

    def _block(self, block: Any, scope: Scope | None, number: int) -> Any:
        run = _in_training(scope, number, block)
        return keras.remat(run) if self.rematerialize and scope is not None else run


def _in_training(scope: Scope | None, part: int, layer: Any) -> Any:
    """`layer` as a function in training with its own part of the seed, or at inference where there is no scope."""

    def run(*inputs: Any) -> Any:
        if scope is None:
            return layer(*inputs, training=False)
        with scope(part):
            return layer(*inputs, training=True)

    return run
