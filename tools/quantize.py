"""Write a .tflite file of fewer bits by a recipe, and say which matrix loses what.

float16, dynamic_int8 (weights int8, activations quantised on the fly), static_int8 (integer products whose ranges are
fixed beforehand), int4 (weights of 4 bits, in blocks of 32), mixed (int4, but int8 for the matrices that lose most by
it, as many as it takes to keep the outputs' error within --budget). The last three are calibrated on texts: plain ones,
one a line, in a file that ends in .txt, or a data file of the model's task.

With --qat the model is trained first with the rounding of the recipe (static_int8 or int4) in its layers, by the model
as it came; the trained checkpoint is kept in --checkpoint (default: OUT without .tflite), its ranges in
quantization.safetensors, and the file has those ranges. Quantising that checkpoint again by the same recipe uses them
too. The file is opened in LiteRT and compared with Keras.

examples:
  keras-bert quantize out -o small.tflite --recipe int4 --calibration train.tsv
  keras-bert quantize out -o static.tflite --recipe static_int8 --calibration texts.txt
  keras-bert quantize out -o qat.tflite --recipe static_int8 --qat --train train.tsv --dev dev.tsv --test test.tsv
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import time
from typing import Any

import keras

from keras_bert.checkpoints.quantization import has_quantization, load_quantization
from keras_bert.files import atomic_path

from . import options as shared
from .compression.calibration import Calibration, read_calibration
from .compression.job import Job, add_data_options, check_apart, open_job, require
from .compression.measure import edge_runner, measure_file
from .compression.training import (
    add_loss_options,
    add_training_options,
    evaluate,
    losses_from,
    settings_from,
    train,
)
from .export import load_model
from .progress import progress_bar
from .quiet import quiet_imports
from .report import print_table, write_report
from .tflite.recipes import RECIPES, TRAINED

_WORST = 10  # rows of the table that are printed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="directory of a trained checkpoint")
    parser.add_argument("--recipe", choices=[name for name in RECIPES if name != "float32"], required=True)
    parser.add_argument(
        "--calibration", metavar="FILE", help="texts, one a line (NAME.txt), or data of the task; default: --train"
    )
    parser.add_argument(
        "--calibration-texts", type=shared.positive(int), default=256, metavar="N", help="drawn from it (default 256)"
    )
    parser.add_argument(
        "--error-texts", type=shared.positive(int), default=64, metavar="N", help="to measure losses on (default 64)"
    )
    parser.add_argument(
        "--budget", type=shared.positive(float), default=0.1, metavar="E", help="of mixed: relative error (default 0.1)"
    )
    parser.add_argument("--qat", action="store_true", help="train the model for the recipe first")
    parser.add_argument(
        "--checkpoint", metavar="DIR", help="of --qat: keep the trained model there; default: OUT without .tflite"
    )
    add_data_options(parser, required=False, output="file to write, NAME.tflite")
    add_loss_options(parser)
    add_training_options(parser, epochs=3, learning_rate=1e-5)


def run(options: argparse.Namespace) -> int:
    """Train where asked for, measure, convert, check, write, report."""
    output = pathlib.Path(options.output)
    _check(options, output)
    started = time.perf_counter()
    keras.utils.set_random_seed(options.seed)
    path = shared.checkpoint_path(options.model)
    values: dict[str, Any] = {"model": str(options.model), "output": str(output), "recipe": options.recipe}
    opened = open_job(options.model, options) if options.qat or options.test else None
    model = opened.model if opened is not None else load_model(path)
    before = None
    if opened is not None and opened.test is not None:  # now: ranges that lie beside the model will change it
        before = evaluate(opened.task, model, opened.test, options.max_length).scores
    source = options.calibration or options.train
    calibration = None
    if source is not None:
        calibration = read_calibration(
            source, path, model, options, count=options.calibration_texts, held_out=options.error_texts
        )
        values["calibration"] = {"file": source, "texts": calibration.texts, "unknown": calibration.unknown}
    quantized = model
    if options.qat:
        assert opened is not None
        assert calibration is not None
        path = _trained_path(options, output)
        values["trained"] = _train(opened, calibration, path, options)
        values["checkpoint"] = str(path)
        quantized = load_model(path, model.task)
    values |= _convert(quantized, path, output, calibration, options)
    if opened is not None and opened.test is not None:
        values["scored_on"] = str(options.test)
        file = measure_file(output, opened.task, opened.test, options.seed)
        values["scores"] = {"before": before, "file": file}
    values["seconds"] = round(time.perf_counter() - started, 1)
    write_report(output.with_suffix(".report.json"), "quantize", {**values, "options": vars(options)})
    _show(values)
    return 0


def _check(options: argparse.Namespace, output: pathlib.Path) -> None:
    require(
        output.suffix == ".tflite", f"{output} is not a name for an exported file: expected one that ends in .tflite"
    )
    if options.test:
        edge_runner()
    if options.qat:
        require(options.recipe in TRAINED, f"--qat is for {' and '.join(TRAINED)}, not for {options.recipe}")
        require(options.train, "--qat trains on labelled data: expected --train FILE")
        require(options.epochs > 0, f"--epochs: expected a number above 0, got {options.epochs}")
        losses_from(options)
        trained = _trained_path(options, output)
        check_apart(trained, options.model)
        require(
            options.checkpoint or not (trained / "config.json").exists() or has_quantization(trained),
            f"{trained}, where the trained model would go, holds another one: name a folder with --checkpoint",
        )
    require(options.qat or not options.checkpoint, "--checkpoint is of --qat")
    require(
        not RECIPES[options.recipe].needs_texts or options.calibration or options.train,
        f"{options.recipe} is calibrated on texts such as the model will read: expected --calibration FILE",
    )


def _trained_path(options: argparse.Namespace, output: pathlib.Path) -> pathlib.Path:
    """The folder of the trained checkpoint."""
    return pathlib.Path(options.checkpoint or output.with_suffix(""))


def _train(opened: Job, calibration: Calibration, path: pathlib.Path, options: argparse.Namespace) -> dict[str, Any]:
    """Train a copy of the model with the recipe's rounding, the model as teacher; its best epoch is at `path`."""
    from keras_bert.models.structure import keep_layers

    from .compression.integer_training import train_for

    student = keep_layers(opened.model, range(opened.model.config.num_layers))
    train_for(student, RECIPES[options.recipe], calibration.features)
    losses = losses_from(options)
    trained = train(
        opened.task,
        student,
        opened.train,
        opened.dev,
        path,
        settings_from(options),
        losses,
        options,
        teacher=opened.model if losses.learn_from_teacher else None,
        unlabelled=opened.unlabelled,
        logits_file=options.teacher_logits,
    )
    return dataclasses.asdict(trained)


def _convert(
    model: Any, path: pathlib.Path, output: pathlib.Path, calibration: Calibration | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Write the file; what there is to say of it."""
    with quiet_imports():
        from .compression.integer_training import trained_recipe
        from .tflite.archive import write_file
        from .tflite.convert import add_task, convert
        from .tflite.features import text_features
        from .tflite.layer_errors import LayerErrors, most_sensitive
        from .tflite.layout import plan_layout
        from .tflite.prepare import prepare, stored_again
        from .tflite.verify import verify
    recipe = RECIPES[options.recipe]
    parameters = model.count_params()
    trained = False
    if recipe.name in TRAINED and has_quantization(path):
        load_quantization(model, path)
        trained = trained_recipe(model) == recipe.name
        require(trained, f"{path} was trained for {trained_recipe(model)}, not for {recipe.name}: use that recipe")
    layout = plan_layout(model, None, "default", recipe.name)
    built_in = text_features(model)
    texts = calibration.features if calibration is not None else built_in
    held_out = calibration.held_out if calibration is not None else built_in[: options.error_texts]
    prepared = prepare(model, recipe, texts, add_task(model))
    errors = LayerErrors(model, prepared, held_out)
    with progress_bar("measuring losses", len(prepared.stored)) as advance:
        table = errors.table(advance)
    if recipe.name == "mixed":
        finer = stored_again(prepared, RECIPES["dynamic_int8"])
        kept = most_sensitive(errors, table, finer, options.budget)
        recipe = dataclasses.replace(recipe, kept=kept)
        prepared = dataclasses.replace(
            prepared, stored={**prepared.stored, **{name: finer.stored[name] for name in kept}}
        )
    whole = errors.compare(prepared.assemble())
    with atomic_path(output) as temporary:
        flatbuffer, members = convert(model, recipe, layout, [*built_in, *texts], prepared.assemble())
        digest = write_file(temporary, flatbuffer, members)
        checking = [*built_in, *held_out]
        with progress_bar("checking", len(checking)) as advance:
            checked = verify(temporary, len(flatbuffer), model, recipe, layout, checking, advance)
    return {
        "task": model.task,
        "parameters": parameters,
        "trained_ranges": trained,
        "kept_int8": sorted(recipe.kept),
        "file_size": output.stat().st_size,
        "sha256": digest,
        "verification": dataclasses.asdict(checked),
        "error": whole.error,
        "agreement": errors.agreement(whole),
        "layers": [dataclasses.asdict(each) for each in table],
    }


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _show(values: dict[str, Any]) -> None:
    rows = [
        [each["name"], each["kind"], f"{each['weights']:.4f}", f"{each['error']:.4f}", _percent(each["agreement"])]
        for each in values["layers"][:_WORST]
    ]
    rows.append(["all together", values["recipe"], "", f"{values['error']:.4f}", _percent(values["agreement"])])
    print_table(
        f"{values['output']}: {values['file_size'] / 1e6:.2f} MB, {values['recipe']}; what each tensor alone loses, the"
        f" worst {min(_WORST, len(values['layers']))} of {len(values['layers'])}",
        ["", "stored as", "its own error", "error of the outputs", "same choice"],
        rows,
    )
    if values["kept_int8"]:
        print(f"int8 for the budget's sake: {', '.join(values['kept_int8'])}")
    if "scores" in values:
        before, file = values["scores"]["before"], values["scores"]["file"]
        print(", ".join(f"{name} {before[name]:.4f} -> {file[name]:.4f}" for name in before))
