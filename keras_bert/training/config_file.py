"""The TOML file of a pretraining run and the changes given beside it, as plain sections."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from ..errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_config(path: str | os.PathLike[str], changes: Iterable[str] = ()) -> dict[str, Any]:
    """The sections of a TOML file as dicts, with `section.key=value` changes; `RunConfig.from_dict` checks them.

    Raises:
        ConfigError: no such file, not TOML, or a change that is not `section.key=value`.
    """
    path = pathlib.Path(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    apply_changes(values, changes)
    return values


def apply_changes(values: dict[str, Any], changes: Iterable[str]) -> None:
    """Make `section.key=value` changes to the sections of a configuration.

    Raises:
        ConfigError: a change of another form.
    """
    for change in changes:
        key, equals, text = change.partition("=")
        section, *names = key.strip().split(".")
        if not equals or not names:
            raise ConfigError(f"--set: expected section.key=value, got {change!r}")
        table = values.setdefault(section, {})
        for name in names[:-1]:
            table = table.setdefault(name, {}) if isinstance(table, dict) else None
        if not isinstance(table, dict):
            raise ConfigError(f"--set {key}: expected a section before the last dot")
        table[names[-1]] = _value(text.strip())


def _value(text: str) -> Any:
    """A TOML value; what is none is a string as it stands."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
