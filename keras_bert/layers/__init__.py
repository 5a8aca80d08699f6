"""Keras layers of the BERT family, on `keras.ops` alone."""

from .attention import AttentionBias, SelfAttention
from .dense import Dense
from .dropout import Dropout, dropout_seed
from .embeddings import TextEmbedding
from .fake_quantization import FakeQuantizer, QuantizationSpec
from .fusion import fused_elementwise
from .heads import ClassificationHead, MaskedLMHead, Pooling
from .transformer import TransformerBlock
from .window_pooling import WindowMixer, WindowPooling

__all__ = [
    "AttentionBias",
    "ClassificationHead",
    "Dense",
    "Dropout",
    "FakeQuantizer",
    "MaskedLMHead",
    "Pooling",
    "QuantizationSpec",
    "SelfAttention",
    "TextEmbedding",
    "TransformerBlock",
    "WindowMixer",
    "WindowPooling",
    "dropout_seed",
    "fused_elementwise",
]
