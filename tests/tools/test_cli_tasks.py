"""Tagging and answering from the command line: finetune, evaluate, predict, and what they refuse."""

import json
import pathlib

import numpy as np
import pytest
from command import run
from tiny import save_tiny_encoder

import keras_bert as kb
from keras_bert.metrics import entity_scores, squad_scores
from keras_bert.prediction import answer_questions, tag_words

DATA = pathlib.Path(__file__).parents[1] / "data"
NER, QA = DATA / "ner.conll", DATA / "qa.json"
TRAINING = ("--epochs", 2, "--learning-rate", 1e-2, "--batch-size", 8, "--max-length", 40)


@pytest.fixture(scope="module")
def tagger(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("tagger") / "model"
    options = ("--task", "token_classification", "--train", NER, "--test", NER, "-o", out, *TRAINING)
    assert run("finetune", checkpoint, *options) == 0
    return out


@pytest.fixture(scope="module")
def answerer(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("answerer") / "model"
    options = ("--task", "question_answering", "--train", QA, "--dev", QA, "--test", QA, "-o", out, *TRAINING)
    assert run("finetune", checkpoint, *options) == 0
    return out


def test_layers_that_start_anew(tmp_path):
    """For entities one in three, below a new head alone."""
    six, three = (save_tiny_encoder(tmp_path / name, num_layers=n) for name, n in (("six", 6), ("three", 3)))
    command = ("--task", "token_classification", "--train", NER, *TRAINING, "--epochs", 1)
    told = []
    for source, options in ((six, ()), (three, ("--restart-layers", 2)), (tmp_path / "1", ())):
        out = tmp_path / str(len(told))
        assert run("finetune", source, *command, *options, "-o", out) == 0
        told.append(json.loads((out / "report.json").read_text())["options"]["restart_layers"])
    assert told == [2, 2, 0]


def test_tagging(tagger, capsys, tmp_path):
    report = json.loads((tagger / "report.json").read_text())
    assert report["task"] == "token_classification"
    assert report["labels"] == ["O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER"]
    assert report["examples"] == {"train": 27, "dev": 3, "test": 30}
    assert run("evaluate", tagger, "--data", NER, "--json", "--report", tmp_path / "r.json", "--max-length", 40) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == report["scores"]["test"]
    data = kb.data.read_tagged_sentences(NER)
    model = kb.TokenClassifier.from_pretrained(tagger)
    tags = tag_words(model, [sentence.words for sentence in data.sentences])
    expected = entity_scores([sentence.tags for sentence in data.sentences], tags)
    assert scores["f1"] == pytest.approx(expected.micro.f1)
    details = json.loads((tmp_path / "r.json").read_text())["details"]
    assert details["per_type"]["PER"]["support"] == expected.per_type["PER"].support
    assert run("predict", tagger, "John lives in New York", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert [word["text"] for word in record["words"]] == ["John", "lives", "in", "New", "York"]


def test_answering(answerer, capsys):
    report = json.loads((answerer / "report.json").read_text())
    data = kb.data.read_questions(QA)
    model = kb.QuestionAnswerer.from_pretrained(answerer)
    results = answer_questions(
        model, [q.question for q in data.questions], [q.context for q in data.questions], max_length=40
    )
    expected = squad_scores(data.answer_texts(), [result.answer for result in results])
    assert report["scores"]["test"] == pytest.approx({"f1": expected.f1, "exact_match": expected.exact_match})
    assert report["notes"][0].startswith("18 training questions make ")
    context = "Paris is the capital of France."
    assert run("predict", answerer, "What is the capital of France?", "--pair", context, "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert context[record["start"] : record["end"]] == record["answer"] != ""


def test_squad_2_scores(answerer, tmp_path, capsys):
    content = json.loads(QA.read_text(encoding="utf-8"))
    asked = content["data"][0]["paragraphs"][0]["qas"]
    asked[0].update(answers=[], is_impossible=True)
    (tmp_path / "v2.json").write_text(json.dumps(content))
    assert run("evaluate", answerer, "--data", tmp_path / "v2.json", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert set(scores) >= {"f1", "exact_match", "has_answer_f1", "no_answer_f1", "best_f1", "best_f1_threshold"}
    assert scores["best_f1"] >= scores["f1"]


def test_no_answer_by_the_threshold(answerer, capsys):
    asked = ("predict", answerer, "who lives there?", "--pair", "John lives in New York.", "--json", "--n-best", 3)
    assert run(*asked) == 0
    found = json.loads(capsys.readouterr().out)
    model = kb.QuestionAnswerer.from_pretrained(answerer)
    (expected,) = answer_questions(model, ["who lives there?"], ["John lives in New York."], n_best=3)
    assert found["answer"] == expected.answer != ""
    assert [row["text"] for row in found["n_best"]] == [answer.text for answer in expected.n_best]
    for threshold, kept in ((expected.null_score_difference + 1, True), (expected.null_score_difference - 1, False)):
        assert run(*asked, "--null-threshold", threshold) == 0
        assert (json.loads(capsys.readouterr().out)["answer"] != "") is kept


def test_halves_of_characters_reach_the_report(answerer, tmp_path, capsys):
    question = {"id": "1", "question": "who?", "answers": [{"text": "\ud83d", "answer_start": 5}]}
    paragraph = {"context": "John \ud83d lives.", "qas": [question]}
    (tmp_path / "t.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    report = tmp_path / "r.json"
    assert run("evaluate", answerer, "--data", tmp_path / "t.json", "--json", "--report", report) == 0
    assert json.loads(report.read_text("ascii"))["details"]["answers"]["1"] in paragraph["context"]


def test_questions_without_a_place_of_an_answer(checkpoint, tmp_path, capsys):
    questions = [{"id": str(i), "question": "who?", "answers": [{"text": "Mary", "answer_start": 0}]} for i in range(2)]
    paragraphs = [{"context": f"John {i}", "qas": [asked]} for i, asked in enumerate(questions)]
    (tmp_path / "t.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    options = ("--task", "question_answering", "--train", tmp_path / "t.json", "-o", tmp_path / "out")
    assert run("finetune", checkpoint, *options) == 2
    assert "no place of an answer is known in any of the 1 questions" in capsys.readouterr().err


def test_a_type_of_which_every_example_is_held_out(checkpoint, tmp_path):
    """A seed that draws the one sentence of the rare type: it is a tag of the model all the same."""
    sentences = [f"John{i} B-PER\nlives O\n" for i in range(9)] + ["Flu B-RARE\nhurts O\n"]
    (tmp_path / "t.conll").write_text("\n".join(sentences))
    options = ("--task", "token_classification", "--train", tmp_path / "t.conll", "-o", tmp_path / "out")
    seed = next(seed for seed in range(99) if np.random.default_rng(seed).permutation(10)[0] == 9)
    assert run("finetune", checkpoint, *options, "--epochs", 1, "--seed", seed) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "B-RARE" in report["labels"]


def test_tabs_are_characters_to_a_tagger(tagger, tmp_path, capsys):
    (tmp_path / "t.txt").write_text("John\tlives\n")
    assert run("predict", tagger, "--input", tmp_path / "t.txt", "--json") == 0
    assert [word["text"] for word in json.loads(capsys.readouterr().out)["words"]] == ["John", "lives"]


def test_questions_on_a_context_are_held_out_together(checkpoint, tmp_path):
    out = tmp_path / "out"
    options = ("--epochs", 1, "--max-length", 40, "--task", "question_answering")
    assert run("finetune", checkpoint, "--train", QA, "-o", out, *options) == 0
    assert json.loads((out / "report.json").read_text())["examples"] == {"train": 15, "dev": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "token_classification", "--regression"), "--regression is no option of the task token_class"),
        (("--tag-column", "1"), "--tag-column is no option of the task sequence_classification, but of token_class"),
        (("--tag-column", "0"), "--tag-column is no option of the task sequence_classification, but of token_class"),
        (("--task", "token_classification", "--strict"), "'I-A' goes on from nothing"),
        (("--task", "question_answering"), "not a SQuAD file"),
    ],
)
def test_what_is_refused(checkpoint, tmp_path, capsys, arguments, message):
    (tmp_path / "file").write_text("a B-A\nb O\nc I-A\n")
    assert run("finetune", checkpoint, "--train", tmp_path / "file", "-o", tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tags_that_training_never_had(checkpoint, tmp_path, capsys):
    (tmp_path / "dev.conll").write_text("a O\nb B-DISEASE\n")
    options = ("--task", "token_classification", "--train", NER, "--dev", tmp_path / "dev.conll")
    assert run("finetune", checkpoint, *options, "-o", tmp_path / "out") == 2
    assert "dev.conll, line 2: unknown tag 'B-DISEASE'; the model's labels are O, B-LOC" in capsys.readouterr().err


def test_faults_that_can_be_lived_with_are_shown(tagger, tmp_path, capsys):
    (tmp_path / "t.conll").write_text("John B-PER\nlives O\nin O\nNew I-LOC\n")
    assert run("evaluate", tagger, "--data", tmp_path / "t.conll", "--json") == 0
    assert "t.conll: 1 fault\n" in (error := capsys.readouterr().err)
    assert "line 4: 'I-LOC' goes on from nothing; read as 'B-LOC'" in error


def test_files_of_the_edge(tmp_path, capsys):
    """The fixtures' networks know `john`, `new york` and `paris` by heart."""
    pytest.importorskip("keras_bert_edge")
    fixtures = DATA.parent / "edge" / "fixtures"
    (tmp_path / "t.conll").write_text(
        "John\tB-PER\nlives\tO\nin\tO\nNew\tB-LOC\nYork\tI-LOC\n\nit\tO\n(\tO\nParis\tO\n"
    )
    assert run("evaluate", fixtures / "entities.tflite", "--data", tmp_path / "t.conll", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores == pytest.approx({"f1": 0.8, "precision": 2 / 3, "recall": 1.0, "accuracy": 7 / 8})
    question = {"id": "1", "question": "capital of france?", "answers": [{"text": "Paris", "answer_start": 7}]}
    paragraph = {"context": "It was Paris.", "qas": [question]}
    (tmp_path / "t.json").write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    assert run("evaluate", fixtures / "answers.tflite", "--data", tmp_path / "t.json", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"f1": 100.0, "exact_match": 100.0}


def test_pairs_where_they_do_not_belong(tagger, answerer, capsys):
    assert run("predict", tagger, "a", "--pair", "b") == 2
    assert "takes one text, not a pair" in capsys.readouterr().err
    assert run("predict", answerer, "who?") == 2
    assert "takes a question and its context" in capsys.readouterr().err
