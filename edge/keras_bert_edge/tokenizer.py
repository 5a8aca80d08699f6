"""The tokenizer that travels in the file, made safe for any text."""

import re

from .errors import EdgeError
from .memory import require_memory_for_text

# Halves of UTF-16 pairs that Python strings can hold and UTF-8 cannot; replaced one for one, so that offsets stay true.
LONE_SURROGATES = re.compile("[\ud800-\udfff]")


class TextTokenizer:
    """Texts to `tokenizers.Encoding`, those that are too long to CutEncoding.

    Attributes:
      backend: the `tokenizers.Tokenizer`, without padding and truncation.
      max_length: longest encoding in tokens, special tokens included.
    """

    def __init__(self, content, max_length, truncate, path):
        """From the bytes of tokenizer.json; with `truncate`, texts are cut at max_length.

        Raises:
          EdgeError: the `tokenizers` package cannot read it, it adds no special tokens, or more than fit.
        """
        from tokenizers import Tokenizer

        try:
            self.backend = Tokenizer.from_buffer(content)
            self.backend.no_padding()
            self.backend.no_truncation()
            special_tokens = len(self.backend.encode(""))
            most_special_tokens = max(special_tokens, len(self.backend.encode("", "")))
        except BaseException as error:
            # A panic inside `tokenizers` is no Exception; interrupts must pass.
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise EdgeError(f"tokenizer.json in {path} cannot be read by the tokenizers package: {error}") from error
        if not special_tokens:
            raise EdgeError(f"tokenizer.json in {path} adds no special tokens: an empty text would be no tokens at all")
        if most_special_tokens > max_length:
            raise EdgeError(
                f"tokenizer.json in {path} adds {most_special_tokens} special tokens, and the model reads {max_length}"
            )
        self.max_length = max_length
        self._longest = max_length if truncate else None

    def encode(self, text, pair=None, special_tokens=True):
        """Encoding of a text or a pair; offsets count characters of the text.

        Raises:
          EdgeError: text or pair is no string.
        """
        encoding = self._whole(text, pair, special_tokens)
        if self._longest is None or len(encoding) <= self._longest:
            return encoding
        return CutEncoding(encoding, 1 if pair is None else 2, self._longest)

    def _whole(self, text, pair, special_tokens):
        require_memory_for_text(sum(len(value) for value in (text, pair) if isinstance(value, str)))
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
        return isinstance(encoding, CutEncoding)


class CutEncoding:
    """The start of each text of a `tokenizers.Encoding`, its special tokens kept: its columns by the same names.

    The package's own truncation keeps what it cuts off too, of a pair every piece of the one text joined with every
    piece of the other: seconds and gigabytes for two long texts.
    """

    def __init__(self, whole, num_texts, max_length):
        owners = whole.sequence_ids
        lengths = [owners.count(text) for text in range(num_texts)]
        left = kept_lengths(lengths, max_length - owners.count(None))
        kept = []
        for index, owner in enumerate(owners):
            if owner is not None:
                left[owner] -= 1
            if owner is None or left[owner] >= 0:
                kept.append(index)

        def column(values):
            return [values[index] for index in kept]

        self.ids = column(whole.ids)
        self.type_ids = column(whole.type_ids)
        self.tokens = column(whole.tokens)
        self.offsets = column(whole.offsets)
        self.word_ids = column(whole.word_ids)
        self.sequence_ids = column(owners)

    def __len__(self):
        return len(self.ids)


def kept_lengths(lengths, room):
    """How many tokens of one or two texts that are too long stay: the longer is cut to the shorter, then both evenly.

    An odd token stays with the longer, or the second of equals ("longest_first" of the `tokenizers` package).
    """
    if len(lengths) == 1:
        return [room]
    short, long = sorted(lengths)
    long = max(short, room - short)
    if short + long > room:
        short, long = room // 2, room - room // 2
    return [long, short] if lengths[0] > lengths[1] else [short, long]
