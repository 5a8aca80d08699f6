"""`keras-bert distill` and `keras-bert prune` as a user runs them."""

import json
import pathlib

import keras
import numpy as np
import pytest
from command import FAST, run
from harness import TINY, randomize, values
from keras_bert_tools.compression.soft_labels import ids_in

import keras_bert as kb
from keras_bert.data import predict_logits, read_labelled_texts
from keras_bert.layers import QuantizationSpec
from keras_bert.models.quantization import dense_layers
from keras_bert.models.structure import prune_structure

TOKENIZERS = pathlib.Path(__file__).parents[1] / "tokenizers" / "data"


def accuracy(path, table):
    model = kb.SequenceClassifier.from_pretrained(path)
    data = read_labelled_texts(table)
    labels = [model.labels[i] for i in predict_logits(model, data.texts).argmax(-1)]
    return np.mean([a == b for a, b in zip(labels, data.labels, strict=True)])


def test_distill_half_the_layers(classifier, sentiment, tmp_path):
    out, logits = tmp_path / "student", tmp_path / "logits.npz"
    data = ("--train", sentiment, "--dev", sentiment, "--test", sentiment)
    command = ("distill", classifier, "--layers", 2, *data, "-o", out, *FAST, "--teacher-logits", logits)
    assert run(*command, "--hidden", 0.1, "--attention", 0.1) == 0
    assert logits.exists()
    report = json.loads((out / "report.json").read_text())
    assert report["student"] == {"layers": [0, 2]}
    assert report["parameters"]["after"] < report["parameters"]["before"]
    assert report["scores"]["after"]["accuracy"] == pytest.approx(accuracy(out, sentiment))
    assert report["scores"]["after"]["accuracy"] > 0.9
    assert kb.SequenceClassifier.from_pretrained(out).config.num_layers == 2


def test_distill_to_a_checkpoint_of_another_family_and_width(classifier, sentiment, tmp_path):
    teacher = kb.SequenceClassifier.from_pretrained(classifier)
    keras.utils.set_random_seed(3)
    config = teacher.config.replace(
        family="distilbert", num_segments=0, pooler=False, hidden_size=8, embedding_size=0, num_layers=1, num_heads=2
    )
    kb.Encoder(config).save_pretrained(tmp_path / "small", tokenizer=teacher.tokenizer)
    command = ("distill", classifier, "--student", tmp_path / "small", "--train", sentiment, "-o", tmp_path / "out")
    assert run(*command, *FAST, "--relations", 1, "--hidden", 0.1) == 0
    student = kb.SequenceClassifier.from_pretrained(tmp_path / "out")
    assert (student.config.family, student.config.hidden_size, student.labels) == ("distilbert", 8, ("neg", "pos"))


def test_distill_to_a_checkpoint_with_a_head_of_its_own(classifier, sentiment, tmp_path, capsys):
    teacher = kb.SequenceClassifier.from_pretrained(classifier)
    small = kb.Encoder(teacher.config.replace(num_layers=1))
    kb.SequenceClassifier(small, 3, tokenizer=teacher.tokenizer).save_pretrained(tmp_path / "small")
    command = ("distill", classifier, "--student", tmp_path / "small", "--train", sentiment, "-o", tmp_path / "out")
    assert run(*command, *FAST) == 2
    assert "on the command line --new-head" in capsys.readouterr().err
    assert run(*command, "--new-head", "--epochs", 1, "--batch-size", 16) == 0
    assert kb.SequenceClassifier.from_pretrained(tmp_path / "out").labels == ("neg", "pos")


def test_copies(classifier, sentiment, tmp_path):
    """The teacher labels those of all three epochs."""
    logits = tmp_path / "logits.npz"
    command = ("distill", classifier, "--layers", 2, "--train", sentiment, "--dev", sentiment, "--copies", 2)
    assert run(*command, *FAST, "--teacher-logits", logits, "-o", tmp_path / "out") == 0
    with np.load(logits) as stored:
        values = stored["values"]
    assert values.shape == ((1 + 2 * 3) * 60, 2)
    texts = read_labelled_texts(sentiment).texts
    teacher = kb.SequenceClassifier.from_pretrained(classifier)
    np.testing.assert_allclose(values[:60], predict_logits(teacher, texts), atol=1e-5)
    assert (values[:60] != values[60:120]).any()
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["options"]["copies"] == 2
    assert report["scores"]["after"]["accuracy"] > 0.9


def test_texts_without_labels(classifier, sentiment, tmp_path):
    """Four labels, and sixty texts that the teacher alone knows to tell apart; the labels weigh the more."""
    lines = sentiment.read_text().splitlines()
    texts = read_labelled_texts(sentiment).texts
    (tmp_path / "few.tsv").write_text("\n".join(lines[:5]) + "\n")
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    logits = tmp_path / "logits.npz"
    command = ("distill", classifier, "--layers", 2, "--train", tmp_path / "few.tsv", "--dev", sentiment, "--hard", 3)
    command += ("--unlabelled", tmp_path / "texts.txt", "--teacher-logits", logits, "--copies", 1)
    assert run(*command, *FAST, "-o", tmp_path / "out") == 0
    with np.load(logits) as stored:
        values = stored["values"]
    assert values.shape == ((4 + 60) * (1 + 3), 2)
    expected = predict_logits(kb.SequenceClassifier.from_pretrained(classifier), texts)
    np.testing.assert_allclose(values[4:64], expected, atol=1e-5)
    assert accuracy(tmp_path / "out", sentiment) > 0.9


@pytest.mark.parametrize("job", ["distill", "prune"])
def test_a_pruned_model_learns_from_the_one_it_began_with(job, classifier, sentiment, tmp_path):
    """Which reads its own tokens, not those that words fell into when the vocabulary was cut."""
    data, trimmed, logits = ("--train", sentiment, "--dev", sentiment), tmp_path / "trimmed", tmp_path / "logits.npz"
    assert run("prune", classifier, "--vocabulary", 48, *data, "--epochs", 0, "-o", trimmed) == 0
    assert json.loads((trimmed / "report.json").read_text())["vocabulary"]["length_ratio"] > 1
    start = {"distill": (classifier, "--student", trimmed), "prune": (trimmed, "--teacher", classifier)}[job]
    command = (job, *start, "--layers", 2, *data, "--epochs", 1, "--teacher-logits", logits, "-o", tmp_path / "out")
    assert run(*command) == 0
    texts = read_labelled_texts(sentiment).texts
    expected = predict_logits(kb.SequenceClassifier.from_pretrained(classifier), texts)
    with np.load(logits) as stored:
        np.testing.assert_allclose(stored["values"], expected, atol=1e-5)
    config = kb.SequenceClassifier.from_pretrained(tmp_path / "out").config
    assert (config.num_layers, config.vocab_size) == (2, 48)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    if job == "distill":
        assert report["student"] == {"checkpoint": str(trimmed), "layers": [0, 2]}


def test_tokens_of_a_student_in_another_order(classifier, tmp_path):
    """The teacher knows each by its name."""
    teacher = kb.SequenceClassifier.from_pretrained(classifier)
    tokens = sorted(teacher.tokenizer.vocab, key=teacher.tokenizer.vocab.get)
    tokens[5:7] = tokens[6:4:-1]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n")
    swapped = kb.Tokenizer.from_pretrained(tmp_path)
    ids = ids_in(teacher.tokenizer, swapped)
    assert [tokens[i] for i in range(len(tokens))] == [teacher.tokenizer.id_to_token(int(i)) for i in ids]
    assert ids_in(teacher.tokenizer, teacher.tokenizer) is None


def test_other_tasks(other_task, tmp_path):
    model, data = other_task
    common = ("--train", data, "--dev", data, "--epochs", 1, "--max-length", 40, "--batch-size", 8)
    more, answers = tmp_path / "more.txt", data.suffix == ".json"
    more.write_text("who was it ?\tshe was alice\nwhere ?\tin paris\n" if answers else "alice was here\nin paris\n")
    command = ("distill", model, "--layers", "0,2", *common, "--copies", 2, "--unlabelled", more)
    assert run(*command, "-o", tmp_path / "student") == 0
    command = ("prune", model, "--heads", 2, "--feedforward", 16, "--vocabulary", "corpus", *common)
    assert run(*command, "-o", tmp_path / "pruned") == 0
    report = json.loads((tmp_path / "pruned" / "report.json").read_text())
    assert set(report["scores"]) == {"before", "after"}
    assert report["trained"]["copies"] == (1 if report["task"] == "token_classification" else 0)
    config = json.loads((tmp_path / "pruned" / "config.json").read_text())
    assert (config["num_attention_heads"], config["head_size"], config["intermediate_size"]) == (2, 4, 16)
    assert "`transformers` cannot express this" in (tmp_path / "pruned" / "README.md").read_text()
    assert "`transformers` opens it" in (tmp_path / "student" / "README.md").read_text()
    assert config["vocab_size"] == report["vocabulary"]["tokens"] < report["vocabulary"]["tokens_before"]


@pytest.mark.parametrize(
    ("family", "kind"), [("distilbert", "wordpiece-cased"), ("roberta", "bpe"), ("albert", "unigram")]
)
def test_other_families(family, kind, sentiment, tmp_path):
    """Half the layers, then fewer heads, units and tokens; the file answers as the checkpoint it was made from."""
    tokenizer = kb.Tokenizer.from_pretrained(TOKENIZERS / kind)
    sizes = {"num_layers": 2, "vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.pad_id}
    teacher = kb.SequenceClassifier(kb.Encoder(TINY[family].replace(**sizes)), ["neg", "pos"], tokenizer=tokenizer)
    randomize(teacher)
    teacher.save_pretrained(tmp_path / "model")
    common = ("--train", sentiment, "--dev", sentiment, "--epochs", 1, "--max-length", 24)
    student, pruned, file = tmp_path / "student", tmp_path / "pruned", tmp_path / "model.tflite"
    assert run("distill", tmp_path / "model", "--layers", 1, *common, "-o", student) == 0
    command = ("prune", student, "--heads", 1, "--feedforward", 8, "--vocabulary", "corpus")
    assert run(*command, *common, "-o", pruned) == 0
    model = kb.SequenceClassifier.from_pretrained(pruned)
    assert (model.config.family, model.config.num_layers, model.config.num_heads) == (family, 1, 1)
    assert model.config.vocab_size == model.tokenizer.vocab_size < tokenizer.vocab_size
    assert run("export", pruned, "-o", file, "--recipe", "float32") == 0
    texts = read_labelled_texts(sentiment).texts[:4]
    runner = pytest.importorskip("keras_bert_edge").load(str(file))
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(predict_logits(model, texts)))
    found = [[runner(text).scores[label] for label in model.labels] for text in texts]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_prune_everything_and_export(classifier, sentiment, tmp_path):
    out = tmp_path / "out"
    command = ("prune", classifier, "--layers", 2, "--heads", 2, "--feedforward", 16, "--vocabulary", "corpus")
    sparse = ("--sparsity", 0.5, "--pattern", "2:4")
    pytest.importorskip("tensorflow_model_optimization")
    data = ("--train", sentiment, "--dev", sentiment, "--test", sentiment)
    assert run(*command, *sparse, *data, "-o", out, *FAST, "--epochs", 8) == 0
    report = json.loads((out / "report.json").read_text())
    assert report["sparsity"] == pytest.approx(0.5, abs=1e-3)
    assert report["scores"]["after"]["accuracy"] == pytest.approx(accuracy(out, sentiment))
    assert report["scores"]["after"]["accuracy"] > 0.9
    assert run("export", out, "-o", tmp_path / "model.tflite") == 0
    runner = pytest.importorskip("keras_bert_edge").load(str(tmp_path / "model.tflite"))
    data = read_labelled_texts(sentiment)
    right = np.mean([runner(text).label == label for text, label in zip(data.texts, data.labels, strict=True)])
    assert right > 0.9


def test_without_training_the_weights_stay(classifier, sentiment, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("mine")
    assert run("prune", classifier, "--layers", "0,2", "--epochs", 0, "-o", tmp_path / "out") == 0
    old, new = (kb.SequenceClassifier.from_pretrained(path) for path in (classifier, tmp_path / "out"))
    for a, b in ((0, 0), (2, 1)):
        np.testing.assert_array_equal(
            values(old.encoder.blocks[a].feedforward_in.kernel), values(new.encoder.blocks[b].feedforward_in.kernel)
        )
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


def test_a_card_says_who_opens_the_model(classifier, tmp_path):
    """After a training of the pruned model too; and one of another job takes the place of the first."""
    model = kb.SequenceClassifier.from_pretrained(classifier)
    model.save_pretrained(tmp_path)
    assert "`transformers` opens it" in (tmp_path / "README.md").read_text()
    assert run("prune", classifier, "--layers", 2, "--epochs", 0, "-o", tmp_path) == 0
    assert "made by `keras-bert prune`" in (tmp_path / "README.md").read_text()
    prune_structure(model, heads=[np.array([0, 1])] * 3).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "so that the attention is 8 wide and the encoder 16" in card
    assert "`transformers` cannot express this" in card
    assert "opens it" not in card
    next(iter(dense_layers(model).values())).enable_fake_quantization(QuantizationSpec())
    model.save_pretrained(tmp_path)
    assert "quantization.safetensors holds the ranges" in (tmp_path / "README.md").read_text()


def test_units_stay_where_they_matter(classifier, sentiment, tmp_path):
    """The most important ones of all layers together, as the report and the card say; the file answers as they do."""
    out, again, file = tmp_path / "out", tmp_path / "again", tmp_path / "out.tflite"
    model = kb.SequenceClassifier.from_pretrained(classifier)
    weak = model.encoder.blocks[1].feedforward_out  # whose units say next to nothing
    weak.kernel.assign(values(weak.kernel) * 1e-3)
    model.save_pretrained(tmp_path / "model")
    common = ("--train", sentiment, "--dev", sentiment, *FAST)
    command = ("--feedforward", 12, "--allocation", "global")
    assert run("prune", tmp_path / "model", *command, *common, "-o", out) == 0
    config = json.loads((out / "config.json").read_text())
    sizes = config["intermediate_sizes"]
    assert (sum(sizes), sizes[1], max(sizes)) == (36, 1, config["intermediate_size"])
    report = json.loads((out / "report.json").read_text())
    assert [len(units) for units in report["structure"]["units"]] == sizes
    assert report["scores"]["after"]["accuracy"] > 0.9
    card = (out / "README.md").read_text()
    assert "not equally many in each layer" in card
    assert "`transformers` cannot express this" in card
    assert run("prune", out, "--layers", "0,2", "--feedforward", 4, *common, "-o", again) == 0
    assert json.loads((again / "config.json").read_text()).get("intermediate_sizes") is None
    assert run("quantize", out, "--recipe", "dynamic_int8", "-o", file) == 0
    texts = read_labelled_texts(sentiment).texts[:8]
    expected = predict_logits(kb.SequenceClassifier.from_pretrained(out), texts)
    answers = pytest.importorskip("keras_bert_edge").load(str(file))(texts)
    assert [answer.label for answer in answers] == [("neg", "pos")[row.argmax()] for row in expected]


def test_movement(classifier, sentiment, tmp_path):
    command = ("prune", classifier, "--sparsity", 0.4, "--method", "movement", "--train", sentiment, *FAST)
    assert run(*command, "-o", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sparsity"] == pytest.approx(0.4, abs=2e-3)


def test_corpus_of_another_language(classifier, tmp_path, capsys):
    (tmp_path / "corpus.txt").write_text("ქართული ენა\nthe film\n", encoding="utf-8")
    command = ("prune", classifier, "--vocabulary", "corpus", "--corpus", tmp_path / "corpus.txt", "--epochs", 0)
    assert run(*command, "-o", tmp_path / "out") == 0
    assert "50.0% of the corpus's tokens are unknown" in capsys.readouterr().err
