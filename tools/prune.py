"""Take out what a trained model can spare: layers, attention heads, feed-forward units, tokens, single weights.

--layers, --heads and --feedforward say how many stay (of heads and units in every layer the most important ones, by the
gradients of the task's loss on --train; with --allocation global the most important units of all layers together, as
many in all); the model is rebuilt smaller and dense. --vocabulary N cuts the token table to N rows, `corpus` to what
the training texts (and --corpus) need. --sparsity sets a share of the weights to zero while training goes on: the
smallest (magnitude; extra `prune`), or those that training moves towards zero (movement). Then --epochs of training
mend the damage, with the model as it came as teacher, or with --teacher: a model that was pruned before learns best
from the one that it all began with. Written to OUT beside report.json.

A model whose heads no longer fill its width has `head_size` in config.json, one of unlike layers `intermediate_sizes`.
This library and the edge runner read them; `transformers`, which has neither, refuses the checkpoint.

examples:
  keras-bert prune out --heads 6 --feedforward 768 --train train.tsv --dev dev.tsv --test test.tsv -o pruned
  keras-bert prune out --vocabulary 8000 --train train.tsv --epochs 1 -o trimmed
  keras-bert prune out --sparsity 0.5 --pattern 2:4 --train train.tsv -o sparse
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

import keras_bert as kb
from keras_bert.data import batched_dataset
from keras_bert.models.structure import keep_layers, keep_tokens, prune_structure, spread_layers

from . import options as shared
from .compression import masks
from .compression.corpus import read_corpus, task_texts
from .compression.importance import measure_importance, most_important
from .compression.job import Job, add_data_options, check_apart, finish, open_job, open_teacher, require
from .compression.movement import MovementScores
from .compression.training import EPOCHS, add_loss_options, add_training_options, losses_from, settings_from, train
from .compression.vocabulary import trim_vocabulary

_IMPORTANCE_EXAMPLES = 1024
_IMPORTANCE_BATCH = 8
_UNKNOWN_WARNING = 0.05  # share of unknown tokens above which a corpus is likely in another language


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("model", help="directory of a trained checkpoint")
    add_data_options(parser, required=False)
    structure = parser.add_argument_group("structure")
    structure.add_argument("--layers", type=shared.layers, metavar="N|I,J,...", help="how many, or which ones, stay")
    structure.add_argument("--heads", type=int, metavar="N", help="attention heads that stay in a layer")
    structure.add_argument("--feedforward", type=int, metavar="N", help="feed-forward units that stay in a layer")
    structure.add_argument(
        "--allocation",
        choices=("uniform", "global"),
        default="uniform",
        help="of those units: as many in every layer, or N on average, by their importance (default: %(default)s)",
    )
    structure.add_argument("--vocabulary", type=_vocabulary, metavar="N|corpus", help="tokens that stay")
    structure.add_argument("--corpus", metavar="FILE", help="more texts to trim the vocabulary to, one a line")
    weights = parser.add_argument_group("single weights")
    weights.add_argument("--sparsity", type=float, metavar="S", help="share of zeros, 0 or more and less than 1")
    weights.add_argument("--pattern", choices=masks.PATTERNS, default="unstructured", help="default: %(default)s")
    weights.add_argument("--method", choices=("magnitude", "movement"), default="magnitude")
    add_loss_options(parser)
    parser.add_argument("--teacher", metavar="DIR", help="learn from this checkpoint; default: the model as it came")
    add_training_options(parser, epochs=EPOCHS["prune"])


def run(options: argparse.Namespace) -> int:
    """Prune, train, score both, write the report."""
    _check(options)
    output = pathlib.Path(options.output)
    check_apart(output, options.model, options.teacher)
    keras.utils.set_random_seed(options.seed)
    opened = open_job(options.model, options)
    teacher = open_teacher(opened, options.teacher, options) if options.teacher else opened.model
    model, values = _restructured(opened, options)
    if options.epochs:
        values["trained"] = _trained(opened, model, teacher, output, options)
    else:
        if options.sparsity is not None:
            masks.MagnitudePruning(model, options.sparsity, options.pattern, 1).update()
        model.save_pretrained(output)
    values["sparsity"], values["sparsity_by_tensor"] = masks.saved_sparsity(output)
    finish("prune", options, opened, opened.task.open_trained(output), {"model": str(options.model), **values})
    print(f"zeros in the matrices of the layers, counted in the file: {values['sparsity']:.2%}")
    return 0


def _check(options: argparse.Namespace) -> None:
    wanted = ("layers", "heads", "feedforward", "vocabulary", "sparsity")
    require(
        any(getattr(options, name) is not None for name in wanted),
        f"nothing to prune: expected one of --{', --'.join(wanted)}",
    )
    require(options.epochs >= 0, f"--epochs: expected 0 or more, got {options.epochs}")
    for name in ("heads", "feedforward"):
        value = getattr(options, name)
        require(value is None or value > 0, f"--{name}: expected 1 or more to stay, got {value}: pruned to nothing")
        require(value is None or options.train, f"--{name} needs --train: importance is measured on labelled examples")
    require(
        options.allocation == "uniform" or options.feedforward is not None,
        "--allocation is of feed-forward units: expected --feedforward with it",
    )
    require(options.epochs == 0 or options.train, "training needs --train; without it pass --epochs 0")
    require(options.epochs > 0 or not options.unlabelled, "--unlabelled is for training: expected --epochs above 0")
    losses_from(options)
    if options.sparsity is not None:
        masks.check_sparsity(options.sparsity, options.pattern)
        if options.method == "movement":
            require(options.pattern == "unstructured", "--method movement knows the pattern unstructured alone")
            require(options.epochs > 0, "--method movement needs training: expected --epochs above 0")
    else:
        asked = (options.pattern, options.method) != ("unstructured", "magnitude")
        require(not asked, "--pattern and --method go with --sparsity")
    if options.vocabulary is None:
        require(not options.corpus, "--corpus goes with --vocabulary")
    else:
        require(options.train or options.corpus, "--vocabulary needs texts: expected --train, --corpus or both")


def _restructured(opened: Job, options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The smaller, dense model, and what was done."""
    model = opened.model
    values: dict[str, Any] = {}
    if options.layers is not None:
        total, chosen = model.config.num_layers, options.layers
        layers = spread_layers(total, chosen) if isinstance(chosen, int) else list(chosen)
        model, values["layers"] = keep_layers(model, layers), layers
    if options.heads is not None or options.feedforward is not None:
        model, values["structure"] = _without_heads_and_units(opened, model, options)
    if options.vocabulary is not None:
        model, values["vocabulary"] = _without_tokens(opened, model, options)
    if model is opened.model:  # training must not change the teacher
        model = keep_layers(model, range(model.config.num_layers))
    return model, values


def _without_heads_and_units(opened: Job, model: Any, options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    config = model.config
    for name, value, available in (
        ("heads", options.heads, config.num_heads),
        ("feedforward", options.feedforward, _units_of_a_layer(config.feedforward_sizes, options.allocation)),
    ):
        require(value is None or value <= available, f"--{name}: expected 1 to {available}, the model's, got {value}")
    data = opened.train
    if len(data) > _IMPORTANCE_EXAMPLES:
        chosen = np.random.default_rng(options.seed).permutation(len(data))[:_IMPORTANCE_EXAMPLES]
        data = data.subset(np.sort(chosen).tolist())
    max_length = min(options.max_length or opened.task.max_length, config.max_positions)
    examples = opened.task.training_examples(model, data, max_length, options)
    batches = batched_dataset(
        examples.texts, examples.targets, config, batch_size=_IMPORTANCE_BATCH, shuffle=True, seed=options.seed
    )
    found = measure_importance(model, batches)
    heads = None if options.heads is None else most_important(found.heads, options.heads)
    units = None
    if options.feedforward is not None:
        units = most_important(found.units, options.feedforward, options.allocation)
    head_importance = [row.tolist() for row in found.heads]
    report: dict[str, Any] = {"importance_batches": found.batches, "head_importance": head_importance}
    if heads is not None:
        report["heads"] = [row.tolist() for row in heads]
    if units is not None:
        report["units"] = [row.tolist() for row in units]
    return prune_structure(model, heads=heads, units=units), report


def _units_of_a_layer(sizes: Sequence[int], allocation: str) -> int:
    """How many can be asked for: those of the narrowest layer, or of a layer on average."""
    return min(sizes) if allocation == "uniform" else sum(sizes) // len(sizes)


def _without_tokens(opened: Job, model: Any, options: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    texts = task_texts(opened.task.name, opened.train) if opened.train is not None else []
    if options.corpus:
        texts = [*texts, *read_corpus(options.corpus)]
    trimmed = trim_vocabulary(model.tokenizer, texts, options.vocabulary or None)
    if trimmed.unknown_before > _UNKNOWN_WARNING:
        print(
            f"warning: {trimmed.unknown_before:.1%} of the corpus's tokens are unknown to the model: is it in the"
            " model's language?",
            file=sys.stderr,
        )
    report = {
        "tokens": len(trimmed.kept_ids),
        "tokens_before": trimmed.old_size,
        "embedding_share": len(trimmed.kept_ids) / model.config.vocab_size,
        "unknown_before": trimmed.unknown_before,
        "unknown_after": trimmed.unknown_after,
        "length_ratio": trimmed.length_ratio,
    }
    return keep_tokens(model, trimmed.kept_ids, trimmed.tokenizer), report


def _trained(
    opened: Job, model: Any, teacher: Any, output: pathlib.Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Train the pruned model by its teacher; its best epoch is in `output`."""
    optimizer: Any = kb.adamw
    movement: list[MovementScores] = []

    def callbacks(steps_an_epoch: int, steps: int) -> tuple[list[keras.callbacks.Callback], int]:
        """The sparsity is reached half way; only epochs that end with it are kept."""
        end = max(steps // 2, 1)
        if movement:
            movement[0].begin_step, movement[0].end_step = max(steps // 10, 1), end
            return list(movement), (end - 1) // steps_an_epoch
        return [masks.MagnitudePruning(model, options.sparsity, options.pattern, end)], (end - 1) // steps_an_epoch

    if options.sparsity is not None and options.method == "movement":
        movement.append(MovementScores(model, options.sparsity, 1, 1))
        optimizer = movement[0].optimizer
    losses = losses_from(options)
    trained = train(
        opened.task,
        model,
        opened.train,
        opened.dev,
        output,
        settings_from(options),
        losses,
        options,
        teacher=teacher if losses.learn_from_teacher else None,
        unlabelled=opened.unlabelled,
        logits_file=options.teacher_logits,
        optimizer=optimizer,
        callbacks=callbacks if options.sparsity is not None else None,
    )
    return dataclasses.asdict(trained)


def _vocabulary(text: str) -> int:
    """How many tokens stay; 0 stands for what the corpus needs."""
    if text == "corpus":
        return 0
    try:
        return int(shared.positive(int)(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number of tokens or `corpus`, got {text!r}") from None
