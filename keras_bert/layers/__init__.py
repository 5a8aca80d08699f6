"""Keras layers of the BERT family, on `keras.ops` alone."""

from .attention import AttentionBias, SelfAttention
from .embeddings import TextEmbedding
from .heads import ClassificationHead, MaskedLMHead, Pooling
from .initializers import about_to_load
from .transformer import TransformerBlock

__all__ = [
    "AttentionBias",
    "ClassificationHead",
    "MaskedLMHead",
    "Pooling",
    "SelfAttention",
    "TextEmbedding",
    "TransformerBlock",
    "about_to_load",
]
