"""Lists, whose short texts are answered several at once: the answers of one by one, in order."""

import json
import os
import pathlib
import shutil
import struct

import keras_bert_edge
import numpy as np
import pytest
import tflite_file
from keras_bert_edge import EdgeError, batch, memory
from keras_bert_edge.lists import LONGEST, SPARED, group_by_length
from keras_bert_edge.runtime import find_runtime

FOLDER = pathlib.Path(__file__).parents[1] / "vectors"
WORDS = [
    "the",
    "keeper",
    "was",
    "not",
    "good,",
    "\u00c9t\u00e9",
    "\u6771\u4eac!",
    "<b>",
    "[SEP]",
    "1,000.50",
    "<pad>",
    "[PAD]",
]
FILES = ["classification", "pairs", "int8_compatible", "embeddings"]
if find_runtime()[0] == "ai-edge-litert":
    FILES.append("int8_default")


def texts(count, pairs):
    """Texts of 0 to 11 words, and of many more."""
    made = [" ".join(WORDS[(index + k) % len(WORDS)] for k in range(index % 12)) for index in range(count)]
    made[3] = "keeper " * 300
    return [(text, made[-1 - index]) if index % 3 else text for index, text in enumerate(made)] if pairs else made


def values(results):
    return [result.vector if hasattr(result, "vector") else list(result.scores.values()) for result in results]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", FILES)
def test_a_list_is_answered_as_its_texts_are(name, workers):
    """float32 differs by the order of additions, int8 where that tips a rounding."""
    model = keras_bert_edge.load(FOLDER / f"{name}.tflite", workers=workers)
    assert model.engine.batch_size == 4
    items = texts(70, name == "pairs")
    alone = [model(item) for item in items]
    together = model(items)
    assert model.engine.batch_size == 4, "the model for lists was not opened"
    np.testing.assert_allclose(values(together), values(alone), atol=0.01 if name.startswith("int8") else 1e-5)
    assert [result.truncated for result in together] == [result.truncated for result in alone]
    assert any(result.truncated for result in together)


def test_texts_are_grouped_by_their_lengths():
    draw = np.random.RandomState(0)
    for count in (0, 1, 3, 4, 5, 50, 257):
        lengths = draw.randint(2, 80, count).tolist()
        groups = group_by_length(lengths, 4)
        assert sorted(index for group in groups for index in group) == list(range(count))
        for group in groups:
            sizes = [lengths[index] for index in group]
            assert len(group) in (1, 4)
            if len(group) == 4:
                assert max(sizes) <= LONGEST
                assert sum(max(sizes) - size for size in sizes) <= 4 * SPARED
    assert group_by_length([9, 3, 9, 3, 9, 3, 9, 3], 4) == [[1, 3, 5, 7], [0, 2, 4, 6]]


def test_without_memory_for_it_texts_are_answered_one_by_one(monkeypatch):
    model = keras_bert_edge.load(FOLDER / "classification.tflite")
    items = texts(60, False)
    expected = [model(item) for item in items]
    monkeypatch.setattr(memory, "_available_in_machine", lambda: 1000)
    assert model(items) == expected
    assert model.engine.batch_size is None


@pytest.fixture
def processors():
    """Lets this process use so many of its processors."""
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("the system does not bind a process to processors")
    before = os.sched_getaffinity(0)

    def use(count):
        if len(before) < count:
            pytest.skip(f"the machine has no {count} processors")
        os.sched_setaffinity(0, sorted(before)[:count])

    yield use
    os.sched_setaffinity(0, before)


@pytest.mark.parametrize("name", ["classification", "entities"])
def test_a_long_list_is_shared_among_the_processors(processors, name):
    """From 64 texts for each on, unless the caller said how many; a call may use `threads` of them. The answers are
    those of one by one, and a second list opens nothing."""
    path = FOLDER / f"{name}.tflite"
    items = texts(130, False)
    alone = keras_bert_edge.load(path, workers=1)
    expected = [alone(item) for item in items]

    def check(found):
        if name == "entities":  # scored one by one, with no rounding of other shapes
            assert found == expected[: len(found)]
        else:
            np.testing.assert_allclose(values(found), values(expected[: len(found)]), atol=1e-5)

    for count, options, workers in ((2, {}, 2), (1, {}, 1), (2, {"threads": 2}, 1), (2, {"workers": 1}, 1)):
        processors(count)
        model = keras_bert_edge.load(path, **options)
        check(model(items[:127]))
        assert model.engine.workers == 1
        for _ in range(2):
            check(model(items))
            assert model.engine.workers == workers
        check(model(items[:2]))


def test_a_long_list_opens_no_more_where_memory_is_short(processors, monkeypatch):
    processors(2)
    model = keras_bert_edge.load(FOLDER / "classification.tflite")
    items = texts(130, False)
    expected = [model(item) for item in items]
    monkeypatch.setattr(memory, "_available_in_machine", lambda: 1000)
    assert model(items) == expected
    monkeypatch.undo()
    assert model(items) == expected
    assert model.engine.workers == 1


@pytest.mark.parametrize(("count", "workers"), [(60, 1), (300, 1), (70, 2), (300, None)])
def test_a_file_that_was_replaced_is_not_mixed_with_the_one_that_was_loaded(tmp_path, count, workers):
    """The second and third lists are more than a worker takes at a time."""
    path = tmp_path / "model.tflite"
    shutil.copy(FOLDER / "classification.tflite", path)
    model = keras_bert_edge.load(path, workers=workers)
    items = texts(count, False)
    expected = [model(item) for item in items]
    other = tmp_path / "other"
    shutil.copy(FOLDER / "pairs.tflite", other)
    other.replace(path)
    assert model(items) == expected
    assert model.engine.batch_size is None


def test_a_file_that_is_deleted_while_it_is_loaded_is_named(tmp_path, monkeypatch):
    """Between the check of its digest and the look for its models; a file without a model for lists is named too."""
    for name in ("classification", "fills"):
        path = tmp_path / f"{name}.tflite"
        shutil.copy(FOLDER / f"{name}.tflite", path)
        monkeypatch.setattr("keras_bert_edge.model.require_memory", lambda path, *_: os.unlink(path))
        with pytest.raises(EdgeError, match=rf"{name}\.tflite.*cannot be read|cannot run .*{name}\.tflite"):
            keras_bert_edge.load(path)


def rewritten(tmp_path, change, original=FOLDER / "classification.tflite"):
    """The classification file, or another, with another config.json."""
    model, members = tflite_file.split(original.read_bytes())
    config = json.loads(members["config.json"])
    change(config)
    path = tmp_path / "model.tflite"
    path.write_bytes(tflite_file.write(model, {**members, "config.json": json.dumps(config).encode()}))
    return path


@pytest.mark.parametrize(
    "value",
    [7, [], {}, {"size": 4}, {"size": 1, "root": 64}, {"size": 4, "root": 62}, {"size": 4, "root": 1 << 30},
     {"size": True, "root": 64}, {"size": 4, "root": 64, "more": 1}],
)  # fmt: skip
def test_a_batch_that_cannot_be_is_refused_on_loading(tmp_path, value):
    with pytest.raises(EdgeError, match=r"config\.json in .*: batch must be a size and a place inside the model"):
        keras_bert_edge.load(rewritten(tmp_path, lambda config: config.update(batch=value)))


def test_a_model_for_lists_of_another_size_is_named(tmp_path):
    model = keras_bert_edge.load(rewritten(tmp_path, lambda config: config["batch"].update(size=3)))
    with pytest.raises(EdgeError, match="where 3 texts were stated"):
        model(texts(60, False))


@pytest.mark.parametrize("original", [tflite_file.FIXTURES / "lengths.tflite", FOLDER / "classification.tflite"])
def test_a_model_for_lists_that_is_not_there_is_refused_on_loading(tmp_path, original):
    model, members = tflite_file.split(original.read_bytes())
    real = {struct.unpack_from("<I", model)[0], (json.loads(members["config.json"]).get("batch") or {}).get("root")}
    last = len(model) - 4
    for root in {8, 12, 64, last, *range(16, last, last // 400 * 4)} - real:
        path = rewritten(tmp_path, lambda config, root=root: config.update(batch={"size": 2, "root": root}), original)
        with pytest.raises(EdgeError, match=rf"batch names the root {root}, where no model is"):
            keras_bert_edge.load(path)


def test_the_model_for_one_text_is_no_model_for_lists(tmp_path):
    original = tflite_file.FIXTURES / "lengths.tflite"
    (root,) = struct.unpack_from("<I", original.read_bytes())
    model = keras_bert_edge.load(
        rewritten(tmp_path, lambda config: config.update(batch={"size": 2, "root": root}), original)
    )
    assert model("a good film").label
    with pytest.raises(EdgeError, match="signature"):
        model(["a good film", "a bad film"])


def test_a_runtime_that_computes_lists_wrongly_is_refused(monkeypatch):
    """The outputs of the model for lists, changed: for the runner it is as if the runtime computed something else."""
    model = keras_bert_edge.load(FOLDER / "classification.tflite")
    right = batch.BatchCall.__call__

    def wrong(call, rows):
        return [{name: -value for name, value in row.items()} for row in right(call, rows)]

    monkeypatch.setattr(batch.BatchCall, "__call__", wrong)
    for _ in range(2):
        with pytest.raises(EdgeError, match=r"computes .* wrongly"):
            model(texts(60, False))


def test_files_without_a_model_for_lists_go_on_working(tmp_path):
    model = keras_bert_edge.load(rewritten(tmp_path, lambda config: config.pop("batch")))
    items = texts(60, False)
    assert model.engine.batch_size is None
    assert model(items) == [model(item) for item in items]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", ["classification", "entities"])
def test_an_item_that_is_no_text_is_named_by_its_place(name, workers):
    model = keras_bert_edge.load(FOLDER / f"{name}.tflite", workers=workers)
    with pytest.raises(EdgeError, match=r"^item 2 of the list: "):
        model(["a", "a long text", 7, "b"])
    with pytest.raises(EdgeError, match=r"^item 1 of the list: a pair is a tuple of two strings, not of 3"):
        model(["a", ("a", "b", "c")])
