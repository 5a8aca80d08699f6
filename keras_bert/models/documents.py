"""Classification of documents longer than a model's positions: windows through the classifier, then pooled."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from ..errors import CheckpointError, ConfigError
from ..layers.window_pooling import POOLINGS, WindowMixer, WindowPooling
from ..training.adversarial import AdversarialTraining
from .classification import SequenceClassifier
from .families import get_family
from .inputs import CheckedModel, build_optimizer, jit_default

CONFIG_KEY = "window_pooling"
WEIGHTS = "window_pooling.safetensors"


class DocumentClassifier(AdversarialTraining, keras.Model):
    """Logits `[batch, num_labels]` from documents cut into windows, int32 inputs `[batch, windows, length]`.

    A window is a text to the classifier; what it says of the windows is pooled. `mean` and `max` add no weights: any
    trained classifier serves. `learned` weighs each window by its vector; `hierarchical` first lets the windows read
    each other. Both start untrained.

    Args:
        classifier: a `SequenceClassifier`.
        pooling: `mean`, `max`, `learned` or `hierarchical`.
        window_length: longest window in tokens; None, the model's positions.
        overlap: tokens that neighbouring windows share, or half a window where that is less.

    Attributes:
        task, labels, problem_type, config, tokenizer, encoder, head: the classifier's.
        vectors: the model from a window to the vector that the head reads, `[windows, hidden_size]`.
    """

    task = SequenceClassifier.task

    def __init__(
        self,
        classifier: SequenceClassifier,
        pooling: str = "mean",
        *,
        window_length: int | None = None,
        overlap: int = 32,
        name: str | None = "documents",
    ) -> None:
        super().__init__(name=name)
        if pooling not in POOLINGS:
            raise ConfigError(f"pooling: expected one of {', '.join(POOLINGS)}, got {pooling!r}")
        config = classifier.config
        length = window_length or config.max_positions
        if not 0 < length <= config.max_positions or overlap < 0:
            raise ConfigError(
                f"window_length: expected 1 to the model's {config.max_positions} positions, and an overlap of 0 or "
                f"more, got {length} and {overlap}"
            )
        self.classifier, self.pooling, self.window_length, self.overlap = classifier, pooling, length, overlap
        self.config, self.encoder, self.head = config, classifier.encoder, classifier.head
        self.labels, self.problem_type = classifier.labels, classifier.problem_type
        self.tokenizer = classifier.tokenizer
        self.new_parts = classifier.new_parts
        vector = classifier.encoder.text_vector(pooled=classifier.needs_pooler(get_family(config.family)))
        self.vectors = CheckedModel(classifier.encoder.input, vector, name="vectors")
        self.vectors.config = config
        policy = classifier.head.dtype_policy
        self.mixer = WindowMixer(config, dtype=policy, name="mixer") if pooling == "hierarchical" else None
        mode = "learned" if pooling == "hierarchical" else pooling
        self.window_pooling = WindowPooling(config, mode, name="window_pooling")
        for layer in (self.mixer, self.window_pooling):
            if layer is not None:
                layer.build((None, None, config.hidden_size))
        self.built = True

    def call(self, inputs: Mapping[str, Any], training: bool | None = None) -> Any:
        shape = ops.shape(inputs["token_ids"])
        flat = {name: ops.reshape(value, (-1, shape[2])) for name, value in inputs.items()}
        vectors = self.vectors(flat, training=training)
        vectors = ops.reshape(vectors, (shape[0], shape[1], self.config.hidden_size))
        return self.pool(vectors, ops.any(inputs["padding_mask"] > 0, axis=-1), training=training)

    def pool(self, vectors: Any, mask: Any, training: bool | None = None) -> Any:
        """Logits `[batch, num_labels]` from the vectors of windows `[batch, windows, hidden_size]`.

        Args:
            mask: `[batch, windows]`, which of them there are.
        """
        if self.mixer is not None:
            vectors = self.mixer(vectors, mask, training=training)
        return self.window_pooling(self.head(vectors, training=training), vectors, mask)

    def compile(
        self,
        optimizer: Any = "auto",
        loss: Any = "auto",
        metrics: Any = "auto",
        jit_compile: Any = None,
        *,
        adversarial: float = 0.0,
        adversarial_after: int = 0,
        **kwargs: Any,
    ) -> None:
        """As `SequenceClassifier.compile`; embeddings move window by window."""
        self.set_adversarial(adversarial, adversarial_after)
        defaults = self.classifier.training_defaults()
        if isinstance(optimizer, str) and optimizer == "auto":
            optimizer = keras.optimizers.AdamW(2e-5)
        loss = defaults["loss"] if isinstance(loss, str) and loss == "auto" else loss
        metrics = defaults["metrics"] if isinstance(metrics, str) and metrics == "auto" else metrics
        jit_compile = jit_default() if jit_compile is None else jit_compile
        super().compile(optimizer, loss=loss, metrics=metrics, jit_compile=jit_compile, **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        build_optimizer(self)
        return super().fit(*args, **kwargs)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str], **options: Any) -> DocumentClassifier:
        """Read what `save_pretrained` wrote, or any classifier with `pooling`, `window_length` and `overlap` given.

        Raises:
            CheckpointError: files or tensors are missing, left over, misshapen or broken.
        """
        from safetensors.numpy import load_file

        from ..checkpoints.config_json import read_json

        path = pathlib.Path(path)
        own = {name: options.pop(name) for name in ("pooling", "window_length", "overlap") if name in options}
        saved = read_json(path / "config.json").get(CONFIG_KEY, {})
        model = cls(SequenceClassifier.from_pretrained(path, **options), **{**saved, **own})
        extra = model.extra_variables()
        if extra and saved.get("pooling") == model.pooling:
            try:
                tensors = load_file(path / WEIGHTS)
            except Exception as error:
                raise CheckpointError(f"{path / WEIGHTS} cannot be read: {error}") from error
            if set(tensors) != set(extra) or any(tensors[n].shape != tuple(v.shape) for n, v in extra.items()):
                raise CheckpointError(f"{path / WEIGHTS} holds {sorted(tensors)}, expected {sorted(extra)}")
            for name, variable in extra.items():
                variable.assign(tensors[name])
        elif extra:
            model.new_parts = (*model.new_parts, "window_pooling")
        return model

    def extra_variables(self) -> dict[str, Any]:
        """The weights that a `SequenceClassifier` does not have, by name."""
        layers = [layer for layer in (self.mixer, self.window_pooling) if layer is not None]
        found = [variable for layer in layers for variable in layer.trainable_variables]
        return {variable.path: variable for variable in found}

    def save_pretrained(self, path: str | os.PathLike[str], *, facts: Mapping[str, Any] | None = None) -> None:
        """Write the classifier as a Hugging Face checkpoint; beside it what pools the windows.

        `transformers` opens it as the classifier of single windows.
        """
        import numpy as np
        from safetensors.numpy import save_file

        from ..checkpoints.card import write_card
        from ..checkpoints.config_json import read_json
        from ..files import atomic_path, atomic_write_json

        path = pathlib.Path(path)
        self.classifier.save_pretrained(path)
        extra = self.extra_variables()
        if extra:
            arrays = {n: np.array(ops.convert_to_numpy(v.value), "float32") for n, v in extra.items()}
            with atomic_path(path / WEIGHTS) as temporary:
                save_file(arrays, os.fspath(temporary))
        settings = {"pooling": self.pooling, "window_length": self.window_length, "overlap": self.overlap}
        atomic_write_json(path / "config.json", {**read_json(path / "config.json"), CONFIG_KEY: settings})
        write_card(path, self, facts)


def is_document_classifier(path: str | os.PathLike[str]) -> bool:
    """Whether a saved classifier pools windows."""
    from ..checkpoints.config_json import read_json

    file = pathlib.Path(path) / "config.json"
    return file.exists() and CONFIG_KEY in read_json(file)
