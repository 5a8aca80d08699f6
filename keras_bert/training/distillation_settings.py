"""The section of a pretraining configuration that names a teacher."""

from __future__ import annotations

import dataclasses

from .config_checks import one_of, positive, require


@dataclasses.dataclass(frozen=True, kw_only=True)
class DistillationSettings:
    """Learning from a teacher beside the text: DistilBERT's triple loss (Sanh et al. 2019, section 3).

    L = soft * KL of the predictions at masked places + masked * L_MLM + cosine * (1 - cos of the last hidden states).
    The weights and the temperature are those of its published training (transformers,
    `research_projects/distillation`).

    Attributes:
        teacher: a checkpoint with a masked-language-model head; empty: no teacher.
        layers: start the student from so many of the teacher's layers, from the first to the last, evenly; 0: as
            `[model]` says. family: `distilbert` makes a DistilBERT of a BERT's layers; empty is the teacher's own.
        soft, masked, cosine: weights. temperature: of the soft labels.
    """

    teacher: str = ""
    layers: int = 0
    family: str = ""
    soft: float = 5.0
    masked: float = 2.0
    cosine: float = 1.0
    temperature: float = 2.0

    def check(self) -> None:
        for name in ("layers", "soft", "masked", "cosine"):
            require(getattr(self, name) >= 0, f"distillation.{name}", "0 or more", getattr(self, name))
        positive(self, "distillation", "temperature")
        require(self.soft + self.masked + self.cosine > 0, "distillation", "a weight above 0", "none")
        one_of("distillation.family", self.family, ("", "distilbert"))
        require(self.layers > 0 or not self.family, "distillation.layers", "a number above 0 with a family", "0")

    @property
    def wanted(self) -> bool:
        """Whether the run has a teacher."""
        return bool(self.teacher or self.layers)
