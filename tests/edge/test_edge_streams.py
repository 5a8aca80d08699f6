"""The command where its standard streams are closed, full or of another encoding: one line, no traceback."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess
import sys

import keras_bert_edge
import pytest
import tflite_file
from tflite_file import FIXTURES

pytestmark = pytest.mark.skipif(os.name != "posix" or shutil.which("sh") is None, reason="needs a POSIX shell")
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has /dev/full")
PAIR, EMBEDDING = FIXTURES / "pair.tflite", FIXTURES / "embedding.tflite"


def shell(arguments, redirections, **environment):
    """`keras-bert-edge ARGUMENTS REDIRECTIONS` in a shell; (exit status, standard output, standard error)."""
    words = [sys.executable, "-m", "keras_bert_edge", *map(str, arguments)]
    folder = str(pathlib.Path(keras_bert_edge.__file__).parents[1])
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(words)} {redirections}"],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": folder, **environment},
        timeout=120,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index, made with no standard input to read queries from."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "texts.txt").write_text("a cat\na dog\n")
    made = shell(["search", EMBEDDING, "--index", folder / "i.npz", "--texts", folder / "texts.txt"], "<&-")
    assert made == (0, "", f"{folder / 'i.npz'}: 2 texts\n")
    return folder / "i.npz"


def assert_one_line(result, message):
    status, out, err = result
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("error: ")
    assert message in err


def test_a_closed_standard_input_is_named_where_lines_are_to_come_from_it(index):
    assert_one_line(shell(["run", PAIR], "<&-"), "standard input is closed")
    assert_one_line(shell(["search", EMBEDDING, "--index", index], "<&-"), "standard input is closed")
    assert shell(["run", PAIR, "a cat"], "<&-")[::2] == (0, "")


def test_a_standard_input_that_cannot_be_read_is_named():
    assert_one_line(shell(["run", PAIR], "0>/dev/null"), "standard input or output: Bad file descriptor")


@needs_full
@pytest.mark.parametrize("arguments", [["run", PAIR, "a cat"], ["info", PAIR], ["info", PAIR, "--json"]])
def test_a_full_disk_behind_standard_output_is_named(arguments):
    assert_one_line(shell(arguments, "> /dev/full"), "standard input or output: No space left on device")


def test_a_closed_standard_output_is_named():
    assert_one_line(shell(["run", PAIR, "a cat"], ">&-"), "standard output is closed")


def test_a_closed_standard_error_stops_nothing(open_model):
    assert shell(["run", PAIR, "a cat"], "2>&-") == shell(["run", PAIR, "a cat"], "")
    assert shell(["run", PAIR, "a cat", "--top-k", 3], "2>&-") == (2, "", "")


def test_labels_are_shown_where_the_locale_has_no_letters_for_them(write_file):
    model, members = tflite_file.split(PAIR.read_bytes())
    labels = ["n\u00e9gatif", "neutre", "\u80af\u5b9a"]
    config = {**json.loads(members["config.json"]), "labels": labels}
    path = write_file(tflite_file.write(model, {**members, "config.json": json.dumps(config).encode()}))
    status, out, err = shell(["info", path], "", PYTHONIOENCODING="ascii")
    assert (status, err) == (0, "")
    assert f"3: {', '.join(labels)}\n" in out
