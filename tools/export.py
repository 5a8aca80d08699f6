"""Write a .tflite file that carries its tokenizer, labels and task, or a SavedModel, and check it against Keras.

MODEL is a checkpoint directory with a tokenizer. The file runs with keras-bert-edge; with --profile compatible also on
boards that have tflite-runtime 2.14 alone, with --profile mediapipe also in MediaPipe Tasks. After conversion it is
opened in LiteRT and its outputs are compared with Keras's on real text; if they differ by more than the recipe allows,
nothing is written.

With --format saved_model a folder for TensorFlow Serving is written, in float32. Its signature serving_default takes
ids, or strings with --text-input (BERT, DistilBERT, ALBERT; extra text). It is checked in the same way.

examples:
  keras-bert export out -o model.tflite --recipe dynamic_int8
  keras-bert export out -o board.tflite --profile compatible
  keras-bert export out -o served/1 --format saved_model --text-input --max-length 128
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time
from typing import Any

from keras_bert.errors import ExportError
from keras_bert.files import atomic_path

from . import options as shared
from .compression.corpus import read_corpus
from .progress import progress_bar
from .quiet import quiet_imports
from .report import print_table, write_report
from .tflite.recipes import RECIPES

DEFAULT_RECIPE = "dynamic_int8"
PROFILES = ("default", "compatible", "mediapipe")
TASKS = {
    "sequence_classification": "SequenceClassifier",
    "token_classification": "TokenClassifier",
    "question_answering": "QuestionAnswerer",
    "sentence_embedding": "SentenceEncoder",
    "masked_lm": "MaskedLanguageModel",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="checkpoint directory, or package:NAME/FOLDER")
    parser.add_argument("-o", "--output", required=True, metavar="PATH", help="the file, or the folder, to write")
    parser.add_argument("--format", choices=("tflite", "saved_model"), default="tflite")
    parser.add_argument("--task", choices=TASKS, help="default: the task the checkpoint was saved for")
    parser.add_argument("--texts", metavar="FILE", help="texts, one a line, to calibrate and check with as well")
    tflite = parser.add_argument_group("a .tflite file")
    recipes = [name for name, recipe in RECIPES.items() if not recipe.needs_texts]
    tflite.add_argument("--recipe", choices=recipes, help=f"how weights are stored; default: {DEFAULT_RECIPE}")
    tflite.add_argument(
        "--lengths",
        type=_lengths,
        metavar="N,N,...",
        help="static signatures of these lengths in tokens; default: one signature for any length",
    )
    tflite.add_argument("--profile", choices=PROFILES, help="who shall read the file")
    saved_model = parser.add_argument_group("a SavedModel")
    saved_model.add_argument("--text-input", action="store_true", help="take strings (`text`) instead of ids")
    saved_model.add_argument("--pairs", action="store_true", help="with --text-input: take pairs (`text`, `pair`)")
    saved_model.add_argument(
        "--max-length",
        type=shared.positive(int),
        metavar="N",
        help="with --text-input: cut texts to N tokens; default: the model's positions",
    )


def run(options: argparse.Namespace) -> int:
    """Convert, check, write, report.

    Raises:
        ExportError: an option of the other format, or the conversion failed.
    """
    others = {"tflite": ("text_input", "pairs", "max_length"), "saved_model": ("recipe", "lengths", "profile")}
    for name in others[options.format]:
        if getattr(options, name):
            raise ExportError(f"--{name.replace('_', '-')} is no option of --format {options.format}")
    return _run_tflite(options) if options.format == "tflite" else _run_saved_model(options)


def _run_saved_model(options: argparse.Namespace) -> int:
    with quiet_imports():
        from .saved_model import export_saved_model
    start = time.perf_counter()
    output = pathlib.Path(options.output)
    model = load_model(shared.checkpoint_path(options.model), options.task)
    with quiet_imports():
        written = export_saved_model(
            model,
            output,
            text_input=options.text_input,
            pairs=options.pairs,
            max_length=options.max_length,
            texts=read_corpus(options.texts) if options.texts else [],
        )
    values = {
        "model": str(options.model),
        "output": str(output),
        "format": "saved_model",
        "task": model.task,
        "parameters": model.count_params(),
        "seconds": round(time.perf_counter() - start, 1),
        **dataclasses.asdict(written),
    }
    write_report(output.with_name(f"{output.name}.report.json"), "export", values)
    print_table(
        f"{output}: {model.config.family}, {model.task}; {', '.join(written.inputs)} -> {', '.join(written.outputs)}",
        ["parameters", "folder", "largest difference to Keras", "texts with other ids than on the host", "seconds"],
        [
            [
                f"{values['parameters']:,}",
                f"{written.size / 1e6:.2f} MB",
                f"{written.max_difference:.2g}",
                f"{len(written.tokenized_differently)} of {written.texts + len(written.tokenized_differently)}",
                values["seconds"],
            ]
        ],
    )
    return 0


def _run_tflite(options: argparse.Namespace) -> int:
    with quiet_imports():
        from .tflite.archive import write_file
        from .tflite.convert import convert
        from .tflite.features import text_features
        from .tflite.layout import plan_layout
        from .tflite.verify import verify
    start = time.perf_counter()
    output = pathlib.Path(options.output)
    if output.suffix != ".tflite":
        raise ExportError(f"{output} is not a name for an exported file: expected one that ends in .tflite")
    model = load_model(shared.checkpoint_path(options.model), options.task)
    profile, recipe = options.profile or "default", RECIPES[options.recipe or DEFAULT_RECIPE]
    layout = plan_layout(model, options.lengths, profile, recipe.name)
    features = text_features(model, read_corpus(options.texts) if options.texts else [])
    with atomic_path(output) as temporary:
        with progress_bar("converting", 1) as advance:
            flatbuffer, members = convert(model, recipe, layout, features)
            digest = write_file(temporary, flatbuffer, members)
            size = len(flatbuffer)
            del flatbuffer
            advance(1)
        with progress_bar("checking", len(features)) as advance:
            checked = verify(temporary, size, model, recipe, layout, features, advance)
    values = {
        "model": str(options.model),
        "output": str(output),
        "task": model.task,
        "recipe": recipe.name,
        "profile": profile,
        "signatures": dict(layout.signatures),
        "parameters": model.count_params(),
        "file_size": output.stat().st_size,
        "sha256": digest,
        "seconds": round(time.perf_counter() - start, 1),
        "verification": dataclasses.asdict(checked),
    }
    report = output.with_suffix(".report.json")
    write_report(report, "export", values)
    agreement = "-" if checked.agreement is None else f"{checked.agreement:.1%}"
    print_table(
        f"{output}: {model.config.family}, {model.task}",
        ["recipe", "parameters", "file", "relative error", "allowed", "same choice as Keras", "seconds"],
        [
            [
                recipe.name,
                f"{values['parameters']:,}",
                f"{values['file_size'] / 1e6:.2f} MB",
                f"{checked.error:.2g}",
                f"{checked.tolerance:g}",
                agreement,
                values["seconds"],
            ]
        ],
    )
    return 0


def load_model(path: pathlib.Path, task: str | None = None) -> Any:
    """The checkpoint at `path` as the model of `task`, or of the task it was saved for.

    Raises:
        ExportError: the task cannot be told from the checkpoint, parts of the model are untrained, no tokenizer.
    """
    with quiet_imports():
        import keras_bert.models as models
        from keras_bert.checkpoints import open_checkpoint
        from keras_bert.models.documents import is_document_classifier

    if task is None and is_document_classifier(path):
        raise ExportError(
            f"{path} reads documents by windows, an exported file one window: --task sequence_classification exports "
            "the classifier of single windows"
        )
    if task is None:
        task = _saved_task(open_checkpoint(path))
    with quiet_imports():
        model = getattr(models, TASKS[task]).from_pretrained(path)
    if model.new_parts:
        raise ExportError(f"{path} is no model for {task}: it holds no {', '.join(model.new_parts)}")
    if model.tokenizer is None:
        raise ExportError(f"{path} has no tokenizer: expected tokenizer.json, vocab.txt, vocab.json or spiece.model")
    return model


def _saved_task(checkpoint: Any) -> str:
    from keras_bert.checkpoints import stored_task

    task = stored_task(checkpoint)
    if task not in TASKS:
        raise ExportError(
            f"{checkpoint.path} is saved as {checkpoint.architecture or 'no known class'}, which names no task that can"
            f" be exported: say which with --task {'|'.join(TASKS)}"
        )
    return task


def _lengths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers with commas between, got {text!r}") from None
