"""Write edge/web/characters.js anew: the classes of characters that the `tokenizers` package knows.

Its tables are of an older Unicode than a browser's, and each browser has its own: a letter, an accent or an emoji that
one does not know yet is to be read as in training all the same.

Example:
    python tests/edge/make_characters.py
"""

from __future__ import annotations

import itertools
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

MODULE = Path(__file__).parents[2] / "edge" / "web" / "characters.js"
WIDTH = 112
HEAD = """// The classes of characters of BERT's normaliser and pre-tokeniser as the `tokenizers` package has them,
// whatever Unicode a browser knows. Written by tests/edge/make_characters.py.
"""


def classes() -> dict[str, list[int]]:
    """The code points that are dropped as control characters, dropped as accents, and words of their own."""
    plain = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    cleaning, stripping = (BertNormalizer(**{**plain, name: True}) for name in ("clean_text", "strip_accents"))
    splitting = BertPreTokenizer()
    found: dict[str, list[int]] = {"CONTROL": [], "MARK": [], "PUNCTUATION": []}
    for code in itertools.chain(range(0xD800), range(0xE000, sys.maxunicode + 1)):
        text = f"a{chr(code)}b"
        if cleaning.normalize_str(text) == "ab":
            found["CONTROL"].append(code)
        elif unicodedata.normalize("NFD", chr(code)) == chr(code) and stripping.normalize_str(text) == "ab":
            found["MARK"].append(code)
        elif len(splitting.pre_tokenize_str(text)) == 3:
            found["PUNCTUATION"].append(code)
    return found


def pattern(codes: Iterable[int]) -> str:
    """A class of a regular expression with the flag u."""
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    parts = (rf"\u{{{low:x}}}" + (rf"-\u{{{high:x}}}" if high > low else "") for low, high in ranges)
    lines = [""]
    for part in parts:
        if len(lines[-1]) + len(part) > WIDTH:
            lines.append("")
        lines[-1] += part
    return "\n".join(f'  + "{line}"'.replace("\\", "\\\\") for line in lines)


def main() -> None:
    parts = [
        f'export const {name} = new RegExp("["\n{pattern(codes)}\n  + "]", "u");\n' for name, codes in classes().items()
    ]
    MODULE.write_text(HEAD + "\n" + "\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
