"""KerasHub backbones of random weights against the encoders made from them, both ways."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from harness import TINY, arrays, features, randomize

import keras_bert as kb
from keras_bert.checkpoints import from_keras_hub, to_keras_hub
from keras_bert.errors import CheckpointError, ConfigError, MissingExtraError

TOLERANCE = 1e-5
INSTALLED = importlib.util.find_spec("keras_hub") is not None
needs_keras_hub = pytest.mark.skipif(not INSTALLED, reason="keras-hub is not installed")

SIZES = {
    "vocabulary_size": 40,
    "num_layers": 2,
    "num_heads": 2,
    "hidden_dim": 16,
    "intermediate_dim": 24,
    "max_sequence_length": 20,
}
BACKBONES = {
    "bert": ("BertBackbone", SIZES),
    "distilbert": ("DistilBertBackbone", SIZES),
    "roberta": ("RobertaBackbone", SIZES),
    "albert": ("AlbertBackbone", {**SIZES, "embedding_dim": 8}),
    "albert-groups": (
        "AlbertBackbone",
        {**SIZES, "embedding_dim": 8, "num_layers": 4, "num_groups": 2, "num_inner_repetitions": 2},
    ),
}
# What KerasHub's backbones compute: their activation, and a pooler for two of them.
EXPRESSIBLE = {
    name: config.replace(
        activation="gelu_tanh" if config.family in ("bert", "albert") else "gelu",
        pooler=config.family in ("bert", "albert"),
    )
    for name, config in TINY.items()
}


def assert_close(ours, theirs, mask):
    theirs = arrays(theirs)
    theirs["sequence_output"] = theirs.pop("output", theirs.get("sequence_output"))
    ours = arrays(ours)
    assert set(ours) == set(theirs)
    for name, value in ours.items():
        error = np.abs(value - theirs[name])
        assert (error[mask == 1] if error.shape[:2] == mask.shape else error).max() <= TOLERANCE, name


@needs_keras_hub
@pytest.mark.parametrize("name", BACKBONES)
def test_from_keras_hub(name, tmp_path):
    import keras_hub

    kind, arguments = BACKBONES[name]
    backbone = getattr(keras_hub.models, kind)(**arguments)
    randomize(backbone)
    encoder = from_keras_hub(backbone)
    inputs = features(encoder.config)
    assert_close(encoder(inputs), backbone(inputs), inputs["padding_mask"])
    # And on to a Hugging Face directory and back.
    encoder.save_pretrained(tmp_path)
    assert_close(kb.Encoder.from_pretrained(tmp_path)(inputs), backbone(inputs), inputs["padding_mask"])


@needs_keras_hub
@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_to_keras_hub_and_back(name):
    encoder = kb.Encoder(EXPRESSIBLE[name].replace(hidden_dropout=0.1, attention_dropout=0.1))
    randomize(encoder)
    backbone = to_keras_hub(encoder)
    assert type(backbone).__name__ == BACKBONES[name][0]
    inputs = features(encoder.config)
    assert_close(encoder(inputs), backbone(inputs), inputs["padding_mask"])
    again = from_keras_hub(backbone)
    assert again.config == encoder.config
    assert_close(again(inputs), backbone(inputs), inputs["padding_mask"])


@needs_keras_hub
@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("bert", {"activation": "gelu"}, "BertBackbone has activation 'gelu_tanh', this encoder 'gelu'"),
        ("bert", {"layer_norm_epsilon": 1e-5}, "layer_norm_epsilon 1e-12"),
        ("bert", {"pooler": False}, "pooler True"),
        ("bert", {"num_segments": 1}, "takes segment ids, this encoder has num_segments 1"),
        ("bert", {"attention_dropout": 0.5}, "attention_dropout 0.1"),
        ("bert", {"embedding_size": 8}, "no factorised embedding"),
        ("distilbert", {"activation": "relu"}, "activation 'gelu'"),
        ("roberta", {"num_segments": 2}, "takes no segment ids"),
        ("roberta", {"pooler": True}, "pooler False"),
        ("albert", {"num_layer_groups": None}, "num_layer_groups None"),
        ("albert", {"embedding_size": 16}, "embedding_size 16"),
    ],
)
def test_what_keras_hub_cannot_express_is_refused(family, change, message):
    with pytest.raises(ConfigError) as caught:
        to_keras_hub(kb.Encoder(EXPRESSIBLE[family].replace(**change)))
    assert message in str(caught.value)


@needs_keras_hub
def test_other_backbones_are_refused():
    import keras_hub

    backbone = keras_hub.models.XLMRobertaBackbone(**SIZES)
    with pytest.raises(CheckpointError, match="XLMRobertaBackbone is not supported: expected one of BertBackbone"):
        from_keras_hub(backbone)


@pytest.mark.skipif(INSTALLED, reason="keras-hub is installed")
def test_the_missing_extra_is_named():
    with pytest.raises(MissingExtraError, match=r"keras-bert-toolkit\[keras-hub\]"):
        to_keras_hub(kb.Encoder(EXPRESSIBLE["bert"]))
