"""Write a .tflite file that carries its tokenizer, labels and task, and check it against the Keras model.

MODEL is a checkpoint directory with a tokenizer. The file runs with keras-bert-edge; with --profile mediapipe also in
MediaPipe Tasks. After conversion it is opened in LiteRT and its outputs are compared with Keras's on real text; if they
differ by more than the recipe allows, nothing is written.

example:
  keras-bert export out -o model.tflite --recipe dynamic_int8
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time
from typing import Any

from keras_bert.errors import ExportError, KerasBertError
from keras_bert.files import atomic_path

from . import options as shared
from .progress import progress_bar
from .quiet import quiet_imports
from .report import print_table, write_report

RECIPES = ("float32", "float16", "dynamic_int8")
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
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--recipe", choices=RECIPES, default="dynamic_int8", help="how weights are stored")
    parser.add_argument("--task", choices=TASKS, help="default: the task the checkpoint was saved for")
    parser.add_argument(
        "--lengths",
        type=_lengths,
        metavar="N,N,...",
        help="static signatures of these lengths in tokens; default: one signature for any length",
    )
    parser.add_argument(
        "--profile", choices=("default", "mediapipe"), default="default", help="who shall read the file"
    )
    parser.add_argument("--texts", metavar="FILE", help="texts, one a line, to calibrate and check with as well")


def run(options: argparse.Namespace) -> int:
    """Convert, check, write, report."""
    with quiet_imports():
        from .tflite import recipes
        from .tflite.archive import write_file
        from .tflite.convert import convert, plan_layout
        from .tflite.features import text_features
        from .tflite.verify import verify
    start = time.perf_counter()
    output = pathlib.Path(options.output)
    if output.suffix != ".tflite":
        raise ExportError(f"{output} is not a name for an exported file: expected one that ends in .tflite")
    model = load_model(shared.checkpoint_path(options.model), options.task)
    layout = plan_layout(model, options.lengths, options.profile)
    recipe = recipes.RECIPES[options.recipe]
    features = text_features(model, _read_texts(options.texts))
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
        "recipe": options.recipe,
        "profile": options.profile,
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
                options.recipe,
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
    known = checkpoint.family.architectures
    tasks = [task for task, name in known.items() if name == checkpoint.architecture and task in TASKS]
    if not tasks:
        raise ExportError(
            f"{checkpoint.path} is saved as {checkpoint.architecture or 'no known class'}, which names no task that can"
            f" be exported: say which with --task {'|'.join(TASKS)}"
        )
    return tasks[0]


def _read_texts(path: str | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise KerasBertError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise KerasBertError(f"{path} is not UTF-8 text: byte {error.start}") from error
    texts = [line for line in lines if line.strip()]
    if not texts:
        raise KerasBertError(f"{path} holds no text; expected one text a line")
    return texts


def _lengths(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected whole numbers with commas between, got {text!r}") from None
