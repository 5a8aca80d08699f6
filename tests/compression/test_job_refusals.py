"""What `distill`, `prune`, `quantize --qat` and `compress` refuse, in one line and with nothing written."""

import re
import shutil

import pytest
from command import FAST, run

import keras_bert as kb


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("prune", "--epochs", 0), "nothing to prune"),
        (("prune", "--heads", 0), "pruned to nothing"),
        (("prune", "--heads", 2), "needs --train"),
        (("prune", "--heads", 9, "TRAIN"), "1 to 4"),
        (("prune", "--feedforward", 0, "TRAIN"), "pruned to nothing"),
        (("prune", "--feedforward", 99, "--allocation", "global", "TRAIN"), "1 to 32, the model's, got 99"),
        (("prune", "--heads", 2, "--allocation", "global", "TRAIN"), "expected --feedforward with it"),
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
        (("distill", "--layers", 2, "--soft", 0, "--copies", 2, "TRAIN"), "--copies: texts for the teacher to label"),
        (("distill", "--layers", 2, "--soft", 0, "--unlabelled", "TEXTS", "TRAIN"), "--unlabelled: texts for the"),
        (("distill", "--layers", 2, "--unlabelled", "PAIRS", "TRAIN"), "holds pairs of texts: expected single texts"),
        (("distill", "--layers", 2, "--unlabelled", "no.txt", "TRAIN"), "no.txt"),
        (("prune", "--layers", 2, "--epochs", 0, "--unlabelled", "TEXTS", "TRAIN"), "expected --epochs above 0"),
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
    (tmp_path / "texts.txt").write_text("one\ntwo\n")
    (tmp_path / "pairs.txt").write_text("one\ttwo\n")
    places = {"TRAIN": ("--train", sentiment), **dict.fromkeys(students, (tmp_path / "student",))}
    places |= {"TEXTS": (tmp_path / "texts.txt",), "PAIRS": (tmp_path / "pairs.txt",)}
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
