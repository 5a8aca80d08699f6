"""Runs small enough for tests, on the shards of `tiny_shards`."""

from tiny_shards import write_shards

from keras_bert.training.run import prepare
from keras_bert.training.run_config import RunConfig
from keras_bert.training.strategies import make_distribution

ENCODER = {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "intermediate_size": 32, "max_positions": 32}


def write_data(folder):
    """Shards to train on and shards to evaluate on."""
    write_shards(folder / "train")
    write_shards(folder / "held-out", shards=2, documents=4, seed=1)
    return folder


def make_config(shards, **changes):
    """A run on what `write_data` wrote, with `section={key: value}` changes."""
    values = {
        "model": {"preset": "bert_tiny_uncased", "encoder": ENCODER},
        "data": {"folder": str(shards / "train"), "evaluation": str(shards / "held-out"), "lanes": 4},
        "examples": {"sequence_length": 32, "objective": "nsp", "max_predictions": 5},
        "training": {"steps": 12, "batch_size": 8, "jit_compile": False, "steps_per_call": 5},
        "optimizer": {"learning_rate": 1e-2, "warmup_steps": 2},
        "evaluation": {"every": 4, "batches": 3},
        "checkpoint": {"every": 4, "keep": 1},
        "logging": {"every": 2},
    }
    for section, content in changes.items():
        values[section] = {**values.get(section, {}), **content}
    return RunConfig.from_dict(values)


def start(config, work_dir, strategy="one_device"):
    """The run made ready, by default on one device."""
    return prepare(config, work_dir, make_distribution(strategy))
