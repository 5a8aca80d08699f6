"""The small data files of the tests are well formed, so that a failing test blames the code and not its data."""

import json
from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).parent / "data"


def blocks(name: str) -> list[list[str]]:
    """Lines of the file `name`, in groups separated by one blank line."""
    return [block.split("\n") for block in (FOLDER / name).read_text(encoding="utf-8").rstrip("\n").split("\n\n")]


def test_pairs():
    header, *rows = [line.split("\t") for line in blocks("pairs.tsv")[0]]
    assert header == ["premise", "hypothesis", "label"]
    assert {len(row) for row in rows} == {3}
    assert Counter(row[2] for row in rows) == {"entailment": 8, "neutral": 8, "contradiction": 8}
    assert len({tuple(row[:2]) for row in rows}) == 24


def test_ner_is_iob2():
    sentences = [[line.split("\t") for line in block] for block in blocks("ner.conll")]
    assert len(sentences) == 30
    entities = Counter()
    for sentence in sentences:
        previous = "O"
        for token, tag in sentence:
            assert token
            assert not any(c.isspace() for c in token)
            assert tag in {"O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"}
            assert tag[0] != "I" or previous[1:] == tag[1:], (token, tag)
            entities[tag[2:]] += tag[0] == "B"
            previous = tag
    assert min(entities[kind] for kind in ("PER", "LOC", "ORG")) >= 15


def test_qa_answers_are_slices_of_their_context():
    data = json.loads((FOLDER / "qa.json").read_text(encoding="utf-8"))
    assert data["version"] == "1.1"
    paragraphs = [paragraph for article in data["data"] for paragraph in article["paragraphs"]]
    questions = [(paragraph["context"], question) for paragraph in paragraphs for question in paragraph["qas"]]
    assert (len(paragraphs), len(questions)) == (6, 18)
    assert len({question["id"] for _, question in questions}) == 18
    for context, question in questions:
        assert question["answers"]
        for answer in question["answers"]:
            start, text = answer["answer_start"], answer["text"]
            assert context[start : start + len(text)] == text != ""


def test_documents():
    documents = blocks("documents.txt")
    assert len(documents) == 10
    for sentences in documents:
        assert 8 <= len(sentences) <= 15
        assert all(sentence == sentence.strip() and sentence[-1] in ".?!" for sentence in sentences)
    assert len({sentence for document in documents for sentence in document}) == sum(map(len, documents))
