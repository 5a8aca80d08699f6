"""The dense layer of all our layers: Keras's own, which can be trained for integers."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from .fake_quantization import FakeQuantizer, QuantizationSpec
from .product import product


def add_bias(x: Any, bias: Any) -> Any:
    """`[..., n]` plus `[n]`, with a gradient of the bias that is summed in float32.

    `ops.add(x, bias)` is TensorFlow's BiasAdd, whose gradient a CPU sums in 16 bits where those are the dtype: over a
    batch of some thousand tokens it is off by a tenth to the whole of itself. `ops.add(bias, x)` is its Add.
    """
    return ops.add(x, bias) if keras.backend.standardize_dtype(x.dtype) == "float32" else ops.add(bias, x)


@keras.saving.register_keras_serializable(package="keras_bert")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`; after `enable_fake_quantization` it computes as an integer runtime would.

    Attributes:
        quantizer: the `FakeQuantizer`, or None.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Not an attribute of the class: PyTorch's modules would find that one before the layer set later.
        self.quantizer: FakeQuantizer | None = None

    def enable_fake_quantization(self, spec: QuantizationSpec) -> FakeQuantizer:
        """Let the layer, which is built, round as `spec` says; functions traced before do not see it.

        Raises:
            ConfigError: the spec's blocks do not divide the layer's inputs.
        """
        quantizer = FakeQuantizer(spec, name="quantizer")
        quantizer.build(*self.kernel.shape)
        # Keras takes no new state in a layer that is built, except by the way its own quantisation goes.
        self._tracker.unlock()
        self.quantizer = quantizer
        self._tracker.lock()
        return quantizer

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.quantizer is not None:
            y = self.quantizer(inputs, self.kernel, self.bias)
        else:
            y = product(inputs, self.kernel)
            y = y if self.bias is None else add_bias(y, self.bias)
        return y if self.activation is None else self.activation(y)
