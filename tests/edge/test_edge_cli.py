"""The command as a user runs it, in processes of its own."""

import json
import os
import pathlib
import subprocess
import sys

import keras_bert_edge
import pytest
from tflite_file import FIXTURES


def command(*arguments, text=None, **options):
    """Runs keras-bert-edge; (exit status, standard output, standard error)."""
    search = os.path.dirname(os.path.dirname(keras_bert_edge.__file__))
    done = subprocess.run(
        [sys.executable, "-m", "keras_bert_edge", *map(str, arguments)],
        input=text,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search, "PYTHONWARNINGS": "error::ResourceWarning"},
        timeout=120,
        **options,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


PAIR = FIXTURES / "pair.tflite"


def test_a_text_on_the_command_line(open_model):
    result = open_model("pair")("a cat")
    assert command("run", PAIR, "a cat") == (0, f"{result.label}\t{result.score:.4f}\n", "")


def test_json(open_model):
    status, out, _ = command("run", PAIR, "a cat", "--pair", "a dog", "--json", "--threads", 2)
    expected = open_model("pair")("a cat", "a dog")
    assert status == 0
    result = json.loads(out)
    assert result["scores"] == pytest.approx(expected.scores, abs=1e-6)
    assert (result["label"], result["truncated"]) == (expected.label, False)


def test_lines_of_standard_input(open_model):
    text = "a cat\na cat\ta dog\r\n\n\u00e9t\u00e9 \U0001f600\nno newline".encode() + b" \xff"
    status, out, _ = command("run", PAIR, "--json", text=text)
    assert status == 0
    model = open_model("pair")
    expected = [
        model("a cat"),
        model("a cat", "a dog"),
        model(""),
        model("\u00e9t\u00e9 \U0001f600"),
        model("no newline \ufffd"),
    ]
    assert [json.loads(line)["label"] for line in out.splitlines()] == [result.label for result in expected]


def test_questions_share_a_context_or_bring_their_own():
    qa = FIXTURES / "answers.tflite"
    assert command("run", qa, "--context", "it is Paris", text=b"where?\nwhat?\n")[1].split()[::2] == ["Paris", "Paris"]
    assert command("run", qa, text=b"where?\tin Berlin\n")[1].startswith("Berlin\t")
    assert command("run", qa, "where?", "--context", "a film", "--null-threshold", "-9")[1].startswith("(no answer)\t")
    assert len(json.loads(command("run", qa, "a", "--context", "b c", "--n-best", 2, "--json")[1])["n_best"]) == 2


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("entities", "John lives in New York", "[PER John] [LOC New York]\n"),
        ("multi_label", "a good film", "neutral 0."),
        ("regression", "a cat", ""),
        ("masked", "a [MASK]", "##b 0."),
        ("embedding", "a dog", "0.354753 -0.0219941 "),
    ],
)
def test_each_task_has_a_line(name, text, expected):
    status, out, err = command("run", FIXTURES / f"{name}.tflite", text)
    assert (status, err) == (0, "")
    assert out.startswith(expected)
    assert out.count("\n") == 1


@pytest.mark.parametrize("name", ["entities", "answers", "embedding", "masked", "regression"])
def test_each_task_has_json(name):
    pair = ["--context", "in Paris"] if name == "answers" else []
    status, out, _ = command("run", FIXTURES / f"{name}.tflite", "John [MASK]", *pair, "--json")
    assert status == 0
    json.loads(out, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing.tflite", "a"], "nothing.tflite does not exist"),
        (["run", PAIR, "a", "--threads", "0"], "threads must be an integer from 1"),
        (["run", PAIR, "a", "--top-k", "3"], "has no option 'top_k'"),
        (["run", FIXTURES / "answers.tflite", "a"], "takes a pair"),
        (["run", FIXTURES / "flex.tflite", "a"], "not TFLite's own"),
        (["run", __file__, "a"], "is not a TFLite model"),
        (["info", __file__], "is not a TFLite model"),
        (["bench", PAIR, "--length", "9999"], "length must be from 8 to 24"),
        (["bench", PAIR, "--runs", "0"], "runs must be at least 1"),
    ],
)
def test_errors_are_one_line_and_status_2(arguments, message):
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_bad_line_is_named_after_the_good_ones():
    status, out, err = command("run", FIXTURES / "answers.tflite", text=b"where?\tin Paris\nwhere?\n")
    assert (status, out.count("\n")) == (2, 1)
    assert "line 2: question_answering takes a pair" in err


def test_a_reader_that_leaves_is_no_error(tmp_path):
    lines = tmp_path / "lines.txt"
    lines.write_text("a cat\n" * 20_000)
    search = os.path.dirname(os.path.dirname(keras_bert_edge.__file__))
    with lines.open() as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "keras_bert_edge", "run", str(PAIR)],
            stdin=stream,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search},
        )
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == b""
        process.stderr.close()


def test_info():
    status, out, _ = command("info", PAIR)
    assert status == 0
    for fact in (
        "sequence_classification",
        "negative, neutral, positive",
        "24 tokens",
        "any length",
        "digest verified",
    ):
        assert fact in out
    facts = json.loads(command("info", FIXTURES / "lengths.tflite", "--json")[1])
    assert facts["signatures"] == {"length_8": 8, "length_16": 16}
    assert facts["file_size"] == (FIXTURES / "lengths.tflite").stat().st_size


def test_bench():
    status, out, err = command("bench", PAIR, "--length", 8, 16, "--runs", 20, "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert [row["tokens"] for row in report["latency"]] == [8, 16]
    for row in report["latency"]:
        assert 0 < row["p50"] <= row["p90"] <= row["p99"]
    assert report["cold_start"]["runtime_seconds"] > 0
    assert report["cold_start"]["seconds"] > 0


@pytest.mark.parametrize("name", ["answers", "masked", "lengths", "entities"])
def test_bench_prints_a_table_for_every_task(name):
    from keras_bert_edge import bench

    report = bench.measure(FIXTURES / f"{name}.tflite", [8], runs=3, cold_starts=1)
    assert "p99 ms" in bench.table(report)


def test_help_and_version():
    assert "examples:" in command("--help")[1]
    assert command("--version")[1] == f"keras-bert-edge {keras_bert_edge.__version__}\n"
    assert command()[0] == 2


def test_tensorflow_is_never_imported():
    code = (
        "import sys, keras_bert_edge; keras_bert_edge.load(sys.argv[1])('a');"
        "print({'tensorflow', 'keras', 'torch', 'transformers'} & {name.split('.')[0] for name in sys.modules})"
    )
    search = str(pathlib.Path(keras_bert_edge.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(PAIR)],
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert done.stdout == b"set()\n"


def test_without_a_runtime_the_message_says_what_to_install():
    code = (
        "import sys; sys.modules['ai_edge_litert'] = sys.modules['tflite_runtime'] = None\n"
        "from keras_bert_edge.cli import main; sys.exit(main(['run', sys.argv[1], 'a']))"
    )
    search = str(pathlib.Path(keras_bert_edge.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code, str(PAIR)],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert done.returncode == 2
    assert b"error: no TFLite runtime: `pip install ai-edge-litert`" in done.stderr
