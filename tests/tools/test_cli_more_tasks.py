"""Several labels a text and sentence vectors from the command line."""

import json
import pathlib

import numpy as np
import pytest
from command import run

import keras_bert as kb
from keras_bert import metrics

TRAINING = ("--learning-rate", 5e-3, "--batch-size", 8)
WORDS = ("good", "bad", "dull", "fine", "great", "poor", "sad", "fun")


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """Whether `good` stands in a text decides one label, `film` the other."""
    rows = []
    for i in range(48):
        good, film = i % 2, i // 2 % 2
        labels = ",".join([*["praise"] * good, *["cinema"] * film])
        rows.append(f"the {'good ' * good}{'film ' * film}{'was ' * (i % 3)}it\t{labels}")
    path = tmp_path_factory.mktemp("multi") / "train.tsv"
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_several_labels(checkpoint, colours, tmp_path, capsys):
    out = tmp_path / "out"
    options = ("--multi-label", "--epochs", 16, "--learning-rate", 5e-3, "--batch-size", 8, "--dropout", 0, "-o", out)
    assert run("finetune", checkpoint, "--train", colours, "--dev", colours, "--test", colours, *options) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["labels"] == ["cinema", "praise"]
    assert report["scores"]["test"]["micro_f1"] > 0.9
    assert report["test_details"]["per_class"]["praise"]["support"] == 24
    capsys.readouterr()
    # The model says how the labels are read.
    assert run("evaluate", out, "--data", colours, "--json") == 0
    assert json.loads(capsys.readouterr().out) == report["scores"]["test"]
    assert run("predict", out, "the good film it", "the it", "--json") == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["labels"] for record in records] == [["cinema", "praise"], []]
    assert run("predict", out, "the it") == 0
    assert capsys.readouterr().out == "(none)\tthe it\n"


@pytest.fixture(scope="module")
def sentences(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    pairs = [(f"the {w} film", f"it was very {w} !") for w in WORDS]
    (folder / "pairs.tsv").write_text("a\tb\n" + "".join(f"{a}\t{b}\n" for a, b in pairs))
    scored = [(a, d, float(i == j)) for i, (a, _) in enumerate(pairs) for j, (_, d) in enumerate(pairs)]
    (folder / "scored.tsv").write_text("a\tb\tlabel\n" + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in scored))
    return folder


def test_contrastive(checkpoint, sentences, tmp_path, capsys):
    out, pairs = tmp_path / "out", sentences / "pairs.tsv"
    task = ("--task", "sentence_embedding", "--train", pairs, "--dev", pairs)
    assert run("finetune", checkpoint, *task, "--epochs", 12, *TRAINING, "-o", out) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["scores"]["dev"]["accuracy"] == 1.0
    assert report["history"]["loss"][-1] < report["history"]["loss"][0]
    capsys.readouterr()
    assert run("evaluate", out, "--data", sentences / "scored.tsv", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    model = kb.SentenceEncoder.from_pretrained(out)
    data = kb.data.read_sentence_pairs(sentences / "scored.tsv")
    first, second = (kb.data.predict_logits(model, side) for side in (data.texts, data.pairs))
    assert scores["spearman"] == pytest.approx(
        metrics.spearman(np.array(data.scores), (first * second).sum(-1)), abs=1e-4
    )
    assert run("predict", out, "the good film", "--pair", "it was very good !", "--json") == 0
    like = json.loads(capsys.readouterr().out)["cosine"]
    assert run("predict", out, "the good film", "--pair", "it was very bad !", "--json") == 0
    assert like > json.loads(capsys.readouterr().out)["cosine"]
    assert run("predict", out, "the good film", "--json") == 0
    assert np.linalg.norm(json.loads(capsys.readouterr().out)["vector"]) == pytest.approx(1, abs=1e-5)


def test_cosine(checkpoint, sentences, tmp_path):
    out, data = tmp_path / "out", sentences / "scored.tsv"
    task = ("--task", "sentence_embedding", "--train", data, "--dev", data)
    assert run("finetune", checkpoint, *task, "--epochs", 6, *TRAINING, "-o", out) == 0
    report = json.loads((out / "report.json").read_text())
    # The loss is the squared error: it ends below that of always saying the mean score.
    assert report["history"]["dev_mse"][-1] < np.var(kb.data.read_sentence_pairs(data).scores)
    assert set(report["scores"]["dev"]) == {"spearman", "pearson", "mse"}


def test_in_a_few_lines_of_keras(checkpoint, sentences):
    model = kb.SentenceEncoder.from_pretrained(checkpoint)
    pairs = kb.data.sentence_pairs(sentences / "pairs.tsv", model.tokenizer, batch_size=8)
    model.compile(kb.adamw(1e-2, steps=10 * len(pairs)), loss=kb.training.MultipleNegativesRankingLoss())
    losses = model.fit(pairs, epochs=10, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_files_of_the_edge(tmp_path, capsys):
    """An exported file answers the same questions."""
    edge = pytest.importorskip("keras_bert_edge")
    fixtures = pathlib.Path(__file__).parents[1] / "edge" / "fixtures"
    runner = edge.load(str(fixtures / "multi_label.tflite"))
    texts = ["a good film", "a bad film", "the good the bad"]
    found = [runner(text).labels for text in texts]
    rows = "".join(f"{text}\t{','.join(labels)}\n" for text, labels in zip(texts, found, strict=True))
    (tmp_path / "t.tsv").write_text("text\tlabel\n" + rows)
    assert run("evaluate", fixtures / "multi_label.tflite", "--data", tmp_path / "t.tsv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["subset_accuracy"] == 1.0
    runner = edge.load(str(fixtures / "embedding.tflite"))
    pairs = [("a good film", "a bad film"), ("good", "the bad"), ("a film", "a film")]
    vectors = [[runner(text).vector for text in pair] for pair in pairs]
    cosines = [min(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), 1.0) for a, b in vectors]
    rows = "".join(f"{a}\t{b}\t{score}\n" for (a, b), score in zip(pairs, cosines, strict=True))
    (tmp_path / "p.tsv").write_text("a\tb\tlabel\n" + rows)
    assert run("evaluate", fixtures / "embedding.tflite", "--data", tmp_path / "p.tsv", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["pearson"] == pytest.approx(1, abs=1e-5)
    assert scores["mse"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "sentence_embedding", "--loss", "cosine"), "--loss cosine needs scores"),
        (("--task", "sentence_embedding", "--label-smoothing", "0.1"), "is for classes of texts or words"),
        (("--task", "sentence_embedding", "--multi-label"), "--multi-label is no option of the task sentence_emb"),
        (("--loss", "cosine"), "--loss is no option of the task sequence_classification"),
    ],
)
def test_what_is_refused(checkpoint, sentences, tmp_path, capsys, arguments, message):
    options = ("--train", sentences / "pairs.tsv", "-o", tmp_path / "out", *arguments)
    assert run("finetune", checkpoint, *options) == 2
    assert message in capsys.readouterr().err
