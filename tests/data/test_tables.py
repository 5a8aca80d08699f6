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
