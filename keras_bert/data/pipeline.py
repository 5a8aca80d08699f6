"""`tf.data` pipelines that are no slower to end than to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

AHEAD = 2


def generated_dataset(batches: Callable[[], Iterator[Any]], signature: Any, count: int) -> Any:
    """A `tf.data.Dataset` of what a generator yields.

    Args:
        batches: called at each pass. signature: of what it yields, `tf.TensorSpec`s. count: batches of a pass.
    """
    import tensorflow as tf

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return read_ahead(dataset.apply(tf.data.experimental.assert_cardinality(count)))


def read_ahead(dataset: Any, batches: int = AHEAD) -> Any:
    """The dataset with `batches` made ahead of the reader, and without tf.data's autotuning unless it asks for it.

    Autotuning has a thread that sleeps between two looks for twice as long each time, up to a minute. An iterator that
    is deleted waits for it: TensorFlow 2.21 wakes the thread before the cancellation that it looks for is set, and it
    sleeps on. So every epoch, every evaluation and every run ended with seconds of nothing.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = bool(dataset.options().autotune.enabled)
    return dataset.prefetch(batches).with_options(options)
