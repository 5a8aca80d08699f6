"""CoNLL files of every scheme against examples by hand and seqeval's own reading of the schemes."""

import pathlib
import random

import pytest

from keras_bert.data import read_conll, read_tagged_sentences
from keras_bert.data.conll import detect_scheme
from keras_bert.errors import DataError

NER = pathlib.Path(__file__).parent / "ner.conll"


@pytest.fixture
def write(tmp_path):
    def written(content):
        path = tmp_path / "file.conll"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def column(tags):
    return "".join(f"w{i} {tag}\n" for i, tag in enumerate(tags.split()))


def test_words_tags_and_lines():
    data = read_tagged_sentences(NER)
    assert (len(data), data.scheme, data.problems) == (30, "IOB2", [])
    assert data.sentences[0].words == ("John", "lives", "in", "New", "York", ".")
    assert data.sentences[0].tags == ("B-PER", "O", "O", "B-LOC", "I-LOC", "O")
    assert [sentence.line for sentence in data.sentences[:3]] == [1, 8, 18]
    assert data.label_names() == ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert data.targets(data.label_names())[0].tolist() == [5, 0, 0, 1, 2, 0]


def test_separators_documents_and_line_ends(write):
    content = "\ufeff-DOCSTART- O\r\n\r\nJohn\tB-A\r\n\t\r\n \t \r\nNew York\tB-A\r\n-DOCSTART-\tO\r\n\u00a0\tO\r\nb\tO"
    sentences = list(read_conll(write(content)))
    assert [sentence.words for sentence in sentences] == [("John",), ("New York",), ("\u00a0", "b")]
    assert [sentence.line for sentence in sentences] == [3, 6, 8]


def test_columns_by_blanks(write):
    path = write(" EU NNP B-NP I-ORG\nrejects  VBZ O  O \n")
    assert next(iter(read_conll(path))).tags == ("B-ORG", "O")
    phrase = read_tagged_sentences(path, tag_column=2)
    assert (phrase.scheme, phrase.sentences[0].tags) == ("IOB2", ("B-NP", "O"))
    parts = read_tagged_sentences(path, tag_column=1)
    assert (parts.scheme, parts.sentences[0].tags, parts.label_names()) == ("plain", ("NNP", "VBZ"), ["NNP", "VBZ"])


@pytest.mark.parametrize(
    ("tags", "scheme", "expected", "problems"),
    [
        ("I-A I-A B-A O I-B", "IOB1", "B-A I-A B-A O B-B", 0),
        ("B-A I-A B-A O B-B", "IOB2", "B-A I-A B-A O B-B", 0),
        ("B-A E-A S-A O S-B", "IOBES", "B-A I-A B-A O B-B", 0),
        ("B-A I-A L-A U-B", "IOBES", "B-A I-A I-A B-B", 0),
        ("O O", "IOB2", "O O", 0),
        # Faults: read as conlleval reads them, and named.
        ("I-A O B-A I-B", "IOB2", "B-A O B-A B-B", 2),
        ("B-A O I-A S-A B-A", "IOBES", "B-A O B-A B-A B-A", 4),
        ("S-A I-A E-A E-A", "IOBES", "B-A B-A I-A B-A", 2),
    ],
)
def test_schemes(write, tags, scheme, expected, problems):
    data = read_tagged_sentences(write(column(tags)))
    assert data.scheme == scheme
    assert data.sentences[0].tags == tuple(expected.split())
    assert len(data.problems) == problems


def test_faults_are_named(write):
    path = write(column("B-A O I-A"))
    assert read_tagged_sentences(path).problems == [f"{path}, line 3: 'I-A' goes on from nothing; read as 'B-A'"]
    with pytest.raises(DataError, match=r"line 3: 'I-A' goes on from nothing"):
        read_tagged_sentences(path, strict=True)
    assert read_tagged_sentences(path, scheme="IOB1", strict=True).sentences[0].tags == ("B-A", "O", "B-A")


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IOBES"])
def test_legal_files_mean_what_seqeval_says(write, scheme):
    """Random entities written in a scheme, read by seqeval in that scheme and, converted, in IOB2."""
    schemes = pytest.importorskip("seqeval.scheme")
    draw = random.Random(scheme)
    written = []
    for _ in range(60):
        tags, before = [], None
        while len(tags) < 10:
            kind, length = draw.choice([None, "A", "B"]), draw.randint(1, 3)
            if kind is None:
                tags.append("O")
            elif scheme == "IOB1":
                tags += [f"{'B' if before == kind else 'I'}-{kind}", *[f"I-{kind}"] * (length - 1)]
            elif scheme == "IOB2":
                tags += [f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
            else:
                tags += [f"S-{kind}"] if length == 1 else [f"B-{kind}", *[f"I-{kind}"] * (length - 2), f"E-{kind}"]
            before = kind
        written.append(tags)
    path = write("\n".join(column(" ".join(tags)) for tags in written))
    data = read_tagged_sentences(path)
    assert (data.scheme, data.problems) == (scheme, [])
    expected = schemes.Entities(written, getattr(schemes, scheme)).entities
    got = schemes.Entities([list(sentence.tags) for sentence in data.sentences], schemes.IOB2).entities
    assert [[e.to_tuple() for e in sentence] for sentence in got] == [
        [e.to_tuple() for e in sentence] for sentence in expected
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a O\nb\n", "line 2: expected 2 columns, got 1"),
        ("a\tO\nb\tx\tO\n", "line 2: expected 2 columns, got 3"),
        ("a\n", "line 1: expected a word and a tag, at least 2 columns, got 1"),
        ("a\tO\n\tO\n", "line 2: the word is empty"),
        ("a\tO\nb\t\n", "line 2: the tag is empty"),
        ("a B-X\n\nb Noun\n", "line 3: tag 'Noun' is neither O nor"),
        ("\n \t\n-DOCSTART- O\n", "holds no sentences"),
        (b"a O\n\xff O\n", "is not UTF-8"),
    ],
)
def test_bad_files(write, content, message):
    with pytest.raises(DataError, match=message):
        read_tagged_sentences(write(content))


def test_bad_requests(write, tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_tagged_sentences(tmp_path / "nowhere")
    path = write("a B-X\nb E-X\n")
    with pytest.raises(DataError, match="line 2: tag 'E-X' is not of the scheme IOB2"):
        read_tagged_sentences(path, scheme="IOB2")
    with pytest.raises(DataError, match="expected one of IOB1"):
        list(read_conll(path, scheme="BIO"))
    with pytest.raises(DataError, match="no tag column 2: there are 2 columns"):
        read_tagged_sentences(path, tag_column=2)
    data = read_tagged_sentences(path)
    with pytest.raises(DataError, match=r"line 2: unknown tag 'I-X'; the model's labels are O, B-X"):
        data.targets(["O", "B-X"])


def test_files_are_streamed(write):
    """The first sentence comes before a fault further on is seen."""
    path = write("a O\n\n" + "b O\n\n" * 5 + "broken\n")
    sentences = read_conll(path, scheme="IOB2")
    assert next(sentences).words == ("a",)
    with pytest.raises(DataError, match="line 13"):
        list(sentences)
    with pytest.raises(DataError, match="line 13"):
        detect_scheme(path)
