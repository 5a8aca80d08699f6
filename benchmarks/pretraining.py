"""Tokens a second of one pretraining step, beside KerasHub and PyTorch, and beside its own matrix products.

Each contestant is a process of its own that keeps its compiled step; they take turns, one step each, so that all see
the same moods of the machine. A step is forward, backward and AdamW on one batch: BERT's shape, all rows full, a fixed
number of masked tokens a row. KerasHub's `BertMaskedLM` runs `train_on_batch` with jit_compile=True, its fastest
setting; `transformers`' `BertForMaskedLM` runs eagerly and scores every position, as it does for its users. "our matrix
products" is the time of the products of our own step alone, each of the shapes that occur and its two gradients, as
often as they occur, by XLA or without it, whichever is quicker for the shape: the floor of this step on this machine in
this precision. Our step and its products keep the memory they free (`keras_bert.hold_memory`), as `keras-bert pretrain`
does; `--hold-memory all` grants it to the peers, which do not do so by themselves.

Needs benchmarks/requirements.txt and, for PyTorch, benchmarks/requirements-reference.txt.

Example:
    python benchmarks/pretraining.py --rounds 15 --json pretraining.json
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from report import machine_facts, print_table, write_json

from keras_bert import hold_memory

VOCABULARY, HIDDEN, LAYERS, HEADS, INTERMEDIATE = 30522, 256, 4, 4, 1024
OURS, KERAS_HUB, TRANSFORMERS, PRODUCTS = "keras_bert", "KerasHub", "transformers (PyTorch)", "our matrix products"
# Ratios that the project holds itself to: tokens a second over each peer's, step over the floor.
TARGETS = {KERAS_HUB: 1.4, TRANSFORMERS: 3.0, PRODUCTS: 1.4}

# Name -> `jit_compile` of our step.
JIT = {"auto": "auto", "whole": True, "elementwise": "elementwise", "none": False}
# `--hold-memory` -> whose processes keep what they free.
HOLDING = {"ours": (OURS, PRODUCTS), "all": (OURS, KERAS_HUB, TRANSFORMERS, PRODUCTS), "none": ()}
Step = Callable[[], object]


def make_batch(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Random full rows; `masked_positions` are distinct and never the first or last token."""
    generator = np.random.default_rng(0)
    shape, masked = (arguments.batch, arguments.length), (arguments.batch, arguments.masked)
    positions = [generator.choice(arguments.length - 2, arguments.masked, replace=False) + 1 for _ in range(masked[0])]
    return {
        "token_ids": generator.integers(1000, VOCABULARY, shape).astype("int32"),
        "padding_mask": np.ones(shape, "int32"),
        "segment_ids": np.zeros(shape, "int32"),
        "masked_positions": np.sort(np.stack(positions)).astype("int32"),
        "masked_targets": generator.integers(1000, VOCABULARY, masked).astype("int32"),
        "masked_weights": np.ones(masked, "float32"),
    }


def masked_language_step(arguments: argparse.Namespace, vocabulary: int, *, packed: bool = False) -> Any:
    """The pretraining loop's own `PretrainingStep` of a masked language model of the benchmark's shape."""
    import keras

    import keras_bert as kb
    from keras_bert.models import pretraining_network
    from keras_bert.training.optimizers import AdamW
    from keras_bert.training.step import PretrainingStep
    from keras_bert.training.strategies import make_distribution

    if arguments.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    config = kb.EncoderConfig(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        num_layers=LAYERS,
        num_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        hidden_dropout=arguments.dropout,
        attention_dropout=arguments.dropout,
        pooler=False,
    )
    network = pretraining_network(kb.MaskedLanguageModel(kb.Encoder(config)), packed=packed)
    jit_compile = JIT[getattr(arguments, "jit", "auto")]
    return PretrainingStep(network, AdamW(1e-4), make_distribution("one_device"), jit_compile=jit_compile)


def our_step(arguments: argparse.Namespace, batch: dict[str, np.ndarray]) -> Step:
    """The pretraining loop's own step."""
    step = masked_language_step(arguments, VOCABULARY)
    return lambda: step.run([batch], 0)


def keras_hub_step(arguments: argparse.Namespace, batch: dict[str, np.ndarray]) -> Step:
    """`BertMaskedLM.train_on_batch`, compiled by XLA."""
    import keras
    import keras_hub

    if arguments.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=LAYERS,
        num_heads=HEADS,
        hidden_dim=HIDDEN,
        intermediate_dim=INTERMEDIATE,
        dropout=arguments.dropout,
    )
    model = keras_hub.models.BertMaskedLM(backbone, preprocessor=None)
    model.compile(
        optimizer=keras.optimizers.AdamW(1e-4, weight_decay=0.01, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    inputs = {name: batch[name] for name in ("token_ids", "padding_mask", "segment_ids")}
    inputs["mask_positions"] = batch["masked_positions"]
    return lambda: model.train_on_batch(inputs, batch["masked_targets"], sample_weight=batch["masked_weights"])


def transformers_step(arguments: argparse.Namespace, batch: dict[str, np.ndarray]) -> Step:
    """`BertForMaskedLM` in eager PyTorch."""
    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=INTERMEDIATE,
        hidden_dropout_prob=arguments.dropout,
        attention_probs_dropout_prob=arguments.dropout,
    )
    model = transformers.BertForMaskedLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.01)
    labels = np.full_like(batch["token_ids"], -100)
    np.put_along_axis(labels, batch["masked_positions"], batch["masked_targets"], axis=1)
    ids, labels = (torch.from_numpy(values).long() for values in (batch["token_ids"], labels))

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16, enabled=arguments.precision == "bfloat16"):
            loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step


def product_step(arguments: argparse.Namespace, batch: dict[str, np.ndarray]) -> Step:
    """The matrix products of `our_step` and of its backward pass, nothing else."""
    import tensorflow as tf

    dtype = tf.bfloat16 if arguments.precision == "bfloat16" else tf.float32
    rows, masked = arguments.batch * arguments.length, arguments.batch * arguments.masked
    length, wanted, size = arguments.length, arguments.masked, HIDDEN // HEADS
    heads = arguments.batch * HEADS
    # (how many, batch of products or None, m, k, n) of the forward pass. The last block computes the masked rows alone.
    products = [
        (4 * (LAYERS - 1) + 2, None, rows, HIDDEN, HIDDEN),
        (LAYERS - 1, None, rows, HIDDEN, INTERMEDIATE),
        (LAYERS - 1, None, rows, INTERMEDIATE, HIDDEN),
        (LAYERS - 1, heads, length, size, length),
        (LAYERS - 1, heads, length, length, size),
        (2 + 1, None, masked, HIDDEN, HIDDEN),
        (1, None, masked, HIDDEN, INTERMEDIATE),
        (1, None, masked, INTERMEDIATE, HIDDEN),
        (1, heads, wanted, size, length),
        (1, heads, wanted, length, size),
        (1, None, masked, HIDDEN, VOCABULARY),
    ]

    def of_shape(heads: int | None, *shape: int) -> tf.Tensor:
        return tf.cast(tf.random.normal(shape if heads is None else (heads, *shape), stddev=0.02), dtype)

    steps = []
    for count, batched, m, k, n in products:
        left, right, gradient = of_shape(batched, m, k), of_shape(batched, k, n), of_shape(batched, m, n)

        def run(left: Any, right: Any, gradient: Any) -> Any:
            return (
                tf.matmul(left, right),
                tf.matmul(gradient, right, transpose_b=True),
                tf.matmul(left, gradient, transpose_a=True),
            )

        inputs = (left, right, gradient)
        ways = [tf.function(run, jit_compile=compiled, autograph=False) for compiled in (True, False)]
        steps.append((count, min(ways, key=lambda way: seconds_of(way, inputs)), inputs))

    def step() -> None:
        for count, run, inputs in steps:
            for _ in range(count):
                run(*inputs)

    return step


def seconds_of(function: Callable[..., Any], inputs: tuple[Any, ...], calls: int = 5) -> float:
    """The median of a few calls, the first ones, which compile, left out."""
    found = []
    for _ in range(calls + 2):
        began = time.perf_counter()
        function(*inputs)
        found.append(time.perf_counter() - began)
    return statistics.median(found[2:])


CONTESTANTS: dict[str, Callable[[argparse.Namespace, dict[str, np.ndarray]], Step]] = {
    OURS: our_step,
    KERAS_HUB: keras_hub_step,
    TRANSFORMERS: transformers_step,
    PRODUCTS: product_step,
}


def serve(name: str, arguments: argparse.Namespace, connection: Any) -> None:
    """Take a step whenever asked and answer with its seconds; the first ones, which compile, are not counted."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if name in HOLDING[arguments.hold_memory]:
        hold_memory()
    step = CONTESTANTS[name](arguments, make_batch(arguments))
    for _ in range(3):
        step()
    connection.send(None)
    while connection.recv():
        start = time.perf_counter()
        step()
        connection.send(time.perf_counter() - start)


def main() -> None:
    """Let the contestants take turns and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--masked", type=int, default=20)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument(
        "--jit",
        choices=JIT,
        default="auto",
        help="XLA for our whole step, for what lies between its products, or none; auto, the default, is what "
        "keras-bert pretrain takes",
    )
    parser.add_argument("--hold-memory", choices=HOLDING, default="ours", help="who keeps the memory that a step frees")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of PyTorch; TensorFlow takes every core")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    context = multiprocessing.get_context("spawn")
    connections = {}
    for name in arguments.contestants:
        connections[name], theirs = context.Pipe()
        context.Process(target=serve, args=(name, arguments, theirs), daemon=True).start()
        theirs.close()
        connections[name].recv()
    seconds: dict[str, list[float]] = {name: [] for name in connections}
    for _ in range(arguments.rounds):
        for name, connection in connections.items():
            connection.send(True)
            seconds[name].append(connection.recv())
    for connection in connections.values():
        connection.send(False)

    tokens = arguments.batch * arguments.length
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    ratios = {name: paired(seconds, name) for name in seconds if name != OURS and OURS in seconds}
    rows = []
    for name in seconds:
        speed = "" if name == PRODUCTS else f"{tokens / medians[name]:.0f}"
        ratio, target = (f"{ratios[name]:.2f}", f"{TARGETS[name]}") if name in ratios else ("", "")
        rows.append([name, f"{1000 * medians[name]:.0f}", speed, ratio, target])
    title = f"BERT {LAYERS} x {HIDDEN}, batch {arguments.batch} x {arguments.length}, {arguments.masked} masked, "
    title += f"dropout {arguments.dropout}, {arguments.precision}"
    print_table(title, ["", "ms a step", "tokens/s", "ratio", "target"], rows)
    print(
        "ratio: our tokens/s over theirs, at least the target; for the matrix products our step over theirs, at most it"
    )
    if arguments.json:
        facts = machine_facts(["keras", "tensorflow", "keras-hub", "transformers", "torch"])
        write_json(arguments.json, {"machine": facts, "seconds": seconds, "ratios": ratios})


def paired(seconds: dict[str, list[float]], name: str) -> float:
    """Median over the rounds of their step over ours; of ours over the matrix products."""
    pairs = zip(seconds[OURS], seconds[name], strict=True)
    return statistics.median(ours / theirs if name == PRODUCTS else theirs / ours for ours, theirs in pairs)


if __name__ == "__main__":
    main()
