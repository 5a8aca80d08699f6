"""The families by name."""

from __future__ import annotations

from ..errors import ConfigError
from .albert import ALBERT
from .bert import BERT
from .distilbert import DISTILBERT
from .family import Family
from .roberta import ROBERTA

FAMILIES: dict[str, Family] = {family.name: family for family in (BERT, DISTILBERT, ROBERTA, ALBERT)}


def get_family(name: str) -> Family:
    """The family called `name`.

    Raises:
        ConfigError: there is no such family.
    """
    if name not in FAMILIES:
        raise ConfigError(f"unknown model family {name!r}: expected one of {', '.join(FAMILIES)}")
    return FAMILIES[name]
