"""The flat inference graph against the Keras training graph, and the exact rewritings on the way to int8."""

import dataclasses

import keras
import numpy as np
import pytest
from harness import TINY, one_text, randomize
from keras_bert_tools.tflite.calibrate import correct_bias, equalize, measure_inputs
from keras_bert_tools.tflite.convert import build_model, to_bytes, write_model
from keras_bert_tools.tflite.folding import for_one_query
from keras_bert_tools.tflite.graph import FlatGraph
from keras_bert_tools.tflite.layout import Layout
from keras_bert_tools.tflite.prepare import Prepared, stored_again
from keras_bert_tools.tflite.quantized import quantize_rows
from keras_bert_tools.tflite.reading import read_weights
from keras_bert_tools.tflite.recipes import RECIPES
from keras_bert_tools.tflite.runtime import Session
from keras_bert_tools.tflite.weights import map_matrices
from keras_bert_tools.tflite.writer import ModelWriter, with_root

import keras_bert as kb

DYNAMIC = Layout({"serving_default": None})
STATIC = Layout({"length_8": 8, "length_12": 12})
TASKS = {
    "sequence": lambda encoder: kb.SequenceClassifier(encoder, labels=3),
    "token": lambda encoder: kb.TokenClassifier(encoder, labels=4),
    "question": kb.QuestionAnswerer,
    "masked": kb.MaskedLanguageModel,
    "mean": lambda encoder: kb.SentenceEncoder(encoder, pooling="mean", normalize=True),
    "cls": lambda encoder: kb.SentenceEncoder(encoder, pooling="cls", normalize=False),
}


def make(family, task):
    """A model of two layers with a random value in every weight."""
    config = TINY[family].replace(num_layers=max(2, TINY[family].num_layers))
    model = TASKS[task](kb.Encoder(config))
    randomize(model)
    return model


def keras_outputs(model, features):
    names = ["token_ids", "padding_mask", *(["segment_ids"] if model.config.uses_segments else [])]
    outputs = model({name: features[name] for name in names}, training=False)
    if not isinstance(outputs, dict):
        outputs = {"embedding" if model.task == "sentence_embedding" else "logits": outputs}
    return {name: keras.ops.convert_to_numpy(value) for name, value in outputs.items()}


def assert_equal(got, expected, tolerance=1e-5):
    assert sorted(got) == sorted(expected)
    for name, value in expected.items():
        assert got[name].shape == value.shape
        np.testing.assert_allclose(got[name], value, rtol=0, atol=tolerance * max(1, np.abs(value).max()))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", TINY)
def test_graph_equals_keras_at_any_length(family, task):
    model = make(family, task)
    weights = read_weights(model)
    if task in ("sequence", "cls"):
        weights = for_one_query(weights)
    session = Session(write_model(model, weights, DYNAMIC))
    for length in (1, 2, 7, 12, 5):
        features = one_text(model.config, length, seed=length)
        assert_equal(session.run("serving_default", features), keras_outputs(model, features))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("family", ["bert", "roberta", "albert"])
def test_static_graph_ignores_padding(family, task):
    model = make(family, task)
    weights = read_weights(model)
    if task in ("sequence", "cls"):
        weights = for_one_query(weights)
    session = Session(write_model(model, weights, STATIC))
    for signature, length, size in (("length_8", 3, 8), ("length_12", 12, 12), ("length_12", 9, 12)):
        features = one_text(model.config, length)
        fill = {"token_ids": model.config.pad_token_id, "segment_ids": 1}
        padded = {
            name: np.pad(value, ((0, 0), (0, size - length)), constant_values=fill.get(name, 0))
            for name, value in features.items()
        }
        outputs = session.run(signature, padded)
        if task in ("token", "question", "masked"):
            outputs = {name: value[:, :length] for name, value in outputs.items()}
        assert_equal(outputs, keras_outputs(model, features))


@pytest.mark.parametrize("task", ["sequence", "mean", "cls"])
@pytest.mark.parametrize("family", TINY)
def test_batch_graph_equals_keras_text_by_text(family, task):
    """Texts of different lengths together; padding of any content, and the neighbours, change nothing."""
    model = make(family, task)
    weights = read_weights(model)
    if task != "mean":
        weights = for_one_query(weights)
    writer = build_model(model, weights, dataclasses.replace(DYNAMIC, batch_size=3))
    content = to_bytes(writer)
    session = Session(with_root(content, writer.second_root))
    for lengths in ((3, 12, 7), (1, 1, 2), (5, 5, 5)):
        texts = [one_text(model.config, length, seed=length) for length in lengths]
        longest = max(lengths)
        fill = {"token_ids": model.config.pad_token_id, "segment_ids": 1}
        padded = {
            name: np.concatenate(
                [
                    np.pad(one[name], ((0, 0), (0, longest - one[name].shape[1])), constant_values=fill.get(name, 0))
                    for one in texts
                ]
            )
            for name in texts[0]
        }
        outputs = session.run("batch", padded)
        for index, one in enumerate(texts):
            assert_equal({name: value[index : index + 1] for name, value in outputs.items()}, keras_outputs(model, one))
    assert_equal(Session(content).run("serving_default", texts[0]), keras_outputs(model, texts[0]))


@pytest.mark.parametrize("task", ["sequence", "token"])
@pytest.mark.parametrize("family", ["bert", "albert"])
def test_attention_narrower_than_the_encoder(family, task):
    model = TASKS[task](kb.Encoder(TINY[family].replace(num_layers=2, num_heads=3, head_size=4)))
    randomize(model)
    weights = read_weights(model)
    session = Session(write_model(model, for_one_query(weights) if task == "sequence" else weights, DYNAMIC))
    features = one_text(model.config, 9)
    assert_equal(session.run("serving_default", features), keras_outputs(model, features))


@pytest.mark.parametrize("task", ["sequence", "token"])
@pytest.mark.parametrize("family", ["bert", "distilbert"])
def test_layers_of_unlike_width(family, task):
    model = TASKS[task](kb.Encoder(TINY[family].replace(num_layers=3, intermediate_sizes=(12, 8, 24))))
    randomize(model)
    weights = read_weights(model)
    session = Session(write_model(model, for_one_query(weights) if task == "sequence" else weights, DYNAMIC))
    features = one_text(model.config, 9)
    assert_equal(session.run("serving_default", features), keras_outputs(model, features))


def test_relu_activation_and_sinusoidal_positions():
    config = TINY["distilbert"].replace(activation="relu", sinusoidal_positions=True)
    model = kb.TokenClassifier(kb.Encoder(config), labels=3)
    features = one_text(config, 6)
    session = Session(write_model(model, read_weights(model), DYNAMIC))
    assert_equal(session.run("serving_default", features), keras_outputs(model, features))


@pytest.mark.parametrize("family", TINY)
def test_equalizing_is_exact_and_evens_the_channels(family):
    model = make(family, "token")
    for block in model.encoder.blocks:  # an outlier channel, as real models have
        gamma = keras.ops.convert_to_numpy(block.attention_norm.gamma).copy()
        gamma[0] = 30
        block.attention_norm.gamma.assign(gamma)
    texts = [one_text(model.config, length, seed=length) for length in (3, 9, 12)]
    weights = read_weights(model)
    before = measure_inputs(weights, texts, FlatGraph.token_logits)
    equalized = equalize(weights, before)
    after = measure_inputs(equalized, texts, FlatGraph.token_logits)
    session = Session(write_model(model, equalized, DYNAMIC))
    for features in texts:
        assert_equal(session.run("serving_default", features), keras_outputs(model, features), tolerance=3e-5)

    name = "blocks.0.feedforward_in"
    columns = [np.abs(each.blocks[0].feedforward_in.matrix).max(axis=0) for each in (weights, equalized)]
    # What a channel can contribute stays; no column is as far from the others as it was.
    np.testing.assert_allclose(columns[1] * after[name].largest, columns[0] * before[name].largest, rtol=1e-4)
    unevenness = [column.max() / np.median(column) for column in columns]
    assert unevenness[1] < 0.5 * unevenness[0]


def test_bias_correction_takes_the_mean_error_away():
    model = make("bert", "token")
    texts = [one_text(model.config, length, seed=length) for length in (3, 9, 12)]
    weights = read_weights(model)
    statistics = measure_inputs(weights, texts, FlatGraph.token_logits)
    linear = weights.blocks[1].feedforward_in
    inputs = np.random.default_rng(0).normal(size=(50, len(linear.matrix[0]))) + 3
    inputs += statistics[linear.name].mean - inputs.mean(0)  # some inputs of that mean
    stored = quantize_rows(linear.matrix)
    exact = inputs @ linear.matrix.T + linear.bias
    plain = inputs @ stored.dequantize().T + linear.bias
    corrected = inputs @ stored.dequantize().T + correct_bias(linear, stored, statistics[linear.name])
    assert np.abs((plain - exact).mean(0)).max() > 1e-4
    np.testing.assert_allclose((corrected - exact).mean(0), 0, atol=1e-6)


def test_statistics_are_those_of_what_the_matrix_reads():
    """The classifier of a token model reads the last LayerNorm's values before its scale and shift."""
    model = make("bert", "token")
    texts = [one_text(model.config, length, seed=length) for length in (3, 9, 12)]
    found = measure_inputs(read_weights(model), texts, FlatGraph.token_logits)["head.classifier"]
    hidden = [keras.ops.convert_to_numpy(model.encoder(features)["sequence_output"])[0] for features in texts]
    norm = model.encoder.blocks[-1].output_norm
    values = (np.concatenate(hidden) - keras.ops.convert_to_numpy(norm.beta)) / keras.ops.convert_to_numpy(norm.gamma)
    np.testing.assert_allclose(found.mean, values.mean(0), atol=1e-4)
    np.testing.assert_allclose(found.largest, np.abs(values).max(0), atol=1e-4)


def test_shared_layers_are_not_folded_apart():
    model = make("albert", "sequence")
    weights = read_weights(model)
    assert len(weights.blocks) == 1
    assert len(weights.schedule) > 1
    assert not weights.blocks[0].reads_normalized
    assert for_one_query(weights) is weights


def test_quantize_rows_rounds_to_the_nearest_of_each_rows_own_grid():
    generator = np.random.default_rng(0)
    matrix = (generator.normal(size=(5, 33)) * np.array([[1e-4], [1], [50], [0], [3]])).astype("float32")
    quantized = quantize_rows(matrix)
    assert quantized.values.dtype == np.int8
    assert np.abs(quantized.values.astype(int)).max() == 127
    np.testing.assert_allclose(quantized.scales[[0, 1, 2, 4]], np.abs(matrix).max(1)[[0, 1, 2, 4]] / 127, rtol=1e-6)
    assert np.all(np.abs(quantized.dequantize() - matrix) <= quantized.scales[:, None] / 2 * 1.0001)


def test_int8_matrices_compute_what_their_values_say():
    """With int8 weights the runtime's product is that of the dequantised matrix, but for its rounding of the input."""
    model = make("bert", "token")
    weights = stored_again(Prepared(read_weights(model), {}), RECIPES["dynamic_int8"]).assemble()
    widened = dataclasses.replace(
        map_matrices(weights, lambda linear: dataclasses.replace(linear, matrix=linear.matrix.dequantize())),
        token_table=weights.token_table.dequantize(),
        position_table=weights.position_table.dequantize(),
    )
    features = one_text(model.config, 11)
    int8, float32 = (
        Session(write_model(model, each, DYNAMIC)).run("serving_default", features)["logits"]
        for each in (weights, widened)
    )
    assert np.sqrt(np.mean((int8 - float32) ** 2)) < 0.03 * np.sqrt(np.mean(float32**2))


def test_equal_constants_are_stored_once():
    writer = ModelWriter("test")
    table = np.arange(4000, dtype="float32").reshape(100, 40)
    for name in ("one", "two"):
        subgraph = writer.subgraph(name)
        ids = subgraph.input("ids", (4,))
        subgraph.output("rows", subgraph.add(subgraph.lookup(ids, table), subgraph.lookup(ids, table.copy())))
    content = writer.to_bytes()
    assert content[4:8] == b"TFL3"
    assert table.nbytes < len(content) < table.nbytes + 4096
    session = Session(content)
    ids = np.array([0, 99, 5, 5], "int32")
    for name in ("one", "two"):
        np.testing.assert_array_equal(session.run(name, {"ids": ids})["rows"], 2 * table[ids])


def test_a_second_model_shares_the_buffers_and_costs_its_reader_nothing():
    writer = ModelWriter("test")
    table = np.arange(4000, dtype="float32").reshape(100, 40)
    for name, subgraph in (("one", writer.subgraph("one")), ("two", writer.subgraph_of_second("two"))):
        ids = subgraph.input("ids", (4,))
        rows = subgraph.lookup(ids, table)
        subgraph.output("rows", subgraph.add(rows, rows) if name == "two" else rows)
    content = writer.to_bytes()
    assert table.nbytes < len(content) < table.nbytes + 4096
    first, second = Session(content), Session(with_root(content, writer.second_root))
    assert (list(first.signatures), list(second.signatures)) == (["one"], ["two"])
    ids = np.array([0, 99, 5, 5], "int32")
    np.testing.assert_array_equal(first.run("one", {"ids": ids})["rows"], table[ids])
    np.testing.assert_array_equal(second.run("two", {"ids": ids})["rows"], 2 * table[ids])


def test_ids_outside_the_table_are_an_error_not_a_read():
    model = make("bert", "sequence")
    session = Session(write_model(model, read_weights(model), DYNAMIC))
    features = one_text(model.config, 4)
    features["token_ids"][0, 2] = model.config.vocab_size
    with pytest.raises(RuntimeError, match="index out of bounds"):
        session.run("serving_default", features)


def test_the_whole_graph_runs_in_one_delegate():
    """Nothing between embedding and logits falls back to the slower reference operators."""
    model = make("bert", "sequence")
    operators = Session(write_model(model, for_one_query(read_weights(model)), DYNAMIC)).operators()
    assert operators.count("DELEGATE") == 1


def test_calibration_sees_every_matrix():
    model = make("albert-groups", "token")
    weights = read_weights(model)
    graph = FlatGraph(ModelWriter("test").subgraph("g"), weights)
    graph.token_logits()
    names = set()
    map_matrices(weights, lambda linear: names.add(linear.name) or linear)
    assert set(graph.products) == names
