"""Turn a Google TF1 or Hugging Face checkpoint into a Hugging Face one, heads, labels and tokenizer kept.

The task is the one the checkpoint was saved for; one with both pretraining heads keeps both of them. What has no place
in the result is named.

example:
  keras-bert convert uncased_L-12_H-768_A-12 bert-base
  keras-bert convert bert-base encoder --task encoder
"""

from __future__ import annotations

import argparse
import math

from keras_bert.checkpoints import left_out, load_tokenizer, open_checkpoint, stored_task
from keras_bert.errors import CheckpointError
from keras_bert.models import TASKS, Encoder

from . import options as shared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job's options."""
    parser.add_argument("source", help="directory with config.json and safetensors, or bert_config.json and *.ckpt.*")
    parser.add_argument("destination", help="directory to write: config.json, model.safetensors, tokenizer")
    parser.add_argument("--task", choices=["encoder", *TASKS], help="default: all that the checkpoint holds")


def run(options: argparse.Namespace) -> int:
    """Read, write, say what it was."""
    path = shared.checkpoint_path(options.source)
    checkpoint = open_checkpoint(path)
    task = options.task or stored_task(checkpoint)
    if task == "encoder":
        model, tokenizer = Encoder.from_pretrained(path), load_tokenizer(checkpoint)
        model.save_pretrained(options.destination, tokenizer=tokenizer)
    else:
        model = TASKS[task].from_pretrained(path)
        if model.new_parts:
            raise CheckpointError(f"{path} holds no {' and no '.join(model.new_parts)} for {task}; nothing was written")
        tokenizer = model.tokenizer
        model.save_pretrained(options.destination)
    if others := left_out(model, checkpoint):
        print(f"left out, no part of {task.replace('_', ' ')}: {', '.join(others)}")
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    print(
        f"{options.destination}: {checkpoint.family.name}, {task.replace('_', ' ')}, {parameters:,} parameters, "
        + (f"tokenizer of {tokenizer.vocab_size:,} tokens" if tokenizer else "no tokenizer")
    )
    return 0
