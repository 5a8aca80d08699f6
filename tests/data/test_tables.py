"""Tables of texts: what is read, and that every bad row is named by file and line."""

import pytest

from keras_bert.data import Columns, read_labelled_texts, read_rows, split_labelled_texts
from keras_bert.errors import DataError


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def rows(path, *args, **options):
    return [(row.text, row.pair, row.label, row.line) for row in read_rows(path, *args, **options)]


def test_tsv_keeps_quotes_and_counts_lines(tmp_path):
    path = write(tmp_path, "a.tsv", '\ufefftext\tlabel\r\n"quoted\tx\r\n\r\nsecond\ty\r\n')
    assert rows(path) == [('"quoted', None, "x", 2), ("second", None, "y", 4)]


def test_csv_reads_quoted_line_breaks(tmp_path):
    path = write(tmp_path, "a.csv", 'text,category\n"one\ntwo, ""three""",x\nfour,y\n')
    assert rows(path, Columns(label="category")) == [
        ('one\ntwo, "three"', None, "x", 2),
        ("four", None, "y", 4),
    ]


def test_jsonl_with_pairs(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"premise": "a", "hypothesis": "b", "label": 1}\n')
    assert rows(path) == [("a", "b", "1", 1)]


def test_unlabelled(tmp_path):
    path = write(tmp_path, "a.tsv", "text\nhello\n")
    assert rows(path, labelled=False) == [("hello", None, None, 2)]


def test_named_columns(tmp_path):
    path = write(tmp_path, "a.tsv", "id\tbody\tanswer\n7\tx\tyes\n")
    assert rows(path, Columns(text="body", label="answer")) == [("x", None, "yes", 2)]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "text\tlabel\nonly\n", r"a\.tsv, line 2: expected 2 columns \(text, label\), got 1"),
        ("a.tsv", "text\tlabel\na\tb\tc\n", r"line 2: expected 2 columns .* got 3"),
        ("a.tsv", "text\tlabel\nfine\tx\n  \tx\n", r"line 3: the text is empty"),
        ("a.tsv", "text\tlabel\nfine\t \n", r"line 2: the label is empty"),
        ("a.tsv", "text\tclass\nfine\tx\n", r"no label column 'label'; the columns are text, class"),
        ("a.tsv", "a\tb\tc\tlabel\n1\t2\t3\tx\n", r"cannot tell which of the columns a, b, c, label is the text"),
        ("a.csv", 'text,label\n"open,x\n', r"a\.csv, line 2: not a CSV row"),
        ("a.csv", 'text,label\nfine,x\n"open,x\n' + "more,y\n" * 99, r"a\.csv, line 3: not a CSV row"),
        ("a.csv", "text,text,label\na,b,x\n", r"the header names the column 'text' 2 times"),
        ("a.csv", ",text,label\n0,a,x\n", r"column 1 has no name: give it one, or name the others"),
        (
            "a.jsonl",
            '{"text": "a", "label": 1}\n{"text": "a", "b": "c", "label": 1}\n',
            r"line 2: has b, which the first",
        ),
        ("a.jsonl", '{"text": "a", "label": ' + "9" * 5000 + "}\n", r"line 1: not JSON"),
        ("a.jsonl", "[" * 100_000 + "\n", r"line 1: not JSON"),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{bad\n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", "[1]\n", r"line 1: expected a JSON object, got list"),
        ("a.txt", "text\n", r"expected a file ending in \.tsv, \.csv, \.jsonl"),
        ("a.tsv", b"text\tlabel\n\xff\tx\n", r"a\.tsv is not UTF-8"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, message):
    with pytest.raises(DataError, match=message):
        rows(write(tmp_path, name, content))


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(DataError, match=r"none\.tsv cannot be read: No such file"):
        rows(tmp_path / "none.tsv")
    with pytest.raises(DataError, match="holds no examples"):
        read_labelled_texts(write(tmp_path, "a.tsv", "text\tlabel\n"))


def test_targets(tmp_path):
    data = read_labelled_texts(write(tmp_path, "a.tsv", "text\tlabel\na\t10\nb\t9\nc\t10\n"))
    assert data.label_names() == ["9", "10"]
    assert data.targets(["9", "10"]).tolist() == [1, 0, 1]
    assert data.targets([], "regression").tolist() == [[10.0], [9.0], [10.0]]
    with pytest.raises(DataError, match=r"a\.tsv, line 3: unknown label '9'; the model's labels are 10"):
        data.targets(["10"])


@pytest.mark.parametrize("value", ["nan", "inf", "high"])
def test_regression_targets_must_be_numbers(tmp_path, value):
    data = read_labelled_texts(write(tmp_path, "a.tsv", f"text\tlabel\na\t1\nb\t{value}\n"))
    with pytest.raises(DataError, match=f"line 3: expected a finite number, got '{value}'"):
        data.targets([], "regression")


def test_split_keeps_the_shares_and_every_row_once(tmp_path):
    lines = "".join(f"text {i}\t{'x' if i % 4 else 'y'}\n" for i in range(80))
    data = read_labelled_texts(write(tmp_path, "a.tsv", "text\tlabel\n" + lines))
    first, second = split_labelled_texts(data, 0.1, seed=3)
    assert (second.labels.count("x"), second.labels.count("y")) == (6, 2)
    assert sorted(first.texts + second.texts) == sorted(data.texts)
    assert split_labelled_texts(data, 0.1, seed=3)[1].texts == second.texts
    assert split_labelled_texts(data, 0.1, seed=4)[1].texts != second.texts


def test_a_field_of_any_length(tmp_path):
    text = "word " * 60_000  # twice the csv module's own limit
    assert rows(write(tmp_path, "a.csv", f"text,label\n{text},x\n")) == [(text, None, "x", 2)]


def test_named_columns_leave_the_others_alone(tmp_path):
    columns = Columns(text="text", label="label")
    assert rows(write(tmp_path, "a.csv", ",text,label\n0,a,x\n"), columns) == [("a", None, "x", 2)]
    content = '{"text": "a", "label": "x"}\n{"text": "b", "label": "y", "note": "z"}\n'
    assert [row[0] for row in rows(write(tmp_path, "a.jsonl", content), columns)] == ["a", "b"]


def labelled(tmp_path, labels):
    return read_labelled_texts(
        write(tmp_path, "a.tsv", "text\tlabel\n" + "".join(f"t{i}\t{label}\n" for i, label in enumerate(labels)))
    )


def test_a_split_of_many_small_classes_is_a_tenth_of_all(tmp_path):
    data = labelled(tmp_path, [row % 77 for row in range(385)])
    first, second = split_labelled_texts(data, 0.1, seed=0)
    assert len(second) == 38
    assert max(second.labels.count(label) for label in second.labels) == 1
    assert set(first.labels) == set(data.labels)


def test_a_split_of_numbers_is_a_tenth_of_all(tmp_path):
    data = labelled(tmp_path, [f"{row / 7:.4f}" for row in range(1000)])
    first, second = split_labelled_texts(data, 0.1, seed=0, by_label=False)
    assert (len(first), len(second)) == (900, 100)


def test_a_split_leaves_each_label_something_to_learn_from(tmp_path):
    data = labelled(tmp_path, ["x"] * 9 + ["y"])
    for seed in range(20):
        assert split_labelled_texts(data, 0.1, seed)[1].labels == ["x"]
    assert len(split_labelled_texts(labelled(tmp_path, "xy"), 0.1, 0)[1]) == 1


def test_labels_of_one_value_have_one_order(tmp_path):
    assert labelled(tmp_path, ["01", "1", "10", "2", "1", "01"]).label_names() == ["01", "1", "2", "10"]
