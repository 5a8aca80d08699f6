"""A model opened in LiteRT, as the exporter needs it: to calibrate and to check."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from ..quiet import quiet_imports


class Session:
    """Runs the signatures of a model on one text at a time.

    Args:
        model: the path of a file, or the bytes of a model.
        threads: threads that a run may use.

    Raises:
        ValueError: LiteRT refuses the model.
    """

    def __init__(self, model: str | os.PathLike[str] | bytes, threads: int = 1) -> None:
        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": os.fsencode(model)}
        with quiet_imports():  # the first interpreter of a process announces its delegate
            self._interpreter = Interpreter(**source, num_threads=threads)
            self._interpreter.allocate_tensors()
        self.signatures: dict[str, list[str]] = {
            name: list(signature["inputs"]) for name, signature in self._interpreter.get_signature_list().items()
        }
        self._runners = {name: self._interpreter.get_signature_runner(name) for name in self.signatures}

    def operators(self) -> list[str]:
        """Names of the operators of the first subgraph, in order; those of a delegate included."""
        return [str(details["op_name"]) for details in self._interpreter._get_ops_details()]

    def run(self, signature: str, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name; of `features`, int32 [1, length] each, those that the signature has.

        Raises:
            RuntimeError: an operator fails.
        """
        inputs = {name: features[name] for name in self.signatures[signature]}
        return {name: np.array(value) for name, value in self._runners[signature](**inputs).items()}
