"""Options of `keras-bert finetune` that say how a model is trained."""

from __future__ import annotations

import argparse

from .. import options as shared
from ..options import share

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def add_training_options(parser: argparse.ArgumentParser) -> None:
    """Epochs, optimizer, loss and everything else that shapes the training."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--epochs",
        type=shared.positive(int),
        help="default: 3; 5 for pairs to classify and for entities; 6 for more than 20 labels",
    )
    group.add_argument("--batch-size", type=shared.positive(int), default=32)
    group.add_argument(
        "--learning-rate",
        type=shared.positive(float),
        help="peak (default: 2.5e-5 for a width of 768, twice that for entities and more than 20 labels; for other"
        " widths in inverse proportion to their square, up to ten times that)",
    )
    group.add_argument(
        "--warmup", type=share(below_one=False), default=0.1, help="share of the steps it rises (default 0.1)"
    )
    group.add_argument("--weight-decay", type=float, default=0.01)
    group.add_argument(
        "--average", type=share(), default=0.1, help="average weights over this share of the steps (0.1)"
    )
    group.add_argument(
        "--layer-decay",
        type=share(below_one=False, above_zero=True),
        default=1.0,
        help="each layer learns at this factor of the rate of the one above it (default 1)",
    )
    group.add_argument(
        "--unfreeze",
        type=share(),
        default=0.0,
        help="layers join in one by one from the head down over this share of the steps (default 0: all at once)",
    )
    group.add_argument(
        "--accumulate", type=shared.positive(int), default=1, metavar="N", help="add up the gradients of N batches"
    )
    group.add_argument(
        "--patience", type=shared.positive(int), metavar="N", help="stop after N epochs worse than the best"
    )
    group.add_argument(
        "--dropout",
        type=share(),
        help="of hidden states and attention (default: as the checkpoint was trained; 0 for questions)",
    )
    group.add_argument(
        "--adversarial",
        type=share(),
        metavar="SIZE",
        help="learn each batch also with the embeddings moved, by this share of their norm, to where the loss rises"
        " fastest: twice the time (default: 0.02 where texts or pairs have one of 2 to 20 labels and there are 300"
        " steps or more, else 0)",
    )
    group.add_argument(
        "--adversarial-after",
        type=share(),
        default=0.0,
        metavar="SHARE",
        help="of the steps that come before that, for checkpoints that know little (default 0)",
    )
    group.add_argument(
        "--restart-layers",
        type=shared.not_negative(int),
        metavar="N",
        help="the topmost N layers start with random weights (default: for entities, below a new head, one in three,"
        " unless the layers share their weights or were pruned; else 0)",
    )
    group.add_argument("--label-smoothing", type=share(), default=0.0)
    group.add_argument(
        "--class-weights",
        metavar="WEIGHTS",
        help="'balanced', or LABEL=WEIGHT pairs parted by commas; the others weigh 1",
    )
    group.add_argument("--precision", choices=PRECISIONS, default="float32", help="default: float32")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument(
        "--seeds",
        type=shared.positive(int),
        default=1,
        metavar="N",
        help="train N times, with --seed and those after it; tell mean and deviation, keep the best",
    )
    group.add_argument("--resume", action="store_true", help="go on where an interrupted run into OUT stopped")
    group.add_argument("--tensorboard", metavar="DIR", help="write losses and scores for TensorBoard")
    group.add_argument("--mirrored", action="store_true", help="one copy of the model on each GPU of this machine")
    group.add_argument("--new-head", action="store_true", help="leave the checkpoint's own head unread")
