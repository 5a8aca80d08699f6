"""`keras-bert distill` and `keras-bert prune` as a user runs them, and what they refuse."""

import json
import pathlib
import re
import shutil

import keras
import numpy as np
import pytest
from command import run
from harness import TINY, randomize, values
from keras_bert_tools.compression.soft_labels import ids_in

import keras_bert as kb
from keras_bert.data import predict_logits, read_labelled_texts
from keras_bert.layers import QuantizationSpec
from keras_bert.models.quantization import dense_layers
from keras_bert.models.structure import prune_structure

TOKENIZERS = pathlib.Path(__file__).parents[1] / "tokenizers" / "data"
FAST = ("--epochs", 3, "--learning-rate", 5e-3, "--batch-size", 8)


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


@pytest.mark.parametrize(
    ("other", "message"),
    [("LABELS", r"the labels of .* are \['pos', 'neg'\]: expected those of the model, \['neg', 'pos'\]"),
     ("TASK", "was trained for token_classification: expected sequence_classification")],
)  # fmt: skip
def test_teachers_that_teach_something_else(other, message, classifier, sentiment, tmp_path, capsys):
    model = kb.SequenceClassifier.from_pretrained(classifier)
    encoder, tokenizer = kb.Encoder(model.config), model.tokenizer
    made = {
        "LABELS": lambda: kb.SequenceClassifier(encoder, ["pos", "neg"], tokenizer=tokenizer),
        "TASK": lambda: kb.TokenClassifier(encoder, ["O", "B-X"], tokenizer=tokenizer),
    }
    made[other]().save_pretrained(tmp_path / "other")
    command = ("prune", classifier, "--layers", 2, "--teacher", tmp_path / "other", "--train", sentiment)
    assert run(*command, "-o", tmp_path / "out") == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_other_tasks(other_task, tmp_path):
    model, data = other_task
    common = ("--train", data, "--dev", data, "--epochs", 1, "--max-length", 40, "--batch-size", 8)
    assert run("distill", model, "--layers", "0,2", *common, "--copies", 2, "-o", tmp_path / "student") == 0
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


def test_movement(classifier, sentiment, tmp_path):
    command = ("prune", classifier, "--sparsity", 0.4, "--method", "movement", "--train", sentiment, *FAST)
    assert run(*command, "-o", tmp_path / "out") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["sparsity"] == pytest.approx(0.4, abs=2e-3)


def test_corpus_of_another_language(classifier, tmp_path, capsys):
    (tmp_path / "corpus.txt").write_text("ქართული ენა\nthe film\n", encoding="utf-8")
    command = ("prune", classifier, "--vocabulary", "corpus", "--corpus", tmp_path / "corpus.txt", "--epochs", 0)
    assert run(*command, "-o", tmp_path / "out") == 0
    assert "50.0% of the corpus's tokens are unknown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("prune", "--epochs", 0), "nothing to prune"),
        (("prune", "--heads", 0), "pruned to nothing"),
        (("prune", "--heads", 2), "needs --train"),
        (("prune", "--heads", 9, "TRAIN"), "1 to 4"),
        (("prune", "--layers", 5, "--epochs", 0), "1 to 3"),
        (("prune", "--layers", 2), "pass --epochs 0"),
        (("prune", "--sparsity", 1.0, "TRAIN"), "less than 1"),
        (("prune", "--sparsity", -0.1, "TRAIN"), "0 or more"),
        (("prune", "--sparsity", 0.6, "--pattern", "2:4", "TRAIN"), "2:4 is 0.5"),
        (("prune", "--vocabulary", 8, "TRAIN"), "too small"),
        (("prune", "--vocabulary", 8, "--epochs", 0), "needs texts"),
        (("prune", "--layers", 2, "--pattern", "2:4", "TRAIN"), "--pattern and --method go with --sparsity"),
        (("prune", "--layers", 2, "--method", "movement", "TRAIN"), "--pattern and --method go with --sparsity"),
        (("prune", "--layers", 2, "--corpus", "a.txt", "TRAIN"), "--corpus goes with --vocabulary"),
        (("distill", "--layers", 9, "TRAIN"), "1 to 3"),
        (("distill", "--layers", 2, "--soft", 0, "--hard", 0, "TRAIN"), "weights of the losses"),
        (("distill", "--layers", 2, "--soft", 0, "--copies", 2, "TRAIN"), "--copies are for the teacher to label"),
        (("distill", "--layers", 2, "--hidden", -1, "TRAIN"), "--hidden: expected a weight of 0 or more, got -1.0"),
        (("prune", "--layers", 2, "--soft", -1, "TRAIN"), "--soft: expected a weight of 0 or more, got -1.0"),
        (("distill", "--student", "LARGE", "TRAIN"), "more than the teacher's"),
        (
            ("distill", "--student", "OTHER", "TRAIN"),
            "differ: the student's 78 tokens hold 'zebra', the teacher's 77 do not;",
        ),
        (("distill", "TRAIN"), "no student: expected --layers, --student or both"),
        (("distill", "--layers", 2, "--new-head", "TRAIN"), "--new-head is of --student"),
    ],
)
def test_refused(options, message, classifier, sentiment, tmp_path, capsys):
    students = {"LARGE", "OTHER"}
    if students & set(options):
        teacher = kb.SequenceClassifier.from_pretrained(classifier)
        tokenizer, config = teacher.tokenizer, teacher.config.replace(intermediate_size=64)
        if "OTHER" in options:
            tokenizer.add_tokens(["zebra"])
            config = config.replace(intermediate_size=8, vocab_size=tokenizer.vocab_size)
        kb.Encoder(config).save_pretrained(tmp_path / "student", tokenizer=tokenizer)
    job, *rest = options
    places = {"TRAIN": ("--train", sentiment), **dict.fromkeys(students, (tmp_path / "student",))}
    arguments = [argument for value in rest for argument in places.get(value, (value,))]
    assert run(job, classifier, *arguments, "-o", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("prune", "MODEL", "--layers", 2, "-o", "MODEL"),
        ("distill", "MODEL", "--layers", 2, "-o", "MODEL/../model"),
        ("distill", "MODEL", "--student", "STUDENT", "-o", "STUDENT"),
        ("quantize", "MODEL", "--recipe", "static_int8", "--qat", "-o", "MODEL.tflite"),
        ("quantize", "MODEL", "--recipe", "int4", "--qat", "-o", "STUDENT.tflite", "--checkpoint", "MODEL"),
        ("compress", "MODEL", "--target", "size<1KB", "-o", "MODEL"),
    ],
)
def test_no_model_is_written_over_its_source(command, classifier, encoder, sentiment, tmp_path, capsys):
    for name, source in (("model", classifier), ("student", encoder)):
        shutil.copytree(source, tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    places = {"MODEL": str(tmp_path / "model"), "STUDENT": str(tmp_path / "student")}
    named = [re.sub("MODEL|STUDENT", lambda found: places[found[0]], str(part)) for part in command]
    assert run(*named, "--train", sentiment, *FAST) == 2
    assert "is the model itself" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_training_for_a_file_writes_over_no_other_model(classifier, encoder, sentiment, tmp_path, capsys):
    """The folder of its name beside the file may be somebody's: a teacher's, say."""
    shutil.copytree(encoder, tmp_path / "out")
    before = (tmp_path / "out" / "config.json").read_bytes()
    command = ("quantize", classifier, "--recipe", "int4", "--qat", "--train", sentiment, "-o", tmp_path / "out.tflite")
    assert run(*command, *FAST) == 2
    assert "name a folder with --checkpoint" in capsys.readouterr().err
    assert (tmp_path / "out" / "config.json").read_bytes() == before


@pytest.mark.parametrize("job", ["distill", "prune"])
@pytest.mark.parametrize(("option", "value"), [("--average", -0.1), ("--average", 1), ("--warmup", 1.5)])
def test_shares_of_the_steps(job, option, value, tmp_path, capsys):
    command = (job, "model", "--layers", 2, "--train", "train.tsv", "-o", tmp_path / "out", option, value)
    with pytest.raises(SystemExit):
        run(*command)
    assert f"argument {option}: expected a number from 0 to 1, got {value}" in capsys.readouterr().err
