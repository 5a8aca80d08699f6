"""A student and its teacher as one Keras model, trained by `fit`."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_bert.errors import ConfigError
from keras_bert.models import get_family
from keras_bert.models.inputs import build_optimizer
from keras_bert.training import distillation
from keras_bert.training.adversarial import AdversarialTraining

from .soft_labels import stacked_logits

_HIDDEN = -1e9  # logit of a place that is padding


@dataclasses.dataclass(frozen=True)
class DistillationLosses:
    """What the student learns from, and how much each part weighs; 0 leaves a part out.

    Attributes:
        soft: the teacher's logits at `temperature` (Hinton et al. 2015). hard: the task's own targets.
        hidden: hidden states, layer by layer and of the embedding (TinyBERT); a projection where widths differ.
        attention: attention scores, layer by layer (TinyBERT); teacher and student have equally many heads.
        relations: products of queries, of keys and of values of one layer (MiniLMv2), for students of any width.
        relation_layer: the teacher's layer for them, from 0; None, its last.
        relation_heads: heads that they are cut into; None, as many as the teacher has.
    """

    soft: float = 1.0
    hard: float = 0.5
    temperature: float = 2.0
    hidden: float = 0.0
    attention: float = 0.0
    relations: float = 0.0
    relation_layer: int | None = None
    relation_heads: int | None = None

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each part by its name."""
        return {name: getattr(self, name) for name in ("soft", "hard", "hidden", "attention", "relations")}

    @property
    def reads_teacher(self) -> bool:
        """Whether the teacher runs beside the student, because more than its logits is asked for."""
        return bool(self.hidden or self.attention or self.relations)

    @property
    def learn_from_teacher(self) -> bool:
        """Whether anything is learned from the teacher."""
        return bool(self.soft or self.reads_teacher)


class Distiller(AdversarialTraining, keras.Model):
    """Trains `student`, alone or by a teacher, on batches of `distillation_dataset`.

    Args:
        student, teacher: models of one task. The teacher is needed, and run, where `losses.reads_teacher`.
        teacher_ids: the teacher's id of each of the student's, int [vocab_size]; None: the same.

    Raises:
        ConfigError: the two do not fit a loss that is asked for.
    """

    def __init__(
        self,
        student: Any,
        losses: DistillationLosses,
        *,
        teacher: Any = None,
        teacher_ids: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.student, self.losses_wanted = student, losses
        self.teacher_ids = teacher_ids
        self._student_trunk = _trunk(student)
        self._teacher_trunk: Any = None
        self.projection: Any = None
        if losses.reads_teacher:
            if teacher is None:
                raise ConfigError("hidden states, attention and relations need the teacher itself: expected one")
            teacher.trainable = False
            self._teacher_trunk = _trunk(teacher)
            self._check(teacher)
        self.teacher = teacher if losses.reads_teacher else None
        student.compile()
        self._parts = {name: keras.metrics.Mean(name=name) for name, weight in losses.weights.items() if weight}

    def _check(self, teacher: Any) -> None:
        mine, theirs, wanted = self.student.config, teacher.config, self.losses_wanted
        if wanted.attention and mine.num_heads != theirs.num_heads:
            raise ConfigError(
                f"the attention loss compares head by head: the student has {mine.num_heads}, the teacher"
                f" {theirs.num_heads}; relations have no such bound"
            )
        if wanted.hidden and mine.hidden_size != theirs.hidden_size:
            self.projection = keras.layers.Dense(theirs.hidden_size, use_bias=False, name="projection")
            self.projection.build((None, None, mine.hidden_size))
        if wanted.relations:
            heads = self._relation_heads(teacher)
            for who, config in (("student", mine), ("teacher", theirs)):
                if config.attention_size % heads:
                    raise ConfigError(
                        f"{heads} relation heads do not divide the {who}'s attention of {config.attention_size}"
                    )
            layer = wanted.relation_layer
            if layer is not None and not 0 <= layer < theirs.num_layers:
                raise ConfigError(f"relation_layer: expected 0 to {theirs.num_layers - 1}, got {layer}")

    def _relation_heads(self, teacher: Any) -> int:
        return self.losses_wanted.relation_heads or teacher.config.num_heads

    def build(self, input_shape: Any = None) -> None:
        """All parts are built already."""
        self.built = True

    def fit(self, *arguments: Any, **options: Any) -> Any:
        build_optimizer(self)
        return super().fit(*arguments, **options)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's outputs and hidden states and, where it runs, the teacher's hidden states."""
        found = self._student_trunk(_read_by(self._student_trunk, inputs), training=training)
        result = {"outputs": _task_outputs(self.student, found), "hidden": found["hidden"]}
        if self._teacher_trunk is not None:
            inputs = dict(inputs)
            if self.teacher_ids is not None:
                table = ops.convert_to_tensor(self.teacher_ids.astype("int32"))
                inputs["token_ids"] = ops.take(table, inputs["token_ids"], axis=0)
            hidden = self._teacher_trunk(_read_by(self._teacher_trunk, inputs), training=False)["hidden"]
            result["teacher_hidden"] = [ops.stop_gradient(state) for state in hidden]
        return result

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The weighted sum of the parts; each part's own mean is shown by its name."""
        parts = self._values(x, y, y_pred)
        for name, value in parts.items():
            self._parts[name].update_state(value)
        return self._weighted(parts)

    def moved_loss(self, **arguments: Any) -> Any:
        """The same sum, which is not shown."""
        return self._weighted(self._values(*(arguments[name] for name in ("x", "y", "y_pred"))))

    def _weighted(self, parts: dict[str, Any]) -> Any:
        return sum(getattr(self.losses_wanted, name) * value for name, value in parts.items()) / _replicas()

    def _values(self, x: Any, y: Any, y_pred: Any) -> dict[str, Any]:
        wanted, mask = self.losses_wanted, x["padding_mask"]
        parts = {}
        if wanted.soft:
            parts["soft"] = self._soft(y["soft"], stacked_logits(y_pred["outputs"]), mask)
        if wanted.hard:
            # Keras's own losses come divided by the number of replicas.
            parts["hard"] = _replicas() * self.student.compute_loss(
                x=x, y=y["hard"], y_pred=y_pred["outputs"], sample_weight=self._hard_weights(y)
            )
        if self._teacher_trunk is not None:
            parts |= self._inner(y_pred["hidden"], y_pred["teacher_hidden"], mask)
        return parts

    def _hard_weights(self, y: Any) -> Any:
        """Of each output's targets, `[batch]`, or `[batch, 1]` where each token has one; None where all weigh alike."""
        if "weight" not in y:
            return None
        weight = y["weight"][:, None] if self.student.task == "token_classification" else y["weight"]
        return keras.tree.map_structure(lambda _: weight, y["hard"])

    def _soft(self, teacher: Any, student: Any, mask: Any) -> Any:
        task, temperature = self.student.task, self.losses_wanted.temperature
        if task == "token_classification":
            return distillation.soft_label_loss(teacher, student, temperature, mask)
        if task == "question_answering":  # the alternatives are the tokens
            hidden = ops.expand_dims((1 - ops.cast(mask, "float32")) * _HIDDEN, -1)
            teacher, student = (ops.transpose(ops.cast(z, "float32") + hidden, (0, 2, 1)) for z in (teacher, student))
            return distillation.soft_label_loss(teacher, student, temperature)
        if self.student.problem_type == "regression":
            return distillation.hidden_loss(teacher, student)
        if self.student.problem_type == "multi_label_classification":  # each label is yes or no
            teacher, student = (ops.stack([z, ops.zeros_like(z)], axis=-1) for z in (teacher, student))
        return distillation.soft_label_loss(teacher, student, temperature)

    def _inner(self, mine: Any, theirs: Any, mask: Any) -> dict[str, Any]:
        wanted, parts = self.losses_wanted, {}
        assert self.teacher is not None
        layers = len(mine) - 1
        of_teacher = [round(layer * (len(theirs) - 1) / layers) for layer in range(layers + 1)]
        if wanted.hidden:
            project = self.projection or (lambda states: states)
            values = [
                distillation.hidden_loss(theirs[other], project(mine[layer]), mask)
                for layer, other in enumerate(of_teacher)
            ]
            parts["hidden"] = sum(values) / len(values)
        if wanted.attention:
            values = [
                distillation.attention_loss(
                    _scores(self.teacher, theirs, other - 1), _scores(self.student, mine, layer - 1), mask
                )
                for layer, other in list(enumerate(of_teacher))[1:]
            ]
            parts["attention"] = sum(values) / len(values)
        if wanted.relations:
            layer = self.teacher.config.num_layers - 1 if wanted.relation_layer is None else wanted.relation_layer
            heads = self._relation_heads(self.teacher)
            parts["relations"] = sum(
                distillation.relation_loss(
                    _projected(self.teacher, theirs, layer, name),
                    _projected(self.student, mine, self.student.config.num_layers - 1, name),
                    heads,
                    mask,
                )
                for name in ("query", "key", "value")
            )
        return parts


def _trunk(model: Any) -> keras.Model:
    """The encoder with its hidden states among its outputs: the embedding's, then one a layer."""
    encoder = model.encoder
    inner = encoder.config.layers_per_group
    states = [encoder.hidden_states[0], *encoder.hidden_states[inner::inner]]
    return keras.Model(encoder.input, {**encoder.output, "hidden": states})


def _read_by(trunk: keras.Model, inputs: Any) -> dict[str, Any]:
    """Those of `inputs` that an encoder has: of teacher and student one may have segments and the other none."""
    return {tensor.name: inputs[tensor.name] for tensor in trunk.inputs}


def _task_outputs(model: Any, found: Any) -> Any:
    """What the task model computes from its encoder's outputs."""
    if model.task == "sequence_classification":
        pooled = model.needs_pooler(get_family(model.config.family))
        return model.head(found["pooled_output"] if pooled else found["sequence_output"][:, 0])
    logits = model.head(found["sequence_output"])
    if model.task == "question_answering":
        return {"start_logits": logits[:, :, 0], "end_logits": logits[:, :, 1]}
    return logits


def _projected(model: Any, hidden: Any, layer: int, name: str) -> Any:
    """Queries, keys or values of a layer, from the hidden states it reads."""
    config = model.config
    block = model.encoder.blocks[config.block_schedule[layer * config.layers_per_group]]
    return getattr(block.attention, name)(hidden[layer])


def _scores(model: Any, hidden: Any, layer: int) -> Any:
    query, key = (_projected(model, hidden, layer, name) for name in ("query", "key"))
    return distillation.attention_scores(query, key, model.config.num_heads)


def _replicas() -> int:
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync
