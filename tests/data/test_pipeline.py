"""Pipelines end when they are told to."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_bert.data.pipeline import generated_dataset, read_ahead

pytestmark = pytest.mark.tensorflow_only


def test_a_generator_is_read_anew_at_each_pass_and_a_few_batches_ahead():
    passes, given = itertools.count(), []

    def batches():
        number = next(passes)
        for i in range(20):
            given.append(i)
            yield np.full((2,), 100 * number + i, "int32")

    dataset = generated_dataset(batches, tf.TensorSpec((2,), tf.int32), 20)
    assert int(dataset.cardinality()) == 20
    for number in range(2):
        assert [int(batch[0]) for batch in dataset] == [100 * number + i for i in range(20)]
    given.clear()
    iterator = iter(dataset)
    next(iterator)
    del iterator
    assert 1 <= len(given) <= 5


def test_nothing_is_tuned_whose_thread_an_iterator_would_wait_for():
    for dataset in (read_ahead(tf.data.Dataset.range(9)), read_ahead(tf.data.Dataset.range(9)).map(lambda x: x + 1)):
        assert dataset.options().autotune.enabled is False
