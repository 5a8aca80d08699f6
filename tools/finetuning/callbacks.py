"""Keeping the best epoch, and the state from which an interrupted training goes on."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_bert.errors import KerasBertError
from keras_bert.files import atomic_directory, atomic_write_json

_STATE = "state.json"


class BestEpoch(keras.callbacks.Callback):
    """Scores the model after each epoch and saves it whenever it is no worse than before.

    Args:
        score: model -> metrics by name, the first the one to judge by; None where nothing is held out: the last epoch
            is kept.
        output: directory to save to.

    Attributes:
        epoch: number of the best epoch so far, from 1. scores: its metrics.
    """

    def __init__(self, score: Callable[[Any], dict[str, float]] | None, output: pathlib.Path) -> None:
        super().__init__()
        self.score, self.output = score, output
        self.epoch = 0
        self.scores: dict[str, float] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        found = self.score(self.model) if self.score else {}
        for name, value in found.items():
            logs[f"dev_{name}"] = value
        first = next(iter(found), None)
        # Of equal ones the later: a small development set has few scores, and training goes on learning.
        if first is None or not self.epoch or found[first] >= self.scores[first]:
            self.epoch, self.scores = epoch + 1, found
            self.model.save_pretrained(self.output)


class Patience(keras.callbacks.Callback):
    """Stops the training when the best epoch is `patience` epochs past. Unlike Keras's EarlyStopping it reads the best
    epoch where it is kept, so that a resumed training counts on."""

    def __init__(self, best: BestEpoch, patience: int) -> None:
        super().__init__()
        self.best, self.patience = best, patience

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if epoch + 1 - self.best.epoch >= self.patience:
            self.model.stop_training = True


class TrainingState(keras.callbacks.Callback):
    """Writes after each epoch all that the next one needs, and reads it again: weights, optimizer, random states, the
    best epoch and the history.

    The files are whole at any moment: weights go to a name of their own, then `state.json` points to them.

    Args:
        folder: where they lie while the training runs.
        best: the best epoch so far is part of the state.
        settings: what the training was started with; another training's state is refused.

    Attributes:
        epoch: epochs done. history: their losses and scores, epoch by epoch. stopped: whether patience ran out.
    """

    def __init__(self, folder: pathlib.Path, best: BestEpoch, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.folder, self.best = folder, best
        self.settings = json.loads(json.dumps(settings))
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.stopped = False

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.epoch = epoch + 1
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        weights = f"epoch-{self.epoch}.weights.h5"
        with atomic_directory(self.folder) as folder:
            self.model.save_weights(folder / weights)
        state = {
            "weights": weights,
            "epoch": self.epoch,
            "best_epoch": self.best.epoch,
            "best_scores": self.best.scores,
            "history": self.history,
            "random": [int(value) for value in self._random_states()],
            "stopped": bool(self.model.stop_training),
            "settings": self.settings,
        }
        atomic_write_json(self.folder / _STATE, state)
        for old in self.folder.glob("epoch-*.weights.h5"):
            if old.name != weights:
                old.unlink()

    def restore(self, model: Any) -> bool:
        """Give a compiled model the state of the last epoch; whether there was one.

        Raises:
            KerasBertError: the state is of a training with other settings, or cannot be read.
        """
        path = self.folder / _STATE
        if not path.exists():
            return False
        try:
            state = json.loads(path.read_text("utf-8"))
            if state["settings"] != self.settings:
                names = sorted({*state["settings"], *self.settings})
                other = [name for name in names if state["settings"].get(name) != self.settings.get(name)]
                raise KerasBertError(
                    f"{path} is of a training with other settings ({', '.join(other)}): resume with the same options, "
                    "or leave --resume out to start anew"
                )
            model.optimizer.build(model.trainable_variables)
            model.load_weights(self.folder / state["weights"])
            for variable, values in zip(_random_variables(model), _pairs(state["random"]), strict=True):
                variable.assign(values)
        except KerasBertError:
            raise
        except (OSError, KeyError, ValueError) as error:  # ValueError: JSON, or weights of another layout
            raise KerasBertError(
                f"{path} cannot be resumed from: {str(error).strip().splitlines()[0]}; leave --resume out to start anew"
            ) from error
        self.epoch, self.history = state["epoch"], state["history"]
        self.best.epoch, self.best.scores = state["best_epoch"], state["best_scores"]
        self.stopped = state["stopped"]
        return True

    def _random_states(self) -> list[int]:
        return [
            int(value)
            for variable in _random_variables(self.model)
            for value in keras.ops.convert_to_numpy(variable.value).reshape(-1)
        ]


def _random_variables(model: Any) -> list[Any]:
    """States of the generators that dropout draws from: two numbers each."""
    return [variable for variable in model.variables if "seed_generator" in variable.path]


def _pairs(values: list[int]) -> list[list[int]]:
    return [values[i : i + 2] for i in range(0, len(values), 2)]
