"""What the processor is said to do, against what NumPy found out by asking the processor itself."""

import platform
import sys

import numpy as np
import pytest

from keras_bert.processor import instruction_sets


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the names are those of Linux on x86"
)
@pytest.mark.parametrize("name", ["AVX2", "FMA3", "AVX512F"])
def test_instruction_sets(name):
    features = np._core._multiarray_umath.__cpu_features__
    assert (name.lower().removesuffix("3") in instruction_sets()) is features[name]
