"""Heads, feed-forward units and layers removed: what is left computes what it computed before."""

import json

import keras
import numpy as np
import pytest
from harness import FAMILIES, TINY, arrays, assert_same, features, randomize, values
from keras_bert_tools.compression.importance import measure_importance, most_important

import keras_bert as kb
from keras_bert.errors import CheckpointError, ConfigError
from keras_bert.models.structure import keep_layers, keep_tokens, prune_structure, restart_layers, spread_layers

ALL = (*FAMILIES, "albert-groups")
TASKS = {
    "sequence": lambda encoder: kb.SequenceClassifier(encoder, labels=3),
    "token": lambda encoder: kb.TokenClassifier(encoder, labels=4),
    "question": kb.QuestionAnswerer,
    "masked": kb.MaskedLanguageModel,
    "pretraining": kb.PretrainingModel,
}


def make(family, task="sequence", dtype="float32", **changes):
    keras.utils.set_random_seed(3)
    config = TINY[family].replace(
        **{"num_heads": 4, "num_layers": max(2, TINY[family].num_layers), "max_positions": 32, **changes}
    )
    config = config.replace(hidden_dropout=0.0, attention_dropout=0.0, classifier_dropout=0.0)
    model = TASKS[task](kb.Encoder(config, dtype=dtype))
    randomize(model)
    return model


def silence(model, heads, units):
    """Zero what the heads and units that are not kept send on: the model they are cut from, at full size."""
    size = model.config.attention_size // model.config.num_heads
    for block, kept_heads, kept_units in zip(model.encoder.blocks, heads, units, strict=True):
        for dense, kept in (
            (block.attention.out, [h * size + i for h in kept_heads for i in range(size)]),
            (block.feedforward_out, kept_units),
        ):
            kernel = values(dense.kernel)
            kernel[np.setdiff1d(np.arange(len(kernel)), kept)] = 0
            dense.kernel.assign(kernel)


@pytest.mark.parametrize(("family", "task"), [*((family, "sequence") for family in ALL), ("bert", "question")])
def test_pruned_model_is_the_full_one_with_silent_heads_and_units(family, task, tmp_path):
    model = make(family, task)
    generator = np.random.default_rng(4)
    blocks = model.config.num_blocks
    heads = [np.sort(generator.permutation(4)[:3]) for _ in range(blocks)]
    units = [np.sort(generator.permutation(24)[:10]) for _ in range(blocks)]
    pruned = prune_structure(model, heads=heads, units=units)
    assert (pruned.config.num_heads, pruned.config.head_size, pruned.config.intermediate_size) == (3, 4, 10)
    silence(model, heads, units)
    inputs = features(model.config)
    assert_same(pruned(inputs), model(inputs), 1e-5)
    pruned.save_pretrained(tmp_path)
    again = type(pruned).from_pretrained(tmp_path)
    assert again.config.replace(pooler=pruned.config.pooler) == pruned.config
    assert_same(again(inputs), pruned(inputs))
    raw = json.loads((tmp_path / "config.json").read_text())
    assert raw["head_size"] == 4
    del raw["head_size"]
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match="multiple of 3 heads"):
        type(pruned).from_pretrained(tmp_path)
    pruned.save(tmp_path / "model.keras")
    assert_same(keras.saving.load_model(tmp_path / "model.keras")(inputs), pruned(inputs))


@pytest.mark.parametrize("family", ALL)
def test_layers_may_keep_unlike_numbers_of_units(family, tmp_path):
    model = make(family)
    blocks = model.config.num_blocks
    counts = [10 + 4 * block for block in range(blocks)]
    heads, units = [np.arange(4)] * blocks, [np.arange(count) + 1 for count in counts]
    pruned = prune_structure(model, units=units)
    unlike = blocks > 1  # one block is like itself
    assert pruned.config.intermediate_sizes == (tuple(counts) if unlike else None)
    assert pruned.config.feedforward_sizes == tuple(counts)
    assert pruned.config.intermediate_size == counts[-1]
    silence(model, heads, units)
    inputs = features(model.config)
    assert_same(pruned(inputs), model(inputs), 1e-5)
    pruned.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()).get("intermediate_sizes") == (counts if unlike else None)
    again = type(pruned).from_pretrained(tmp_path)
    assert again.config.replace(pooler=pruned.config.pooler) == pruned.config
    assert_same(again(inputs), pruned(inputs))
    pruned.save(tmp_path / "model.keras")
    assert_same(keras.saving.load_model(tmp_path / "model.keras")(inputs), pruned(inputs))


def test_unlike_layers_are_kept_restarted_and_cut_again_by_their_own_sizes():
    model = make("bert", num_layers=3)
    unlike = prune_structure(model, units=[np.arange(count) for count in (6, 20, 9)])
    assert keep_layers(unlike, [0, 2]).config.intermediate_sizes == (6, 9)
    assert keep_layers(unlike, [1]).config == model.config.replace(num_layers=1, intermediate_size=20)
    assert prune_structure(unlike, units=[np.arange(5)] * 3).config == model.config.replace(intermediate_size=5)
    before = values(unlike.encoder.blocks[0].feedforward_in.kernel)
    restart_layers(unlike, 2)
    assert [values(block.feedforward_in.kernel).shape[1] for block in unlike.encoder.blocks] == [6, 20, 9]
    np.testing.assert_array_equal(values(unlike.encoder.blocks[0].feedforward_in.kernel), before)
    measured = measure_importance(unlike, [(features(unlike.config), np.array([0, 2, 1]))])
    assert [len(row) for row in measured.units] == [6, 20, 9]


def test_sizes_of_layers_that_do_not_fit():
    for sizes in ([4], [4, 0], [4, 2.5], 4, [4, True]):
        with pytest.raises(ConfigError, match="intermediate_sizes: expected None, or a positive whole number for each"):
            kb.EncoderConfig(hidden_size=8, num_heads=2, num_layers=2, intermediate_sizes=sizes)
    alike = kb.EncoderConfig(hidden_size=8, num_heads=2, num_layers=2, intermediate_sizes=[5, 5])
    assert alike == kb.EncoderConfig(hidden_size=8, num_heads=2, num_layers=2, intermediate_size=5)
    unlike = prune_structure(make("bert"), units=[np.arange(6), np.arange(20)])
    with pytest.raises(ConfigError, match="units: expected 1 to 20 distinct indices below 20 for each block"):
        prune_structure(unlike, units=[np.arange(6), np.arange(21)])


def test_half_the_heads_keep_a_plain_configuration_when_they_fill_the_width():
    config = kb.EncoderConfig(hidden_size=8, num_heads=2, head_size=4)
    assert config.head_size is None
    assert config == kb.EncoderConfig(hidden_size=8, num_heads=2)
    assert kb.EncoderConfig(hidden_size=8, num_heads=3, head_size=5).attention_size == 15
    with pytest.raises(ConfigError, match="head_size"):
        kb.EncoderConfig(hidden_size=8, num_heads=2, head_size=0)


@pytest.mark.parametrize("family", ALL)
def test_importance_is_the_gradient_of_a_gate(family):
    """Against central differences of the loss by a gate on each head and some units."""
    model = make(family, dtype="float64")
    inputs, targets = features(model.config), np.array([0, 2, 1])
    measured = measure_importance(model, [(inputs, targets)])

    def loss():
        logits = keras.ops.convert_to_numpy(model(inputs, training=False))
        shifted = logits - logits.max(1, keepdims=True)
        return float(np.mean(np.log(np.exp(shifted).sum(1)) - shifted[np.arange(3), targets]))

    step = 1e-4
    for index, block in enumerate(model.encoder.blocks):
        gates = [(block.attention.out, slice(4 * h, 4 * h + 4), measured.heads[index][h]) for h in (0, 3)]
        gates += [(block.feedforward_out, slice(u, u + 1), measured.units[index][u]) for u in (7,)]
        for dense, rows, expected in gates:
            kernel, found = values(dense.kernel), []
            for sign in (1, -1):
                scaled = kernel.copy()
                scaled[rows] *= 1 + sign * step
                dense.kernel.assign(scaled)
                found.append(loss())
            dense.kernel.assign(kernel)
            assert abs(found[0] - found[1]) / (2 * step) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_most_important_keeps_the_largest():
    found = most_important([np.array([1.0, 5.0, 3.0, 5.0]), np.array([0.0, 0.0, 2.0])], 2)
    assert [row.tolist() for row in found] == [[1, 3], [0, 2]]


@pytest.mark.parametrize(
    ("values", "keep", "expected"),
    [
        ([[1.0, 5.0, 3.0, 5.0], [0.0, 4.0, 2.0, 2.0]], 2, [[1, 2, 3], [1]]),
        ([[1.0, 5.0, 3.0, 5.0], [0.0, 0.1, 0.0, 0.0]], 2, [[1, 2, 3], [1]]),  # one of each stays
        ([[7.0, 7.0], [7.0, 7.0, 7.0, 7.0]], 2, [[0, 1], [0, 1]]),  # of equal ones the first
        ([[1.0, 2.0], [4.0, 3.0]], 2, [[0, 1], [0, 1]]),
    ],
)
def test_most_important_of_all_blocks_together(values, keep, expected):
    found = most_important([np.array(row) for row in values], keep, "global")
    assert [row.tolist() for row in found] == expected


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_kept_layers_are_the_old_ones_bit_for_bit(family):
    model = make(family, num_layers=4)
    smaller = keep_layers(model, [0, 3])
    assert smaller.config == model.config.replace(num_layers=2)
    for new, old in ((0, 0), (1, 3)):
        pairs = zip(smaller.encoder.blocks[new].weights, model.encoder.blocks[old].weights, strict=True)
        assert all(np.array_equal(values(a), values(b)) for a, b in pairs if "seed" not in a.path)
    hidden = keras.Model(model.encoder.input, model.encoder.hidden_states[1])(features(model.config))
    bias = model.encoder.get_layer("attention_bias")(features(model.config)["padding_mask"])
    expected = model.encoder.blocks[3](hidden, bias)
    assert_same(smaller.encoder(features(model.config))["sequence_output"], expected)


def test_shared_layers_can_be_dropped_where_the_groups_stay_even():
    model = make("albert", num_layers=4)
    smaller = keep_layers(model, [0, 2])
    assert (smaller.config.num_layers, smaller.config.num_layer_groups) == (2, 1)
    hidden = keras.Model(model.encoder.input, model.encoder.hidden_states[2])(features(model.config))
    assert_same(smaller.encoder(features(model.config))["sequence_output"], hidden)
    groups = make("albert-groups")
    assert keep_layers(groups, [2, 3]).config.num_blocks == 2
    with pytest.raises(ConfigError, match="equally many"):
        keep_layers(groups, [0, 2, 3])


def test_published_layers_of_distilbert():
    assert spread_layers(12, 6) == [0, 2, 4, 7, 9, 11]
    assert spread_layers(6, 6) == list(range(6))
    assert spread_layers(6, 1) == [0]


@pytest.mark.parametrize("family", FAMILIES)
def test_kept_tokens_give_the_same_outputs(family):
    model = make(family, "masked")
    ids = np.array([0, 1, 2, 3, 4, 7, 9, 20, 30])
    smaller = keep_tokens(model, ids, tokenizer="of the caller")
    assert smaller.tokenizer == "of the caller"
    assert smaller.config == model.config.replace(vocab_size=9)
    old = {"token_ids": ids[[2, 5, 7, 8, 6]][None].astype("int32")}
    new = {"token_ids": np.array([[2, 5, 7, 8, 6]], "int32")}
    np.testing.assert_allclose(arrays(smaller(new))["output"], arrays(model(old))["output"][..., ids], atol=1e-6)
    with pytest.raises(ConfigError, match="padding token"):
        keep_tokens(model, ids[2:], tokenizer=None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: prune_structure(m, heads=[np.array([], int)] * 2), "1 to 4 distinct"),
        (lambda m: prune_structure(m, heads=[np.array([0, 4])] * 2), "below 4"),
        (lambda m: prune_structure(m, heads=[np.arange(3), np.arange(4)]), "equally many"),
        (lambda m: prune_structure(m, units=[np.arange(3)]), "for each of 2 blocks, got 1"),
        (lambda m: keep_layers(m, []), "at least one"),
        (lambda m: keep_layers(m, [1, 0]), "ascending"),
        (lambda m: keep_layers(m, [0, 2]), "below 2"),
        (lambda m: spread_layers(2, 3), "1 to 2"),
    ],
)
def test_nothing_left_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        change(make("bert"))


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta"])
def test_the_top_layers_start_anew_and_all_else_stays(family):
    model = make(family, num_layers=3)
    config = model.config
    before = {weight.path: values(weight) for weight in model.weights}
    restart_layers(model, 2)
    changed = {weight.path for weight in model.weights if not np.array_equal(values(weight), before[weight.path])}
    top = [weight for block in model.encoder.blocks[1:] for weight in block.trainable_weights]
    assert changed == {weight.path for weight in top}
    for weight in top:
        # As an untrained network's (BERT's modeling.py): kernels cut off at two deviations, LayerNorms 1 and 0.
        found = values(weight)
        if weight.path.endswith("kernel"):
            assert 0 < np.abs(found).max() <= 2.3 * config.initializer_range
        else:
            assert (found == (1 if weight.path.endswith("gamma") else 0)).all()
    keras.utils.set_random_seed(7)
    restart_layers(model, 1)
    first = [values(weight) for weight in top]
    keras.utils.set_random_seed(7)
    restart_layers(model, 1)
    assert all(np.array_equal(values(weight), value) for weight, value in zip(top, first, strict=True))


@pytest.mark.parametrize(
    ("family", "count", "message"), [("bert", -1, "0 to 1"), ("bert", 2, "0 to 1"), ("albert", 1, "share")]
)
def test_layers_that_cannot_start_anew(family, count, message):
    with pytest.raises(ConfigError, match=message):
        restart_layers(make(family), count)
