"""The command keras-bert, in this process."""

from typing import Any

from keras_bert_tools import cli


def run(*arguments: Any) -> int:
    """The exit status of `keras-bert` with these arguments."""
    return cli.main([str(argument) for argument in arguments])
