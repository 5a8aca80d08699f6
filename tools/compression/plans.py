"""The few combinations of tools that make sense for a model, from the mildest to the hardest."""

from __future__ import annotations

import dataclasses

from keras_bert.config import EncoderConfig
from keras_bert.models.structure import spread_layers


@dataclasses.dataclass(frozen=True)
class Stage:
    """One run of a job: its name in files, the job and its own options."""

    name: str
    job: str
    options: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """Stages on the way from the teacher to a file, and the recipe of the file at the end."""

    stages: tuple[Stage, ...]
    recipe: str = "dynamic_int8"

    @property
    def name(self) -> str:
        """`vocabulary+layers3, dynamic_int8`."""
        return f"{'+'.join(stage.name for stage in self.stages) or 'teacher'}, {self.recipe}"


def plans_for(config: EncoderConfig, vocabulary: int, tokens: int, *, first_token: bool) -> list[Plan]:
    """Plans for a teacher of this shape, its own file first; those that would change nothing are left out.

    Args:
        config: the teacher's.
        vocabulary: tokens that a trimmed vocabulary keeps.
        tokens: of the teacher's tokenizer; its table may have more rows.
        first_token: the task reads the last layer at the first token alone (a classifier). The feed-forward layer there
            then stays whole: it is computed once a text, so that its units take next to no time.
    """
    trimmed = [Stage("vocabulary", "prune", ("--vocabulary", str(vocabulary)))]
    if vocabulary >= tokens:
        trimmed = []
    chains: list[list[Stage]] = [[], trimmed, [*trimmed, _half(config, config.num_layers, first_token)]]
    for count in dict.fromkeys((config.num_layers // 2, config.num_layers // 3)):
        if 1 <= count < config.num_layers:
            stage = Stage(f"layers{count}", "distill", ("--layers", str(count)))
            chains += [[*trimmed, stage], [*trimmed, stage, _half(config, count, first_token)]]
    distinct = dict.fromkeys(tuple(chain) for chain in chains)
    # The same stages again with weights of 4 bits cost no training; they come after the stage's own int8 file.
    files = [Plan(chain, recipe) for chain in distinct for recipe in ("dynamic_int8", "int4")]
    return [Plan((), "float32"), *files]


def _half(config: EncoderConfig, layers: int, first_token: bool) -> Stage:
    """Half of the heads and feed-forward units of as many of the model's layers, spread evenly."""
    sizes = [config.intermediate_size]
    if config.num_layer_groups is None:
        sizes = [config.feedforward_sizes[layer] for layer in spread_layers(config.num_layers, layers)]
    kept = [max(1, size // 2) for size in sizes]
    if first_token and len(kept) > 1:
        kept[-1] = sizes[-1]
    units = kept if len(set(kept)) > 1 else kept[:1]
    options = ("--heads", str(max(1, config.num_heads // 2)), "--feedforward", ",".join(map(str, units)))
    return Stage("structure", "prune", options)
