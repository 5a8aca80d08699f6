"""Texts that are too long are cut as the `tokenizers` package cuts them, without the memory that it takes for pairs."""

import pathlib
import random
import subprocess
import sys

import keras_bert_edge
import pytest
import tflite_file
from keras_bert_edge import EdgeError
from keras_bert_edge.tokenizer import TextTokenizer
from tflite_file import FIXTURES
from tokenizers import Tokenizer, processors

VECTORS = pathlib.Path(__file__).parents[1] / "vectors"
FILES = [FIXTURES / "pair.tflite", FIXTURES / "answers_bpe.tflite", FIXTURES / "entities_unigram.tflite"]
FILES += [VECTORS / f"{name}.tflite" for name in ("classification", "embeddings", "fills")]
PIECES = ["a", "John lives", "unbelievable", "[MASK]", "<mask>", "[SEP]", " x", "\u6771\u4eac", "\u00e9", "  "]


def tokenizer_json(path):
    return tflite_file.split(path.read_bytes())[1]["tokenizer.json"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
@pytest.mark.parametrize("max_length", [8, 9, 24])
def test_texts_and_pairs_are_cut_as_the_package_cuts_them(path, max_length):
    content = tokenizer_json(path)
    mine, theirs = TextTokenizer(content, max_length, True, path), Tokenizer.from_buffer(content)
    theirs.no_padding()
    theirs.enable_truncation(max_length)
    draw = random.Random(max_length)
    cut = 0
    for _ in range(200):
        text, pair = (" ".join(draw.choices(PIECES, k=draw.choice([0, 1, 3, 5, 8, 20]))) for _ in range(2))
        if draw.random() < 0.3:
            pair = None
        for special_tokens in (True, False):
            got = mine.encode(text, pair, special_tokens)
            expected = theirs.encode(text, pair, add_special_tokens=special_tokens)
            for column in ("ids", "type_ids", "tokens", "offsets", "word_ids", "sequence_ids"):
                assert getattr(got, column) == getattr(expected, column), (text, pair, column)
            assert mine.was_truncated(got) == bool(expected.overflowing)
            assert len(got) == len(expected)
            cut += mine.was_truncated(got)
    assert cut > 100


LIMITED = """
import resource, sys
import keras_bert_edge
model = keras_bert_edge.load(sys.argv[1])
model("a cat", "a dog")
used = next(1024 * int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize:"))
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
print(model("good bad film " * 1000, "a cat and a dog " * 600).truncated)
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="only Linux tells what a process uses here")
def test_a_pair_of_two_long_texts_needs_no_more_than_its_tokens_do():
    """3,000 tokens each; with every piece of the one joined with every piece of the other it would be 2 GB."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(FIXTURES / "pair.tflite")],
        capture_output=True,
        check=False,
        cwd=pathlib.Path(keras_bert_edge.__file__).parents[1],
    )
    assert (done.returncode, done.stdout) == (0, b"True\n"), done.stderr[-500:]


def test_special_tokens_that_leave_no_room_are_refused():
    tokenizer = Tokenizer.from_buffer(tokenizer_json(FIXTURES / "pair.tflite"))
    template = " ".join(["[SEP]"] * 5)
    tokenizer.post_processor = processors.TemplateProcessing(
        f"[CLS] $A {template}", f"[CLS] $A {template} $B:1 {template}", [("[CLS]", 2), ("[SEP]", 3)]
    )
    content = tokenizer.to_str().encode()
    assert len(TextTokenizer(content, 11, True, "model.tflite").encode("a" * 50, "b" * 50)) == 11
    with pytest.raises(
        EdgeError, match=r"tokenizer\.json in model\.tflite adds 11 special tokens, and the model reads 8"
    ):
        TextTokenizer(content, 8, True, "model.tflite")
