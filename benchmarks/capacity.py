"""Steps, tokens and memory a replica of the pretraining configurations, by arithmetic.

    python benchmarks/capacity.py --replicas 8
    python benchmarks/capacity.py configs/bert_large_128.toml --replicas 16 --json capacity.json

Memory a replica, in bytes, for N parameters, B examples of L tokens at once, H hidden size, I intermediate size,
A heads, P masked tokens an example, V vocabulary, c bytes a value of the compute type (4 float32, 2 the others):

    weights      4 N, and c N where c < 4 (the copies that the products read)
    gradients    4 N   (twice with accumulation: the sum and the micro-batch's)
    slots        8 N   (two moments, AdamW and LAMB alike)
    update       12 N  with several replicas: new weights and moments beside the old until they are assigned
    a layer      B L c (10 H + 2 I) + B A L L c 3    what the way back reads: 4 inputs of matrix products, q, k, v,
                 context, two normalised sums of width H; before and after the activation of width I; scores,
                 probabilities and their dropped copy. Rematerialised: B L c H, and one layer as above at a time.
    embeddings   B L c 3 H
    vocabulary   B P V (c + 4 + 4): logits, their float32 copy and the gradient

Buffers of XLA, of the collectives and of the framework come on top: leave a tenth.
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib
from typing import Any

import keras
from report import print_table

import keras_bert as kb
from keras_bert.training.config_file import read_config
from keras_bert.training.run_config import RunConfig

# What the configuration for one small machine is meant for: one replica and a vocabulary of its own.
SMALL, SMALL_VOCABULARY = "bert_mini", 8000
CONFIGS = pathlib.Path(__file__).resolve().parent.parent / "configs"
GIB = 1 << 30


def parameters(config: kb.EncoderConfig, pairs: bool) -> int:
    """Trainable parameters, counted on a model that has shapes and no memory."""
    with keras.StatelessScope(initialize_variables=False):
        encoder = kb.Encoder(config.replace(pooler=pairs))
        model = (kb.PretrainingModel if pairs else kb.MaskedLanguageModel)(encoder)
        count = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    keras.utils.clear_session()
    return count


def memory(config: kb.EncoderConfig, run: RunConfig, replicas: int, rematerialize: bool) -> dict[str, float]:
    """Bytes a replica by what holds them; the formulas are in the module's docstring."""
    share = run.training.batch_size // replicas
    rows = run.training.micro_batch_size or share
    length, width = run.examples.sequence_length, 4 if run.training.precision == "float32" else 2
    count = parameters(config, run.examples.pairs)
    hidden, inner, heads = config.hidden_size, config.intermediate_size, config.num_heads
    layer = rows * length * width * (10 * hidden + 2 * inner) + rows * heads * length * length * width * 3
    kept = rows * length * width * hidden
    layers = config.num_layers * kept + layer if rematerialize else config.num_layers * layer
    predictions = run.examples.predictions_per_row
    return {
        "weights": count * (4 + (width if width < 4 else 0)),
        "gradients": count * 4 * (2 if share > rows else 1),
        "slots": count * 8,
        "update": count * 12 if replicas > 1 else 0,
        "layers": layers,
        "rest": 3 * kept + rows * predictions * config.vocab_size * (width + 8),
    }


def capacity(path: pathlib.Path, replicas: int) -> dict[str, Any]:
    """What a configuration asks for."""
    run = RunConfig.from_dict(read_config(path))
    own = {"vocab_size": SMALL_VOCABULARY} if path.stem == SMALL else {}
    config = kb.PRESETS[run.model.preset].replace(**own, **run.model.encoder)
    share = run.training.batch_size // replicas
    rows = run.training.micro_batch_size or share
    totals = {flag: sum(memory(config, run, replicas, flag).values()) for flag in (False, True)}
    return {
        "config": path.stem,
        "replicas": replicas,
        "parameters": parameters(config, run.examples.pairs),
        "steps": run.training.steps,
        "examples_a_step": run.training.batch_size,
        "tokens": run.training.steps * run.training.batch_size * run.examples.sequence_length,
        "rows_at_once": rows,
        "micro_batches": share // rows,
        "bytes": memory(config, run, replicas, False),
        "total_bytes": totals[False],
        "total_bytes_rematerialized": totals[True],
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", type=pathlib.Path, help="TOML files (default: all that ship)")
    parser.add_argument("--replicas", type=int, default=8, help="replicas (bert_mini: always 1)")
    parser.add_argument("--json", type=pathlib.Path, help="also write the rows here")
    options = parser.parse_args()
    shipped = sorted(CONFIGS.glob("*.toml"))
    # Without a preset it has the shape of the checkpoint that it goes on from.
    files = options.configs or [file for file in shipped if read_config(file)["model"].get("preset")]
    rows = [capacity(file, 1 if file.stem == SMALL else options.replicas) for file in files]
    header = ["config", "replicas", "parameters", "steps", "batch", "tokens", "at once x micro-batches"]
    header += ["weights, gradients, slots, update", "activations", "total", "rematerialised"]
    table = []
    for row in rows:
        size = row["bytes"]
        state = size["weights"] + size["gradients"] + size["slots"] + size["update"]
        table.append(
            [
                row["config"],
                str(row["replicas"]),
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['steps']:,}",
                f"{row['examples_a_step']:,}",
                f"{row['tokens'] / 1e9:,.4g} G",
                f"{row['rows_at_once']} x {row['micro_batches']}",
                *(
                    f"{value / GIB:.2f} GiB"
                    for value in (
                        state,
                        size["layers"] + size["rest"],
                        row["total_bytes"],
                        row["total_bytes_rematerialized"],
                    )
                ),
            ]
        )
    print_table("memory a replica, by the formulas in this file", header, table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
