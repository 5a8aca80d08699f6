"""What packing is worth: useful tokens a second of pretraining on short documents, one a row and packed.

FOLDER holds shards that `keras-bert prepare-data` made of short documents, such as reviews, questions or messages. Two
processes train the same model on them, each fed by the pipeline of the pretraining loop: masked tokens of one document
an example (RoBERTa's DOC-SENTENCES), padded to the length in one process, several to a row with block-diagonal
attention in the other. They take turns of some steps each, long enough that what a pipeline has made ahead while the
other one trained counts for little. Useful tokens are those of the documents' text: neither padding nor the special
tokens around each text. "ms a step" tells what a packed step costs over a padded one.

Example, a document a line:
    tail -n +2 train.tsv | cut -f1 > reviews.txt
    keras-bert prepare-data reviews.txt --format line --tokenizer tokenizer --shards 8 -o shards
    python benchmarks/packing.py shards --json packing.json
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from report import machine_facts, print_table, write_json

TARGET = 1.5
PADDED, PACKED = "padded", "packed"
LENGTH_BOUNDS = (8, 16, 32, 64, 128, 256)
# A row's [CLS] and [SEP], for each text in it.
SPECIAL = 2


def useful_tokens(batch: dict[str, np.ndarray]) -> int:
    """Tokens of text in a batch."""
    texts = batch["sequence_ids"].max(axis=1).sum() if "sequence_ids" in batch else len(batch["padding_mask"])
    return int(batch["padding_mask"].sum() - SPECIAL * texts)


def serve(name: str, arguments: argparse.Namespace, connection: Any) -> None:
    """Take some steps whenever asked and answer with seconds, useful tokens and filled places of each turn."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from pretraining import masked_language_step

    from keras_bert.data.pretraining import PretrainingData, PretrainingSettings

    settings = PretrainingSettings(
        sequence_length=arguments.length,
        objective="mlm",
        max_predictions=arguments.masked,
        cross_documents=False,
        pack=name == PACKED,
    )
    data = PretrainingData(arguments.folder, settings)
    lanes = next(n for n in range(len(data.manifest.shards), 0, -1) if arguments.batch % n == 0)
    batches = data.dataset(arguments.batch, lanes=lanes).as_numpy_iterator()
    step = masked_language_step(arguments, data.tokenizer.vocab_size, packed=settings.pack)
    taken = itertools.count()
    for _ in range(3):
        step.run([next(batches)], next(taken))
    connection.send(settings.predictions_per_row)
    while connection.recv():
        tokens = filled = 0
        start = time.perf_counter()
        for _ in range(arguments.steps):
            batch = next(batches)
            step.run([batch], next(taken))
            tokens += useful_tokens(batch)
            filled += int(batch["padding_mask"].sum())
        connection.send((time.perf_counter() - start, tokens, filled))


def document_lengths(folder: str) -> np.ndarray:
    """Tokens of every document of a shard folder."""
    import tensorflow as tf

    from keras_bert.data.shards import read_manifest

    manifest = read_manifest(Path(folder))
    width = np.dtype(manifest.token_dtype).itemsize
    records = tf.data.TFRecordDataset([str(Path(folder) / shard.file) for shard in manifest.shards])
    features = {"token_ids": tf.io.FixedLenFeature([], tf.string)}
    sizes = records.batch(4096).map(lambda rows: tf.strings.length(tf.io.parse_example(rows, features)["token_ids"]))
    return np.concatenate(list(sizes.as_numpy_iterator())) // width


def print_lengths(lengths: np.ndarray) -> None:
    """How long the documents are: quantiles, and how many lie between powers of two."""
    quantiles = "  ".join(f"{q}%: {np.percentile(lengths, q):.0f}" for q in (5, 25, 50, 75, 95, 100))
    print(f"{len(lengths):,} documents of {lengths.mean():.1f} tokens on average; {quantiles}")
    edges = [0, *LENGTH_BOUNDS, int(max(lengths.max() + 1, LENGTH_BOUNDS[-1] + 1))]
    shares = np.histogram(lengths, edges)[0] / len(lengths)
    spans = [f"{low} to {high - 1}" for low, high in itertools.pairwise(edges)]
    print_table("tokens of a document", spans, [[f"{share:.1%}" for share in shares]])


def main() -> int:
    """Print both sides and their ratio; exit with status 1 where packing gains less than the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a shard folder of short documents")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--masked", type=int, default=20, help="most masked tokens of a padded row")
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--steps", type=int, default=12, help="of a turn")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()

    lengths = document_lengths(arguments.folder)
    print_lengths(lengths)
    context = multiprocessing.get_context("spawn")
    connections, predictions = {}, {}
    for name in (PADDED, PACKED):
        connections[name], theirs = context.Pipe()
        context.Process(target=serve, args=(name, arguments, theirs), daemon=True).start()
        theirs.close()
        predictions[name] = connections[name].recv()
    turns: dict[str, list[tuple[float, int, int]]] = {name: [] for name in connections}
    for _ in range(arguments.rounds):
        for name, connection in connections.items():
            connection.send(True)
            turns[name].append(connection.recv())
    for connection in connections.values():
        connection.send(False)

    rates = {name: [tokens / seconds for seconds, tokens, _ in own] for name, own in turns.items()}
    ratio = statistics.median(packed / padded for padded, packed in zip(rates[PADDED], rates[PACKED], strict=True))
    places = arguments.steps * arguments.batch * arguments.length
    rows = [
        [
            name,
            f"{1000 * statistics.median(seconds for seconds, _, _ in own) / arguments.steps:.0f}",
            f"{sum(filled for _, _, filled in own) / (places * len(own)):.1%}",
            f"{predictions[name]}",
            f"{statistics.median(rates[name]):,.0f}",
        ]
        for name, own in turns.items()
    ]
    title = f"BERT 4 x 256, batch {arguments.batch} x {arguments.length}, dropout {arguments.dropout}, "
    title += f"{arguments.precision}; {arguments.rounds} turns of {arguments.steps} steps"
    print_table(title, ["", "ms a step", "filled", "predictions a row", "useful tokens/s"], rows)
    print(f"packed over padded, median of the rounds: {ratio:.2f} times the useful tokens/s (target {TARGET})")
    if arguments.json:
        facts = machine_facts(["keras", "tensorflow"])
        content = {"machine": facts, "lengths": np.bincount(lengths).tolist(), "turns": turns, "ratio": ratio}
        write_json(arguments.json, content)
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
