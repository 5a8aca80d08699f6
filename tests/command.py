"""The command keras-bert, in this process."""

from typing import Any

from keras_bert_tools import cli

FAST = ("--epochs", 3, "--learning-rate", 5e-3, "--batch-size", 8)  # training that moves a tiny model in seconds


def run(*arguments: Any) -> int:
    """The exit status of `keras-bert` with these arguments."""
    return cli.main([str(argument) for argument in arguments])
