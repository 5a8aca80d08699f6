"""Texts a second in fine-tuning: ours, PyTorch `transformers` eager, and KerasHub's TextClassifier, turn by turn.

All fine-tune the same classifier shape (BERT, two labels; weights from the checkpoint for ours and transformers, random
of the same shape for KerasHub: speed does not depend on them) on the texts of a table, tokenised before the clock
starts. Every round each trains on the same number of texts; ratios are of medians over the rounds.

  keras_bert          `fit` with the optimizer of `keras-bert finetune`, batches of texts of like length
  transformers        the usual eager loop: AdamW, clipping, batches in drawn order padded to their longest text
  transformers, same  the same loop on our batches
  keras_hub           `fit`, texts padded to --max-length, as its preprocessor does
                      (its default optimizer and loss, compiled by XLA, as it does by itself)
  keras_hub, same     `fit` on our batches, without XLA, which would compile anew for every length

All share one process: --hold-memory, which `keras-bert finetune` does by itself, does it for the peers as well.

Example:
    python benchmarks/finetuning_speed.py path/to/checkpoint train.tsv --rounds 9 --json speed.json
Needs, beside the toolkit, torch, transformers and keras-hub; about 4 minutes on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Threads of one library must not spin into another's turn.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("KMP_BLOCKTIME", "0")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import keras_hub
import numpy as np
import tensorflow as tf
import torch
import transformers
from report import machine_facts, print_table, write_json

import keras_bert as kb
from keras_bert.data import batch_indices, read_labelled_texts, tokenize

Batch = tuple[dict[str, np.ndarray], np.ndarray]
TRAIN = Callable[[list[Batch]], None]


def keras_trainer(model: Any) -> TRAIN:
    """`fit` of a compiled Keras model on given batches."""
    names = [tensor.name for tensor in model.inputs]

    def train(batches: list[Batch]) -> None:
        def rows():
            yield from (({name: x[name] for name in names}, y) for x, y in batches)

        row = tf.TensorSpec((None, None), tf.int32)
        signature = (dict.fromkeys(names, row), tf.TensorSpec((None,), tf.int32))
        dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
        model.fit(dataset.apply(tf.data.experimental.assert_cardinality(len(batches))), shuffle=False, verbose=0)

    return train


def ours(checkpoint: str) -> TRAIN:
    model = kb.SequenceClassifier.from_pretrained(checkpoint, labels=["0", "1"], new_head=True)
    model.compile(kb.fine_tuning_optimizer(model, 5e-5, steps=1000, average=0.1))
    return keras_trainer(model)


def hub(checkpoint: str, compiled: bool) -> TRAIN:
    config = kb.Encoder.from_pretrained(checkpoint).config
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=config.vocab_size,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        hidden_dim=config.hidden_size,
        intermediate_dim=config.intermediate_size,
        max_sequence_length=config.max_positions,
    )
    model = keras_hub.models.BertTextClassifier(backbone, num_classes=2, preprocessor=None)
    if not compiled:
        model.compile(optimizer="auto", loss="auto", metrics="auto", jit_compile=False)
    return keras_trainer(model)


def reference(checkpoint: str) -> TRAIN:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint, num_labels=2)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.01)
    names = {"token_ids": "input_ids", "padding_mask": "attention_mask", "segment_ids": "token_type_ids"}

    def train(batches: list[Batch]) -> None:
        for features, targets in batches:
            inputs = {names[name]: torch.from_numpy(values).long() for name, values in features.items()}
            model(**inputs, labels=torch.from_numpy(targets).long()).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return train


class Texts:
    """Tokenised texts, and their batches in the orders and paddings that are compared."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.tokenizer = kb.Tokenizer.from_pretrained(options.checkpoint)
        self.config = kb.Encoder.from_pretrained(options.checkpoint).config
        data = read_labelled_texts(options.data)
        self.texts = tokenize(self.tokenizer, data.texts, data.pairs, max_length=options.max_length)
        self.batch_size, self.max_length = options.batch_size, options.max_length
        self.targets = np.arange(len(data)).astype("int32") % 2

    def batches(self, kind: str, epoch: int, count: int) -> list[Batch]:
        """`count` batches of one epoch: `bucketed`, `drawn` or `full` (drawn, padded to the longest length)."""
        if kind == "bucketed":
            order = list(batch_indices(self.texts.lengths, self.batch_size, shuffle=True, seed=1, epoch=epoch))
        else:
            drawn = np.random.default_rng([1, epoch]).permutation(len(self.texts))
            order = np.split(drawn, range(self.batch_size, len(drawn), self.batch_size))
        chosen = [indices for indices in order if len(indices) == self.batch_size][:count]
        return [(self._features(indices, kind), self.targets[indices]) for indices in chosen]

    def _features(self, indices: np.ndarray, kind: str) -> dict[str, np.ndarray]:
        # Shapes are rounded only where the library's own batches are.
        features = self.texts.features(indices, self.config, multiple_of=8 if kind == "bucketed" else 1)
        missing = self.max_length - features["token_ids"].shape[1]
        if kind == "full" and missing > 0:
            features = {name: np.pad(values, ((0, 0), (0, missing))) for name, values in features.items()}
        return features


def main() -> None:
    """Time all, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a Hugging Face BERT checkpoint directory")
    parser.add_argument("data", help="TSV, CSV or JSONL with texts and labels: what counts is its lengths")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--batches", type=int, default=8, help="in each turn")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm-up", type=int, default=2, help="rounds that do not count: graphs are traced in them")
    parser.add_argument("--hold-memory", action="store_true", help="keep what a step frees, for all of them")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.hold_memory:
        kb.hold_memory()
    keras.utils.set_random_seed(0)
    texts = Texts(options)
    torch_train = reference(options.checkpoint)
    contestants: dict[str, tuple[TRAIN, str]] = {
        "keras_bert": (ours(options.checkpoint), "bucketed"),
        "transformers": (torch_train, "drawn"),
        "transformers, same": (torch_train, "bucketed"),
        "keras_hub": (hub(options.checkpoint, True), "full"),
        "keras_hub, same": (hub(options.checkpoint, False), "bucketed"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for round_index in range(-options.warm_up, options.rounds):
        for name, (train, kind) in contestants.items():
            batches = texts.batches(kind, round_index + options.warm_up, options.batches)
            start = time.perf_counter()
            train(batches)
            if round_index >= 0:
                seconds[name].append(time.perf_counter() - start)
    count = options.batches * options.batch_size
    speed = {name: count / statistics.median(times) for name, times in seconds.items()}
    rows = [[n, f"{v:.1f}", f"{speed['keras_bert'] / v:.2f}"] for n, v in speed.items()]
    lengths = texts.texts.lengths
    title = f"{Path(options.data).name}: {lengths.mean():.0f} tokens a text, batches of {options.batch_size}"
    print_table(title, ["", "texts a second", "keras_bert is faster by"], rows)
    if options.json:
        facts = machine_facts(["tensorflow", "keras", "torch", "transformers", "keras-hub"])
        write_json(options.json, {"texts_a_second": speed, "seconds": seconds, "options": {
            name: str(value) for name, value in vars(options).items()}, "machine": facts})  # fmt: skip


if __name__ == "__main__":
    main()
