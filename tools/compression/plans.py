"""The few combinations of tools that make sense for a model, from the mildest to the hardest."""

from __future__ import annotations

import dataclasses

from keras_bert.config import EncoderConfig


@dataclasses.dataclass(frozen=True)
class Stage:
    """One run of a job: its name in files, the job, the numbers among its own options by name, and the others."""

    name: str
    job: str
    numbers: tuple[tuple[str, int], ...]
    others: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Of what so many stay: `vocabulary`, `layers`, `heads`, `feedforward`."""
        return dict(self.numbers)

    @property
    def options(self) -> tuple[str, ...]:
        """As the command line has them."""
        return (*(part for name, number in self.numbers for part in (f"--{name}", str(number))), *self.others)


@dataclasses.dataclass(frozen=True)
class Plan:
    """Stages on the way from the teacher to a file, and the recipe of the file at the end."""

    stages: tuple[Stage, ...]
    recipe: str = "dynamic_int8"

    @property
    def name(self) -> str:
        """`vocabulary+layers3, dynamic_int8`."""
        return f"{'+'.join(stage.name for stage in self.stages) or 'teacher'}, {self.recipe}"

    def begins(self, other: Plan) -> bool:
        """Whether it is the int8 file of a stage on the way to the other's."""
        shorter = len(self.stages) < len(other.stages)
        return self.recipe == "dynamic_int8" and shorter and self.stages == other.stages[: len(self.stages)]


def plans_for(config: EncoderConfig, vocabulary: int, tokens: int) -> list[Plan]:
    """Plans for a teacher of this shape, its own file first; those that would change nothing are left out.

    Args:
        vocabulary: tokens that a trimmed vocabulary keeps.
        tokens: of the teacher's tokenizer; its table may have more rows.
    """
    trimmed = [Stage("vocabulary", "prune", (("vocabulary", vocabulary),))]
    if vocabulary >= tokens:
        trimmed = []
    units = sum(config.feedforward_sizes) // config.num_blocks
    half = Stage(
        "structure",
        "prune",
        (("heads", max(1, config.num_heads // 2)), ("feedforward", max(1, units // 2))),
        ("--allocation", "global"),
    )
    layers = [
        Stage(f"layers{count}", "distill", (("layers", count),))
        for count in dict.fromkeys((config.num_layers // 2, config.num_layers // 3))
        if 1 <= count < config.num_layers
    ]
    chains: list[list[Stage]] = [[], trimmed, [*trimmed, half]]
    for stage in layers:
        chains += [[*trimmed, stage], [*trimmed, stage, half]]
    distinct = dict.fromkeys(tuple(chain) for chain in chains)
    # The same stages again with weights of 4 bits cost no training; they come after the stage's own int8 file.
    files = [Plan(chain, recipe) for chain in distinct for recipe in ("dynamic_int8", "int4")]
    return [Plan((), "float32"), *files]
