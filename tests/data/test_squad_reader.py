"""SQuAD files: what `json` reads, in order, with the line of every fault."""

import io
import json
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_bert.data import GoldAnswer, json_stream, read_questions, read_squad
from keras_bert.errors import DataError

QA = pathlib.Path(__file__).parent / "qa.json"


def question(identifier="q", text="who?", answers=(("b", 2),), **more):
    return {
        "id": identifier,
        "question": text,
        "answers": [{"text": answer, "answer_start": start} for answer, start in answers],
        **more,
    }


@pytest.fixture
def write(tmp_path):
    def written(*paragraphs, indent=1):
        path = tmp_path / "file.json"
        made = [{"context": context, "qas": list(asked)} for context, asked in paragraphs]
        content = {"version": "2.0", "data": [{"title": "t", "paragraphs": [made_one]} for made_one in made]}
        path.write_text(json.dumps(content, indent=indent), encoding="utf-8")
        return path

    return written


def line_of(path, needle, occurrence=1):
    lines = [number for number, line in enumerate(path.read_text().split("\n"), start=1) if needle in line]
    return lines[occurrence - 1]


def test_questions_are_those_of_json():
    expected = [
        (item["id"], item["question"], paragraph["context"], [(a["text"], a["answer_start"]) for a in item["answers"]])
        for article in json.loads(QA.read_text(encoding="utf-8"))["data"]
        for paragraph in article["paragraphs"]
        for item in paragraph["qas"]
    ]
    data = read_questions(QA, strict=True)
    got = [(q.id, q.question, q.context, [(a.text, a.start) for a in q.answers]) for q in data.questions]
    assert got == expected
    assert not data.has_unanswerable
    assert all(question.line == line_of(QA, f'"id": "{question.id}"') for question in data.questions)
    assert data.answer_texts()[0] == ["Paris"]


def test_unanswerable(write):
    data = read_questions(write(("a b", [question(answers=(), is_impossible=True), question("r")])), strict=True)
    assert [len(q.answers) for q in data.questions] == [0, 1]
    assert data.has_unanswerable


@pytest.mark.parametrize(
    ("paragraph", "kept", "needle", "message"),
    [
        (("a b", [question(answers=[("b", 1)])]), ["q"], '"id"', "answer_start 1 of 'q' does not match: the answer is"),
        (("a b", [question(answers=[("b", -1)])]), ["q"], '"id"', "answer_start -1 of 'q'"),
        (("a b", [question(answers=[("", 0), ("b", 2)])]), ["q"], '"id"', "an answer of 'q' is empty"),
        ((" \n", [question()]), [], '"id"', "an empty context; its 1 questions are left out"),
        (("a b", [question(text="\t")]), [], '"id"', "the question 'q' is empty"),
        (("a b", [question(answers=())]), ["q"], '"id"', "has no answers, yet is not marked"),
        (("a b", [question(is_impossible=True)]), ["q"], '"id"', "is_impossible and has answers"),
    ],
)
def test_faults_are_named_and_handled(write, paragraph, kept, needle, message):
    path = write(("a b", [question("first")]), paragraph)
    data = read_questions(path)
    assert [q.id for q in data.questions] == ["first", *kept]
    assert len(data.problems) == 1
    assert data.problems[0].startswith(f"{path}, line {line_of(path, needle, 2)}: ")
    assert message in data.problems[0]
    with pytest.raises(DataError) as error:
        read_questions(path, strict=True)
    assert str(error.value) == data.problems[0]


def test_a_question_with_empty_answers_alone_is_not_one_without(write):
    data = read_questions(write(("a b", [question("first"), question(answers=[(" ", 0)])])))
    assert [q.id for q in data.questions] == ["first"]
    assert "the question 'q' has empty answers only; it is left out" in data.problems[-1]
    assert not data.has_unanswerable


def test_a_wrong_place_keeps_the_text(write):
    data = read_questions(write(("a b", [question(answers=[("b", 0), ("b", 2)])])))
    assert data.questions[0].answers == (GoldAnswer("b", None), GoldAnswer("b", 2))


def test_an_id_twice(write):
    path = write(("a b", [question("x"), question("y"), question("x")]))
    data = read_questions(path)
    assert [q.id for q in data.questions] == ["x", "y"]
    expected = f"{path}, line {line_of(path, 'id', 3)}: the id 'x' for the second time; the question is left out"
    assert data.problems == [expected]


def test_questions_to_be_asked_need_no_answers(write):
    path = write(("a b", [{"id": 7, "question": "who?"}]))
    assert [(q.id, q.answers) for q in read_questions(path, answered=False, strict=True).questions] == [("7", ())]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1: expected '{', got ''"),
        ("[1]", "line 1: expected '{'"),
        ('{"version": 1}', "no 'data'"),
        ('{"data": {}}', r"line 1: expected '\['"),
        ('{"data": [\n{"paragraphs": [}]}', "line 2: "),
        ('{"data": [{"paragraphs": []},]}', "']' after a comma"),
        ('{"data": []} {', "more than one object"),
        ('{"data": [' + "[" * 100000, "not a SQuAD file"),
        ('{"data": []}', "holds no questions"),
        ('{"data": [\n\n3]}', r"line 3: expected 'paragraphs' \(list\), got 3 instead of an object"),
        ('{"data": [{"paragraphs": [{"context": "a b", "qas": [{"question": "?"}]}]}]}', r"'id' \(text \| number\)"),
        ('{"data": [{"paragraphs": [{"context": 5, "qas": []}]}]}', r"expected 'context' \(text\), got 5"),
    ],
)
def test_what_is_no_squad_file(tmp_path, content, message):
    path = tmp_path / "file.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message):
        read_questions(path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text(max_size=3), values, max_size=3), st.lists(values, max_size=5), st.sampled_from([None, 1])
)
def test_streamed_elements_equal_json(others, elements, indent):
    content = json.dumps({**others, "data": elements, "after": 12}, indent=indent, ensure_ascii=False)

    class Trickle(io.StringIO):
        """Gives three characters a time: every boundary is met."""

        def read(self, size=-1):
            return super().read(3)

    got = list(json_stream.stream_elements(Trickle(content), "data"))
    assert [element.value for element in got] == elements
    assert [json.loads(element.source) for element in got] == elements
    position = 0
    for element in got:
        position = content.index(element.source, position)
        position += len(element.source)
        lines = content.split("\n")
        assert element.source.split("\n")[0] in lines[element.line - 1]


def test_articles_come_before_the_end_is_read(tmp_path):
    path = tmp_path / "file.json"
    article = json.dumps({"paragraphs": [{"context": "a b", "qas": [question()]}]})
    path.write_text('{"data": [' + article + ", " + '"' + "x" * 200_000)
    questions = read_squad(path)
    assert next(questions).id == "q"
    with pytest.raises(DataError, match="not a SQuAD file: line 1"):
        next(questions)
