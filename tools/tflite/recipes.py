"""How a file's weights are stored, by name, and how far its outputs may then be from the Keras model's."""

from __future__ import annotations

import dataclasses

from .rounding import block_size_for

# The logits are what users read: this small matrix is int8 with float outputs in every integer recipe.
_LAST = "head.classifier"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One way to store matrices and tables; biases and LayerNorms are float32 in all of them.

    Attributes:
        matrices: `float32`, `float16`; `int8` or `int4`, with inputs quantised on the fly; `static`: int8 products with
            grids fixed before.
        tables: `float32`, `float16` or `int8`, one scale a row.
        tolerance: largest relative error allowed, rms(file - Keras) / rms(Keras) over all outputs.
        agreement: smallest share of decided choices (of a label, a token) that must be Keras's.
        block_size: columns of an int4 matrix that share a scale; 0: all.
        kept: names of matrices that are int8 where the others are int4 or static.
    """

    name: str
    matrices: str
    tables: str
    tolerance: float
    agreement: float
    block_size: int = 0
    kept: frozenset[str] = frozenset()

    @property
    def folded(self) -> bool:
        """Whether the graph's foldings are done; grids are those of what the Keras layers read and give."""
        return self.matrices != "static"

    @property
    def calibrated(self) -> bool:
        """Whether channels are evened out and biases corrected by what matrices read (`calibrate`)."""
        return self.matrices in ("int8", "int4")

    @property
    def needs_texts(self) -> bool:
        """Whether it is measured on texts such as the model will read: `quantize` makes it, and `export` does not."""
        return self.matrices in ("int4", "static")

    def kind(self, name: str, columns: int) -> str:
        """How the matrix `name` with that many columns is stored: one of the values of `matrices`."""
        odd = self.matrices == "int4" and columns % 2  # two numbers share a byte, and no row begins inside one
        special = self.needs_texts and (name in self.kept or name == _LAST)
        return "int8" if odd or special else self.matrices

    def matrix_bytes(self, name: str, rows: int, columns: int) -> int:
        """Bytes of a matrix, its scales and zero points included."""
        count, kind = rows * columns, self.kind(name, columns)
        if kind in ("float32", "float16"):
            return _BYTES[kind] * count
        if kind == "static":  # scales of the matrix and of the bias, and two vectors of factors
            return count + 24 * rows + 4 * (rows + columns)
        if kind == "int4":
            block = block_size_for(columns, self.block_size)
            return count // 2 + (2 * count // block if block else 12 * rows)
        return count + 12 * rows

    def table_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a table, its scales included."""
        return _BYTES[self.tables] * rows * columns + (4 * rows if self.tables == "int8" else 0)


_BYTES = {"float32": 4, "float16": 2, "int8": 1}

# The tolerances leave room above what was measured on real text: float32 differs by the order of additions alone (1e-6,
# growing with depth); float16 keeps 11 bits of a weight (measured 3e-4 to 1e-3); int8 keeps 8 bits of weights and of
# activations (measured 0.02 on fine-tuned models, up to 0.08 on random weights, whose logits hardly vary).
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", "float32", "float32", tolerance=1e-4, agreement=1.0),
        Recipe("float16", "float16", "float16", tolerance=5e-3, agreement=1.0),
        Recipe("dynamic_int8", "int8", "int8", tolerance=0.15, agreement=0.97),
        Recipe("static_int8", "static", "int8", tolerance=0.4, agreement=0.9),
        Recipe("int4", "int4", "int8", tolerance=0.5, agreement=0.9, block_size=32),
        Recipe("mixed", "int4", "int8", tolerance=0.3, agreement=0.95, block_size=32),
    )
}
# Those that a model can be trained for.
TRAINED = ("static_int8", "int4")
