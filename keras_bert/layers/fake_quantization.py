"""Fake quantisation: training sees the rounding that an integer runtime will do (Jacob et al. 2018, section 3).

Values are rounded to the grid of the integer type and stay float32. Rounding has no useful gradient, so that of the
identity is taken (straight through) where a value lies inside the range, and none where it is clipped; there the
range's bound takes it, which is how ranges learn (PACT, Choi et al. 2018; TensorFlow's `fake_quant_with_min_max_vars`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
from keras import ops

from ..errors import ConfigError
from .product import product

_LOW, _HIGH = -128, 127  # of int8
# A range is its starting value times 1 + 20 * offset: an optimizer that moves weights by 5e-5 a step moves the range
# by up to 0.1% a step, whatever its size.
_GAIN = 20.0


@dataclasses.dataclass(frozen=True)
class QuantizationSpec:
    """What of a dense layer is rounded.

    Attributes:
        weight_bits: 8 or 4; symmetric, without the lowest number at 8 bits.
        block_size: inputs that share a scale, a divisor of the layer's; 0: one scale an output channel.
        activations: whether input and output are rounded to int8, each with one range.
    """

    weight_bits: int = 8
    block_size: int = 0
    activations: bool = True

    def __post_init__(self) -> None:
        if self.weight_bits not in (4, 8):
            raise ConfigError(f"weight_bits: expected 4 or 8, got {self.weight_bits}")


def grid(low: Any, high: Any) -> tuple[Any, Any]:
    """Scale and zero point of the int8 grid over `low` to `high`, in which 0 has a number of its own.

    Args:
        low: float32, 0 or below. high: float32, above 0.
    """
    scale = (high - low) / (_HIGH - _LOW)
    return scale, ops.clip(ops.round(_LOW - low / scale), _LOW, _HIGH)


def fake_quantize(x: Any, low: Any, high: Any) -> Any:
    """`x` rounded to the 256 numbers of `grid(low, high)`; gradients reach `x` where it is inside, else the bound."""
    scale, zero_point = grid(low, high)
    bottom, top = (scale * (number - zero_point) for number in (_LOW, _HIGH))
    bottom, top = (bound + ops.stop_gradient(exact - bound) for bound, exact in ((low, bottom), (high, top)))
    clipped = ops.minimum(ops.maximum(x, bottom), top)
    rounded = scale * ops.round(clipped / scale)
    return clipped + ops.stop_gradient(rounded - clipped)


def weight_scales(kernel: Any, clip: Any, bits: int) -> Any:
    """Scales of a kernel `[in, out]` in blocks: largest magnitude of each, times its `clip`, over the largest number.

    Args:
        clip: `[blocks, out]`, share of the largest magnitude that has a number.

    Returns:
        `[blocks, out]`; 1 for a block of zeros.
    """
    blocks, out = clip.shape
    largest = ops.max(ops.abs(ops.reshape(kernel, (blocks, -1, out))), axis=1)
    scales = largest * clip / (2 ** (bits - 1) - 1)
    return ops.where(scales == 0, ops.ones_like(scales), scales)


def fake_quantize_weights(kernel: Any, clip: Any, bits: int) -> Any:
    """`kernel` `[in, out]` rounded to its symmetric grid of `bits` bits; the gradient goes straight through."""
    blocks, out = clip.shape
    top = 2 ** (bits - 1) - 1
    scales = ops.expand_dims(weight_scales(kernel, clip, bits), 1)
    numbers = ops.clip(ops.round(ops.reshape(kernel, (blocks, -1, out)) / scales), -top if bits == 8 else -8, top)
    rounded = ops.reshape(numbers * scales, kernel.shape)
    return kernel + ops.stop_gradient(rounded - kernel)


class FakeQuantizer(keras.layers.Layer):
    """What a dense layer `[..., in]` to `[..., out]` would compute in integers.

    The input is multiplied by `input_scale` and the kernel's rows divided by it, the output divided by `output_scale`
    before it is rounded and multiplied after: nothing changes but which channels get the resolution (SmoothQuant).

    Attributes:
        input_scale, output_scale: constants `[in]`, `[out]`. clip: constant `[blocks, out]`, see `weight_scales`.
        input_range, output_range: where they start, constants `[2]`; input_offset, output_offset: what is learned.
    """

    def __init__(self, spec: QuantizationSpec, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec

    def build(self, inputs: int, outputs: int) -> None:
        """Make the variables.

        Raises:
            ConfigError: the blocks do not divide the inputs.
        """
        block = self.spec.block_size or inputs
        if inputs % block:
            raise ConfigError(f"block_size: expected a divisor of the layer's {inputs} inputs, got {block}")

        def add(name: str, shape: tuple[int, ...], initializer: str = "ones", trainable: bool = False) -> Any:
            return self.add_weight(name=name, shape=shape, initializer=initializer, trainable=trainable)

        self.clip = add("clip", (inputs // block, outputs))
        if self.spec.activations:
            self.input_scale, self.output_scale = add("input_scale", (inputs,)), add("output_scale", (outputs,))
            self.input_range, self.output_range = add("input_range", (2,)), add("output_range", (2,))
            self.input_offset, self.output_offset = (
                add(name, (2,), "zeros", trainable=True) for name in ("input_offset", "output_offset")
            )
        self.built = True

    def bounds(self, name: str) -> Any:
        """The range `[low, high]` of `input` or `output` as it is now; low is at most 0, high above."""
        start, offset = (getattr(self, f"{name}_{part}") for part in ("range", "offset"))
        return start * ops.maximum(1 + _GAIN * offset, 0.01)

    def call(self, x: Any, kernel: Any, bias: Any) -> Any:
        """`x` times `kernel` `[in, out]` plus `bias`, as integers would give it."""
        if not self.spec.activations:
            return product(x, fake_quantize_weights(kernel, self.clip, self.spec.weight_bits)) + bias
        low, high = ops.unstack(self.bounds("input"))
        x = fake_quantize(x * self.input_scale, low, high)
        kernel = kernel / ops.expand_dims(self.input_scale, 1)
        y = product(x, fake_quantize_weights(kernel, self.clip, self.spec.weight_bits)) + bias
        low, high = ops.unstack(self.bounds("output"))
        return fake_quantize(y / self.output_scale, low, high) * self.output_scale
