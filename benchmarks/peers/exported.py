"""Our own file: a randomly started classifier of the toolkit, written by `keras-bert export` as any user's model is."""

from __future__ import annotations

import shutil
import string
import tempfile
from pathlib import Path

import keras
from keras_bert_tools.cli import main as keras_bert_command

import keras_bert as kb

from .shapes import SHAPES

PRESET_OF_SHAPE = {"minilm_l6": "minilm_l6_uncased", "bert_base": "bert_base_uncased"}
RECIPES = ("float32", "dynamic_int8")
_CHARACTERS = string.ascii_lowercase + string.digits + string.punctuation


def vocabulary(size: int) -> list[str]:
    """A WordPiece vocabulary of single characters that can spell any ASCII text, filled up to `size` entries."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_CHARACTERS, *(f"##{c}" for c in _CHARACTERS)]
    return tokens + [f"[unused{number}]" for number in range(size - len(tokens))]


def build(shape_name: str, directory: Path, vocab: Path | None = None) -> None:
    """`build_preset` of a shape's preset, into `ours_float32.tflite` and `ours_dynamic_int8.tflite`."""
    config = kb.PRESETS[PRESET_OF_SHAPE[shape_name]]
    shape = SHAPES[shape_name]
    if (config.hidden_size, config.num_layers) != (shape.hidden_size, shape.num_layers):
        raise RuntimeError(f"the preset {PRESET_OF_SHAPE[shape_name]} is not of the shape {shape_name}")
    build_preset(PRESET_OF_SHAPE[shape_name], directory, "ours", vocab)


def build_preset(preset: str, directory: Path, name: str, vocab: Path | None = None) -> int:
    """Write `<name>_float32.tflite` and `<name>_dynamic_int8.tflite` of a two-label classifier into `directory`,
    replacing older ones.

    Args:
        vocab: a vocab.txt of the preset's size; without it, single characters.

    Returns:
        Parameters of its encoder.

    Raises:
        RuntimeError: the export command failed; it has printed why.
    """
    config = kb.PRESETS[preset]
    keras.utils.set_random_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        vocab_dir, checkpoint = Path(folder) / "vocabulary", Path(folder) / "checkpoint"
        vocab_dir.mkdir()
        if vocab is None:
            (vocab_dir / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary(config.vocab_size)))
        else:
            shutil.copy(vocab, vocab_dir / "vocab.txt")
        tokenizer = kb.Tokenizer.from_pretrained(vocab_dir)
        model = kb.SequenceClassifier(kb.Encoder(config), labels=2, tokenizer=tokenizer)
        model.save_pretrained(checkpoint)
        for recipe in RECIPES:
            target = directory / f"{name}_{recipe}.tflite"
            if keras_bert_command(["export", str(checkpoint), "-o", str(target), "--recipe", recipe]):
                raise RuntimeError(f"keras-bert export failed for {recipe}")
    return model.encoder.count_params()
