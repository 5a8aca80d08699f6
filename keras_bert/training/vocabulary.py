"""Tokens added to a trained model: their embeddings start from the pieces that stood for them before."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from ..errors import TokenizerError


def extend_vocabulary(model: Any, tokenizer: Any) -> Any:
    """A copy of a model with the vocabulary of `tokenizer`, which holds the tokens of `model.tokenizer` and new ones.

    The row of a new token in the token table (and so in the tied decoder), and its entry in the decoder's bias, are
    the means over the pieces that the old tokenizer cuts it into; all other weights are the model's.

    Args:
        model: a `MaskedLanguageModel` or `PretrainingModel` with its tokenizer.
        tokenizer: the extended one, as `Tokenizer.add_tokens` makes it.

    Returns:
        A new model with `tokenizer`; `model` itself where nothing is new.

    Raises:
        TokenizerError: the model has no tokenizer, or the new one is no extension of it.
    """
    old = model.tokenizer
    if old is None:
        raise TokenizerError("the model has no tokenizer: which token each of its rows belongs to is unknown")
    before, after = old.vocab, tokenizer.vocab
    moved = [token for token, token_id in before.items() if after.get(token) != token_id]
    if moved:
        raise TokenizerError(
            f"the tokenizer is no extension of the model's: {moved[0]!r} has id {before[moved[0]]} there, "
            f"{after.get(moved[0], 'none')} here ({len(moved)} tokens differ)"
        )
    new = {token: token_id for token, token_id in after.items() if token not in before}
    if not new:
        return model
    rows = max(model.config.vocab_size, tokenizer.vocab_size)
    # In running text a word stands after a space, which byte-level BPE counts as part of it.
    texts = [f" {token}" if old.kind == "bpe" else token for token in new]
    pieces = dict(zip(new.values(), old.tokenize_batch(texts), strict=True))
    encoder = type(model.encoder)(model.config.replace(vocab_size=rows), dtype=model.encoder.embeddings.dtype_policy)
    extended = type(model)(encoder, tokenizer=tokenizer, **model.head_config())
    table, bias = model.encoder.embeddings.token_table, model.head.bias
    grown = {id(encoder.embeddings.token_table): table, id(extended.head.bias): bias}
    for source, target in zip(model.weights, extended.weights, strict=True):
        if id(target) in grown:
            target.assign(_extended(keras.ops.convert_to_numpy(grown[id(target)].value), rows, pieces))
        else:
            target.assign(source)
    return extended


def _extended(values: np.ndarray, rows: int, pieces: dict[int, list[int]]) -> np.ndarray:
    """`values` with `rows` rows; each row of `pieces` is the mean of the rows it names, rows of no token are zero."""
    result = np.zeros((rows, *values.shape[1:]), values.dtype)
    result[: len(values)] = values
    for row, parts in pieces.items():
        if parts:
            result[row] = values[parts].mean(axis=0)
    return result
