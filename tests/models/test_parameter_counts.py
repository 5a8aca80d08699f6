"""Parameters of every preset and head: published numbers, and arithmetic from the papers."""

from __future__ import annotations

import math

import pytest

import keras_bert as kb

ENCODERS = {
    "bert_tiny_uncased": 4_385_920,
    "bert_mini_uncased": 11_170_560,
    "bert_small_uncased": 28_763_648,
    "bert_medium_uncased": 41_373_184,
    "bert_base_uncased": 109_482_240,
    "bert_base_cased": 108_310_272,
    "bert_large_uncased": 335_141_888,
    "bert_large_cased": 333_579_264,
    "minilm_l6_uncased": 22_713_216,
    "minilm_l12_uncased": 33_360_000,
    "tinybert_4l_uncased": 14_350_248,
    "distilbert_base_uncased": 66_362_880,
    "distilbert_base_cased": 65_190_912,
    "distilroberta_base": 82_118_400,
    "roberta_base": 124_645_632,
    "roberta_large": 355_359_744,
    "albert_base_v2": 11_683_584,
    "albert_large_v2": 17_683_968,
    "albert_xlarge_v2": 58_724_864,
    "albert_xxlarge_v2": 222_595_584,
}
# Preset, task, pooler, parameters.
HEADS = [
    ("bert_base_uncased", kb.MaskedLanguageModel, False, 109_514_298),
    ("bert_base_uncased", kb.PretrainingModel, True, 110_106_428),
    ("bert_base_uncased", kb.SequenceClassifier, True, 109_483_778),
    ("bert_base_uncased", kb.QuestionAnswerer, False, 108_893_186),
    ("distilbert_base_uncased", kb.MaskedLanguageModel, False, 66_985_530),
    ("distilbert_base_uncased", kb.SequenceClassifier, False, 66_955_010),
    ("distilbert_base_uncased", kb.QuestionAnswerer, False, 66_364_418),
    ("roberta_base", kb.Encoder, False, 124_055_040),
    ("roberta_base", kb.MaskedLanguageModel, False, 124_697_433),
    ("albert_base_v2", kb.PretrainingModel, True, 11_813_810),
]


def trainable(model) -> int:
    """Numbers trained, each once; seeds of dropout are none."""
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def test_every_preset_is_counted():
    assert set(ENCODERS) == set(kb.PRESETS)


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder(name, unallocated):
    assert trainable(kb.Encoder(kb.PRESETS[name])) == ENCODERS[name]


@pytest.mark.parametrize(("name", "task", "pooler", "count"), HEADS)
def test_head(name, task, pooler, count, unallocated):
    encoder = kb.Encoder(kb.PRESETS[name].replace(pooler=pooler))
    assert trainable(encoder if task is kb.Encoder else task(encoder)) == count


@pytest.mark.parametrize("name", kb.PRESETS)
@pytest.mark.parametrize("labels", [2, 9])
def test_heads_by_arithmetic(name, labels, unallocated):
    """Each family's published head: weights beyond the encoder's."""
    config = kb.PRESETS[name]
    hidden, family = config.hidden_size, config.family
    dense = hidden * hidden + hidden
    classifier = hidden * labels + labels
    extra = trainable(kb.SequenceClassifier(kb.Encoder(config), labels)) - ENCODERS[name]
    assert extra == classifier + (dense if family in ("distilbert", "roberta") else 0)
    assert trainable(kb.TokenClassifier(kb.Encoder(config), labels)) - ENCODERS[name] == classifier
    width = 128 if family == "albert" else hidden
    masked_lm = hidden * width + width + 2 * width + config.vocab_size
    assert trainable(kb.MaskedLanguageModel(kb.Encoder(config))) - ENCODERS[name] == masked_lm


def test_sharing_shows_in_the_count(unallocated):
    """12 ALBERT layers cost what one costs; unshared they are BERT's."""
    shared = kb.PRESETS["albert_base_v2"]
    layer = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
    assert trainable(kb.Encoder(shared)) == trainable(kb.Encoder(shared.replace(num_layers=1)))
    unshared = trainable(kb.Encoder(shared.replace(num_layer_groups=None)))
    assert unshared - trainable(kb.Encoder(shared)) == 11 * layer
    assert trainable(kb.Encoder(shared.replace(num_layer_groups=3))) - trainable(kb.Encoder(shared)) == 2 * layer
