"""What pip installs beside keras-bert-edge fits together on every kind of board."""

import pathlib

import pytest

PROJECT = pathlib.Path(__file__).parents[2] / "edge" / "pyproject.toml"
tomllib = pytest.importorskip("tomllib")
pytest.importorskip("packaging")

pytestmark = pytest.mark.skipif(not PROJECT.exists(), reason="the project's file is not here")


def required(machine, python):
    """{distribution: [what is asked of its version]} on a machine."""
    from packaging.requirements import Requirement

    environment = {"platform_machine": machine, "python_version": python}
    found = {}
    for line in tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            found.setdefault(requirement.name, []).append(requirement.specifier)
    return found


def allows(specifiers, version):
    return all(specifier.contains(version) for specifier in specifiers)


@pytest.mark.parametrize(
    ("machine", "python", "runtime", "numpy_2"),
    [
        ("x86_64", "3.9", "ai-edge-litert", True),
        ("x86_64", "3.13", "ai-edge-litert", True),
        ("aarch64", "3.11", "ai-edge-litert", True),
        ("armv7l", "3.9", "tflite-runtime", False),
        ("armv7l", "3.11", "tflite-runtime", False),
        ("armv7l", "3.12", None, True),
        ("armv6l", "3.11", None, True),
    ],
)
def test_each_machine_gets_one_runtime_and_a_numpy_that_it_was_built_for(machine, python, runtime, numpy_2):
    """tflite-runtime 2.14, the last, has wheels up to Python 3.11 and cannot be imported beside numpy 2."""
    found = required(machine, python)
    assert {"ai-edge-litert", "tflite-runtime"} & set(found) == ({runtime} if runtime else set())
    assert allows(found["numpy"], "1.26.4")
    assert allows(found["numpy"], "2.2.0") is numpy_2
