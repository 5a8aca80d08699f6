"""Text to token ids: WordPiece (BERT, DistilBERT), byte-level BPE (RoBERTa), SentencePiece Unigram (ALBERT)."""

from .encoding import Encoding
from .tokenizer import Tokenizer

__all__ = ["Encoding", "Tokenizer"]
