"""The tokenizer that travels in the file, made safe for any text."""

import re

from .errors import EdgeError

# Halves of UTF-16 pairs that Python strings can hold and UTF-8 cannot; replaced one for one, so that offsets stay true.
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


class TextTokenizer:
    """Texts to `tokenizers.Encoding`.

    Attributes:
      backend: the `tokenizers.Tokenizer`, without padding; with truncation only if `truncate` was asked for.
      max_length: longest encoding in tokens, special tokens included.
    """

    def __init__(self, content, max_length, truncate, path):
        """From the bytes of tokenizer.json.

        Raises:
          EdgeError: the `tokenizers` package cannot read it, or it adds no special tokens.
        """
        from tokenizers import Tokenizer

        try:
            self.backend = Tokenizer.from_buffer(content)
            self.backend.no_padding()
            self.backend.no_truncation()
            if truncate:
                self.backend.enable_truncation(max_length)
            special_tokens = len(self.backend.encode(""))
        except BaseException as error:
            # A panic inside `tokenizers` is no Exception; interrupts must pass.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise EdgeError(f"tokenizer.json in {path} cannot be read by the tokenizers package: {error}") from error
        if not special_tokens:
            raise EdgeError(f"tokenizer.json in {path} adds no special tokens: an empty text would be no tokens at all")
        self.max_length = max_length

    def encode(self, text, pair=None, special_tokens=True):
        """Encoding of a text or a pair; offsets count characters of the text.

        Raises:
          EdgeError: text or pair is no string.
        """
        try:
            return self.backend.encode(text, pair, add_special_tokens=special_tokens)
        except TypeError:
            for value in (text,) if pair is None else (text, pair):
                if not isinstance(value, str):
                    raise EdgeError(f"a text must be a string, not {type(value).__name__}") from None
            text = LONE_SURROGATES.sub("\ufffd", text)
            pair = None if pair is None else LONE_SURROGATES.sub("\ufffd", pair)
            return self.backend.encode(text, pair, add_special_tokens=special_tokens)

    def was_truncated(self, encoding):
        """Whether the text of this encoding was longer than max_length."""
        return len(encoding) >= self.max_length and bool(encoding.overflowing)
