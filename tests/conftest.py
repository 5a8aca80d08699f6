"""What all tests share: quiet TensorFlow, seeds, and the marker of tests that need the TensorFlow backend."""

from __future__ import annotations

import gc
import os
import sys

from xla_flags import xla_flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("XLA_FLAGS", xla_flags())
# Two processes share the cores (tox.ini): with threads of their own for every operation they wait for one another.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import pytest

pytest.register_assert_rewrite("harness", "checkpoint_files")

# What takes longest comes first: two processes share the files, and neither should be left alone with these at the end.
LONGEST = ("training/test_distributed.py", "compression", "tools", "training")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "backend: also run with KERAS_BACKEND=jax and torch (`pytest -m backend`)")
    config.addinivalue_line("markers", "tensorflow_only: needs Keras on the TensorFlow backend")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    places = [config.rootpath / "tests" / name for name in LONGEST]

    def place(item: pytest.Item) -> int:
        return next((i for i, longest in enumerate(places) if item.path.is_relative_to(longest)), len(places))

    items.sort(key=place)
    if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow":
        return
    skip = pytest.mark.skip(reason="needs the TensorFlow backend")
    for item in items:
        if item.get_closest_marker("tensorflow_only"):
            item.add_marker(skip)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Saves what tests of tiny models never earn back: TensorFlow's graph optimizer on each function, and collections
    of garbage that look through all of TensorFlow's and Keras's own objects again (6 to 9% of tests that train)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    if tensorflow := sys.modules.get("tensorflow"):
        tensorflow.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Weights, dropout and masks of a test, and of fixtures made for it, are the same whatever ran before it."""
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(7)


@pytest.fixture
def unallocated():
    """Models built inside have variables with shapes but no memory: large presets can be counted."""
    import keras

    with keras.StatelessScope(initialize_variables=False):
        yield
    # Without the search for garbage that it ends with: it would look through the heap of all tests, once a model.
    keras.utils.clear_session(free_memory=False)
