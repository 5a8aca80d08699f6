"""EncoderConfig: checked values, plain round trip, and the order in which shared blocks run."""

from __future__ import annotations

import json

import pytest

import keras_bert as kb
from keras_bert.errors import ConfigError

TINY = {"vocab_size": 9, "hidden_size": 8, "num_layers": 2, "num_heads": 2, "intermediate_size": 8}


@pytest.mark.parametrize("name", kb.PRESETS)
def test_round_trip_through_json(name):
    config = kb.PRESETS[name]
    assert kb.EncoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"family": "gpt2"}, "family"),
        ({"activation": "swish"}, "activation"),
        ({"hidden_size": 10, "num_heads": 3}, "hidden_size"),
        ({"num_layers": 0}, "num_layers"),
        ({"vocab_size": 3.5}, "vocab_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"hidden_dropout": 1.0}, "hidden_dropout"),
        ({"attention_dropout": -0.1}, "attention_dropout"),
        ({"hidden_dropout": "0.1"}, "hidden_dropout"),
        ({"num_segments": -1}, "num_segments"),
        ({"num_segments": None}, "num_segments"),
        ({"pad_token_id": 9}, "pad_token_id"),
        ({"layer_norm_epsilon": 0.0}, "layer_norm_epsilon"),
        ({"layer_norm_epsilon": "tiny"}, "layer_norm_epsilon"),
        ({"num_layer_groups": 3}, "num_layer_groups"),
        ({"initializer_range": -1.0}, "initializer_range"),
        ({"position_offset": -1}, "position_offset"),
    ],
)
def test_values_that_do_not_fit_are_named(change, named):
    with pytest.raises(ConfigError, match=named):
        kb.EncoderConfig(**{**TINY, **change})


def test_unknown_field_is_named():
    with pytest.raises(ConfigError, match="colour"):
        kb.EncoderConfig.from_dict({**TINY, "colour": "red"})


@pytest.mark.parametrize(
    ("layers", "groups", "inner", "schedule"),
    [
        (3, None, 1, (0, 1, 2)),
        (4, 1, 1, (0, 0, 0, 0)),
        (4, 2, 1, (0, 0, 1, 1)),
        (4, 2, 2, (0, 1, 0, 1, 2, 3, 2, 3)),
        (5, 2, 1, (0, 0, 0, 1, 1)),
        (6, 4, 1, (0, 0, 1, 2, 2, 3)),
    ],
)
def test_schedule_is_the_albert_papers(layers, groups, inner, schedule):
    """int(i / (num_layers / num_groups)) in transformers, with exact arithmetic."""
    config = kb.EncoderConfig(**{**TINY, "num_layers": layers}, num_layer_groups=groups, layers_per_group=inner)
    assert config.block_schedule == schedule
    assert config.num_blocks == (groups or layers) * inner


def test_segments_and_positions():
    roberta, bert = kb.PRESETS["roberta_base"], kb.PRESETS["bert_base_uncased"]
    assert (roberta.uses_segments, roberta.position_rows, roberta.max_positions) == (False, 514, 512)
    assert (bert.uses_segments, bert.position_rows) == (True, 512)
    assert bert.replace(hidden_size=256, num_heads=4, embedding_size=None).embedding_size == 256
