"""Checks of configuration values, each a ConfigError that names the key, what was expected and what came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError


def known_keys(where: str, values: Iterable[str], known: Iterable[str]) -> None:
    """All of `values` are among `known`; `where` they stand opens the message."""
    if unknown := sorted(set(values) - set(known)):
        raise ConfigError(f"{where} has no {', '.join(unknown)}; known: {', '.join(known)}")


def typed(key: str, value: Any, kind: str) -> Any:
    """`value` as the field's type; a whole number will do for a float."""
    kind = kind.removesuffix(" | None")
    expected: Any = {"str": str, "bool": bool, "bool | str": (bool, str), "int": int, "float": (int, float)}
    fits = isinstance(value, expected.get(kind, dict)) and (kind.startswith("bool") or not isinstance(value, bool))
    texts = {"str": "a text", "bool": "true or false", "bool | str": "true, false or a text"}
    require(fits, key, texts.get(kind, kind.split("[")[0]), repr(value))
    return float(value) if kind == "float" else value


def require(condition: bool, key: str, expected: str, got: Any) -> None:
    """`condition` holds."""
    if not condition:
        raise ConfigError(f"{key}: expected {expected}, got {got}")


def one_of(key: str, value: str, known: Iterable[str]) -> None:
    """`value` is one of `known`."""
    require(value in known, key, f"one of {', '.join(known)}", repr(value))


def positive(settings: Any, section: str, *names: str) -> None:
    """Those attributes of `settings` are above 0."""
    for name in names:
        require(getattr(settings, name) > 0, f"{section}.{name}", "a number above 0", getattr(settings, name))
