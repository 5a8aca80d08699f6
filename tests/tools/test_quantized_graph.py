"""Integer matrices and products in LiteRT against NumPy, and what training taught against what a file holds."""

import dataclasses

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from harness import TINY, one_text, randomize, values
from keras_bert_tools.compression.integer_training import train_for, trained_recipe
from keras_bert_tools.tflite.convert import add_task, write_model
from keras_bert_tools.tflite.layer_errors import LayerErrors, most_sensitive
from keras_bert_tools.tflite.layout import Layout
from keras_bert_tools.tflite.prepare import TABLES, prepare, stored_again
from keras_bert_tools.tflite.products import fully_connected, static_product
from keras_bert_tools.tflite.quantized import Grid, QuantizedMatrix, StaticGrids, quantize_rows, storable_block_scales
from keras_bert_tools.tflite.ranges import measure_ranges
from keras_bert_tools.tflite.reading import read_weights
from keras_bert_tools.tflite.recipes import RECIPES
from keras_bert_tools.tflite.runtime import Session
from keras_bert_tools.tflite.schema import schema
from keras_bert_tools.tflite.writer import ModelWriter

import keras_bert as kb
from keras_bert.checkpoints.quantization import QUANTIZATION, has_quantization, load_quantization
from keras_bert.errors import CheckpointError, ExportError
from keras_bert.models.quantization import dense_layers, quantizers

DYNAMIC = Layout({"serving_default": None})
RUNTIMES = {"xnnpack": {}, "plain": {"experimental_op_resolver_type": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}}


def make(family, task=kb.SequenceClassifier):
    config = TINY[family].replace(num_layers=max(2, TINY[family].num_layers), hidden_size=32, intermediate_size=64)
    if "albert" not in family:
        config = config.replace(embedding_size=0)
    model = task(kb.Encoder(config.replace(hidden_dropout=0.0, attention_dropout=0.0)))
    randomize(model)
    return model


def product(add, width, x, runtime):
    """The output of a model that is one product."""
    writer = ModelWriter("test")
    graph = writer.subgraph("serving_default")
    graph.output("y", add(graph, graph.input("x", (-1, width), "float32")))
    interpreter = Interpreter(model_content=writer.to_bytes(), **RUNTIMES[runtime])
    return interpreter.get_signature_runner("serving_default")(x=x)["y"]


def read_dynamically(x):
    """Each row on an asymmetric int8 grid of its own, as the runtime puts it."""
    low, high = np.minimum(x.min(1, keepdims=True), 0), np.maximum(x.max(1, keepdims=True), 0)
    scale = (high - low) / 255
    zero_point = np.rint(-128 - low / scale)
    return (np.clip(np.rint(x / scale) + zero_point, -128, 127) - zero_point) * scale


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("block", [0, 32, 64])
def test_int4_products(block, runtime):
    """The runtime computes with the dequantised matrix and inputs of 8 bits."""
    generator = np.random.default_rng(block)
    x = generator.normal(size=(9, 128)).astype("float32")
    matrix, bias = generator.normal(size=(24, 128)).astype("float32"), generator.normal(size=24).astype("float32")
    blocks = matrix.reshape(24, -1, block or 128)
    scales = (np.abs(blocks).max(-1) / 7).astype("float32")
    scales = storable_block_scales(scales) if block else scales
    numbers = np.clip(np.rint(blocks / scales[..., None]), -8, 7)
    stored = QuantizedMatrix(numbers.reshape(matrix.shape).astype("int8"), scales if block else scales[:, 0], bits=4)
    exact = (numbers * scales[..., None]).reshape(matrix.shape)
    np.testing.assert_array_equal(stored.dequantize(), exact.astype("float32"))
    got = product(lambda graph, x: fully_connected(graph, x, stored, bias), 128, x, runtime)
    # Rounding of the inputs apart, which runtimes do a little differently.
    np.testing.assert_allclose(got, read_dynamically(x) @ exact.T + bias, atol=0.02 * np.abs(got).max())
    relative = np.sqrt(np.mean((got - (x @ exact.T + bias)) ** 2) / np.mean(got**2))
    assert relative < 0.01
    coarse = np.sqrt(np.mean((x @ matrix.T + bias - got) ** 2) / np.mean(got**2))
    assert coarse > 5 * relative  # so that the first assertion tells one matrix from the other


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_static_products(runtime):
    """Integer arithmetic step by step in NumPy: the same numbers, but for ties in the last rounding."""
    generator = np.random.default_rng(0)
    x = 0.5 * generator.normal(size=(30, 48)).astype("float32")
    matrix, bias = generator.normal(size=(20, 48)).astype("float32"), generator.normal(size=20).astype("float32")
    grids = StaticGrids(
        Grid(0.031, -7),
        Grid(0.4, 12),
        generator.uniform(0.5, 2, 48).astype("float32"),
        generator.uniform(0.5, 2, 20).astype("float32"),
    )
    stored = quantize_rows(matrix / grids.input_scale)
    got = product(lambda graph, x: static_product(graph, x, stored, bias, grids), 48, x, runtime)
    numbers = np.clip(np.rint(x * grids.input_scale / np.float32(0.031)) - 7, -128, 127).astype("int64")
    sums = (numbers + 7) @ stored.values.astype("int64").T + np.rint(bias / (0.031 * stored.scales)).astype("int64")
    outputs = np.rint(sums * 0.031 * stored.scales / grids.output_scale / 0.4) + 12
    expected = (np.clip(outputs, -128, 127) - 12) * 0.4 * grids.output_scale
    steps = np.abs(got - expected) / (0.4 * grids.output_scale)
    assert (steps < 1e-3).mean() > 0.98
    assert steps.max() < 1.001
    exact = x @ matrix.T + bias
    assert np.sqrt(np.mean((got - exact) ** 2) / np.mean(exact**2)) < 0.1


@pytest.mark.parametrize("family", TINY)
def test_grids_cover_what_the_layers_read(family):
    """Without outliers no range is cut by much; scales move resolution between channels and give none away."""
    model = make(family)
    texts = [one_text(model.config, length, seed=length) for length in (3, 9, 12, 30)]
    found = measure_ranges(read_weights(model, fold=False), texts, add_task(model))
    assert set(found) == set(dense_layers(model))
    names = [tensor.name for tensor in model.inputs]
    # What the first block reads: once, or each time that it runs.
    runs = [step for step, block in enumerate(model.encoder.schedule) if block == 0]
    hidden = keras.Model(model.encoder.input, [model.encoder.hidden_states[step] for step in runs])
    read = [
        keras.ops.convert_to_numpy(states)[0]
        for each in texts
        for states in keras.tree.flatten(hidden({name: each[name] for name in names}))
    ]
    read = np.concatenate(read)
    first = found["blocks.0.attention.key"]
    low, high = first.input
    assert 0.6 < low / (read * first.input_scale).min() < 1.001
    assert 0.6 < high / (read * first.input_scale).max() < 1.001
    for ranges in found.values():
        assert ranges.input[0] <= 0 < ranges.input[1]
        np.testing.assert_allclose(np.log(ranges.input_scale).mean(), 0, atol=1e-4)
        np.testing.assert_allclose(np.log(ranges.output_scale).mean(), 0, atol=1e-4)


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("recipe", ["static_int8", "int4"])
def test_a_file_holds_what_training_rounded_to(family, recipe, tmp_path):
    """Scales and zero points of the file are those of the trained ranges; its outputs those of the rounding model."""
    model = make(family)
    texts = [one_text(model.config, length, seed=length) for length in (3, 9, 12, 20)]
    train_for(model, RECIPES[recipe], texts)
    generator = np.random.default_rng(1)
    for quantizer in quantizers(model).values():  # as if trained
        for name in ("input_offset", "output_offset") if quantizer.spec.activations else ():
            getattr(quantizer, name).assign(generator.uniform(-0.01, 0.01, 2))
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert trained_recipe(loaded) is None
    load_quantization(loaded, tmp_path)
    assert trained_recipe(loaded) == recipe

    prepared = prepare(loaded, RECIPES[recipe], [], add_task(loaded))
    for name, quantizer in quantizers(model).items():
        stored = prepared.stored[name]
        kernel = values(dense_layers(model)[name].kernel).astype("float64")
        if recipe == "int4":
            blocks = kernel.T.reshape(*values(quantizer.clip).T.shape, -1)
            scales = np.abs(blocks).max(-1) * values(quantizer.clip).T / 7
            np.testing.assert_allclose(stored.matrix.scales.reshape(scales.shape), scales, rtol=5e-3)
            continue
        for side in ("input", "output"):
            start, offset = values(getattr(quantizer, f"{side}_range")), values(getattr(quantizer, f"{side}_offset"))
            low, high = start * (1 + 20 * offset)
            grid = getattr(stored.grids, side)
            assert grid.scale == pytest.approx((high - low) / 255, rel=1e-5)
            assert abs(grid.zero_point - np.clip(-128 - low / grid.scale, -128, 127)) < 0.501
        scales = np.abs(kernel / values(quantizer.input_scale)[:, None]).max(0) / 127
        np.testing.assert_allclose(stored.matrix.scales, scales, rtol=1e-5)

    rounding = [name for name in prepared.stored if name in quantizers(model)]
    session = Session(write_model(loaded, prepared.assemble(rounding), DYNAMIC))
    names = [tensor.name for tensor in model.inputs]
    got, rounded = [], []
    for features in texts:
        got.append(session.run("serving_default", features)["logits"])
        rounded.append(keras.ops.convert_to_numpy(model({name: features[name] for name in names})))
    plain = type(model).from_pretrained(tmp_path)
    exact = [keras.ops.convert_to_numpy(plain({name: features[name] for name in names})) for features in texts]
    size = np.sqrt(np.mean(np.square(exact)))
    assert np.sqrt(np.mean(np.square(np.subtract(got, rounded)))) < 0.04 * size
    if recipe == "int4":  # nearer to the model that rounds than that is to the one that does not
        assert np.abs(np.subtract(got, rounded)).max() < 0.5 * np.abs(np.subtract(exact, rounded)).max()


def test_the_tensors_of_a_static_file_have_the_grids():
    model = make("bert")
    texts = [one_text(model.config, length, seed=length) for length in (3, 9)]
    prepared = prepare(model, RECIPES["static_int8"], texts, add_task(model))
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(write_model(model, prepared.assemble(), DYNAMIC), 0))
    graph = content.subgraphs[0]
    wanted = {
        (np.float32(grid.scale), grid.zero_point)
        for linear in prepared.stored.values()
        if getattr(linear, "grids", None)
        for grid in (linear.grids.input, linear.grids.output)
    }
    found = set()
    for operator in graph.operators:
        if content.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
            for index in (operator.inputs[0], operator.outputs[0]):
                tensor = graph.tensors[index]
                if tensor.type == schema.TensorType.INT8:
                    found.add((np.float32(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])))
    assert found == wanted
    assert len(found) > 20


def test_unfolded_weights_are_the_layers_own():
    for family in TINY:
        model = make(family, kb.TokenClassifier)
        weights = read_weights(model, fold=False)
        for index, block in enumerate(model.encoder.blocks):
            np.testing.assert_array_equal(weights.blocks[index].query.matrix, values(block.attention.query.kernel).T)
        features = one_text(model.config, 7)
        got = Session(write_model(model, weights, DYNAMIC)).run("serving_default", features)["logits"]
        names = [tensor.name for tensor in model.inputs]
        expected = keras.ops.convert_to_numpy(model({name: features[name] for name in names}))
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_losses_by_layer_name_the_tensor_that_loses():
    model = make("bert")
    kernel = values(model.encoder.blocks[1].feedforward_out.kernel)
    kernel[0, :] = 40  # an outlier in each row of the matrix: the other columns keep few of the 16 numbers
    model.encoder.blocks[1].feedforward_out.kernel.assign(kernel)
    texts = [one_text(model.config, length, seed=length) for length in range(3, 15)]
    recipe = dataclasses.replace(RECIPES["int4"], block_size=0)
    prepared = prepare(model, recipe, texts, add_task(model))
    errors = LayerErrors(model, prepared, texts)
    table = errors.table()
    assert [each.error for each in table] == sorted((each.error for each in table), reverse=True)
    assert table[0].name == "blocks.1.feedforward_out"
    assert {each.name for each in table} == {*prepared.stored}
    linear = prepared.weights.blocks[1].feedforward_out.matrix
    lost = prepared.stored["blocks.1.feedforward_out"].matrix.dequantize() - linear
    assert table[0].weights == pytest.approx(np.linalg.norm(lost) / np.linalg.norm(linear), rel=1e-4)

    finer = prepare(model, RECIPES["dynamic_int8"], texts, add_task(model))
    again = stored_again(prepared, RECIPES["dynamic_int8"])
    for name, stored in finer.stored.items():
        for part in ("values", "scales"):
            pair = [each if name in TABLES else each.matrix for each in (again.stored[name], stored)]
            np.testing.assert_array_equal(*(getattr(each, part) for each in pair))
        if name not in TABLES:
            np.testing.assert_array_equal(again.stored[name].bias, stored.bias)
    whole = errors.compare(prepared.assemble()).error
    kept = most_sensitive(errors, table, finer, budget=0.8 * whole)
    assert "blocks.1.feedforward_out" in kept
    assert len(kept) < len([each for each in table if each.kind == "int4"])
    assert most_sensitive(errors, table, finer, budget=1.01 * whole) == frozenset()
    with pytest.raises(ExportError, match="a budget of 1e-06 cannot be kept"):
        most_sensitive(errors, table, finer, budget=1e-6)


def test_ranges_leave_with_the_weights_that_had_them(tmp_path):
    model = make("bert")
    train_for(model, RECIPES["static_int8"], [one_text(model.config, 9)])
    model.save_pretrained(tmp_path)
    assert has_quantization(tmp_path)
    plain = type(model).from_pretrained(tmp_path)
    plain.save_pretrained(tmp_path)
    assert not has_quantization(tmp_path)


def test_ranges_of_another_model_are_refused(tmp_path):
    model = make("bert")
    train_for(model, RECIPES["static_int8"], [one_text(model.config, 9)])
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is not of this model"):
        load_quantization(make("albert"), tmp_path)  # whose layers share one block
    (tmp_path / QUANTIZATION).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot read"):
        load_quantization(make("bert"), tmp_path)
