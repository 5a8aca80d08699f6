"""Texts with several labels: how fields are read, and what models train on."""

import numpy as np
import pytest

import keras_bert as kb
from keras_bert.data import classification, read_labelled_texts, split_labelled_texts
from keras_bert.errors import DataError

MULTI = "multi_label_classification"


def write(tmp_path, content, name="a.tsv"):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def test_fields_are_parted_and_may_be_empty(tmp_path):
    path = write(tmp_path, "text\tlabel\na\tred, blue\nb\t\nc\tblue\nd\tred,red\n")
    data = read_labelled_texts(path, multi_label=True)
    assert data.label_sets == [("red", "blue"), (), ("blue",), ("red",)]
    assert data.label_names() == ["blue", "red"]
    expected = [[1, 1], [0, 0], [1, 0], [0, 1]]
    np.testing.assert_array_equal(data.targets(["blue", "red"], MULTI), np.array(expected, "float32"))
    assert data.targets(["blue", "red"], MULTI).dtype == "float32"


def test_another_separator_and_numbers_in_order(tmp_path):
    data = read_labelled_texts(write(tmp_path, "text\tlabel\na\t10|9\nb\t9\n"), multi_label=True, separator="|")
    assert data.label_names() == ["9", "10"]


def test_json_lists(tmp_path):
    content = '{"text": "a", "label": ["x, y", "z"]}\n{"text": "b", "label": []}\n{"text": "c", "label": "z"}\n'
    data = read_labelled_texts(write(tmp_path, content, "a.jsonl"), multi_label=True)
    assert data.label_sets == [("x, y", "z"), (), ("z",)]


@pytest.mark.parametrize(
    ("content", "message"),
    [("text\tlabel\na\tx,,y\n", "line 2: an empty label among 'x,,y'"), ("text\tlabel\na\tx\n", None)],
)
def test_empty_labels_and_unknown_ones_are_named(tmp_path, content, message):
    path = write(tmp_path, content)
    if message:
        with pytest.raises(DataError, match=message):
            read_labelled_texts(path, multi_label=True)
    else:
        data = read_labelled_texts(path, multi_label=True)
        with pytest.raises(DataError, match=r"a\.tsv, line 2: unknown label 'x'; the model's labels are y"):
            data.targets(["y"], MULTI)


def test_one_label_a_text_may_not_be_empty(tmp_path):
    with pytest.raises(DataError, match="line 2: the label is empty"):
        read_labelled_texts(write(tmp_path, '{"text": "a", "label": null}\n'.replace("{", "\n{", 1), "a.jsonl"))


def test_a_split_keeps_every_text_once(tmp_path):
    rows = "".join(f"text {i}\t{['x', 'y', 'x,y', ''][i % 4]}\n" for i in range(80))
    data = read_labelled_texts(write(tmp_path, "text\tlabel\n" + rows), multi_label=True)
    first, second = split_labelled_texts(data, 0.1, seed=1)
    assert sorted(first.texts + second.texts) == sorted(data.texts)
    assert [sum(names == wanted for names in second.label_sets) for wanted in ((), ("x",), ("x", "y"))] == [2, 2, 2]


def test_sets_of_labels_that_occur_once_are_held_out_like_others(tmp_path):
    names = [",".join(f"l{bit}" for bit in range(7) if row >> bit & 1) for row in range(1, 101)]
    rows = "".join(f"text\t{name}\n" for name in names)
    data = read_labelled_texts(write(tmp_path, "text\tlabel\n" + rows), multi_label=True)
    assert len(split_labelled_texts(data, 0.1, seed=1)[1]) == 10


def test_batches_for_fit(tmp_path):
    from tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer(tmp_path / "tokenizer")
    path = write(tmp_path, "text\tlabel\ngood\tx\nbad film\tx,y\n")
    dataset = classification(path, tokenizer, problem_type=MULTI, shuffle=False)
    ((_, targets),) = list(dataset)
    np.testing.assert_array_equal(targets, [[1, 1], [1, 0]])
    config = kb.EncoderConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=8, num_layers=1, num_heads=2, intermediate_size=8
    )
    model = kb.SequenceClassifier(kb.Encoder(config), ["x", "y"], problem_type=MULTI)
    model.compile()
    assert np.isfinite(model.fit(dataset, verbose=0).history["loss"][0])
