"""WordPiece as in BERT: `vocab.txt`, basic tokenisation (clean, Chinese characters, case, accents), `##` pieces.

Source: google-research/bert tokenization.py; Devlin et al. 2019.
"""

from __future__ import annotations

from collections.abc import Mapping

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from ..errors import TokenizerError
from .special_tokens import add_special, find_roles, require_roles

# BERT's own limit: a longer word becomes one unknown token.
MAX_WORD_CHARACTERS = 100


def parse_vocabulary(text: str, source: str) -> dict[str, int]:
    """Token -> id from the text of a `vocab.txt`: one token a line, the line number is the id.

    Only line feeds end a line: published vocabularies hold tokens such as U+2028 that `str.splitlines` would split at.

    Raises:
        TokenizerError: no tokens, or a token that stands twice; names the line.
    """
    vocabulary: dict[str, int] = {}
    for index, line in enumerate(text.rstrip("\r\n").split("\n")):
        token = line.removesuffix("\r")
        if not token:
            continue  # keeps the ids of the tokens below; an empty token can match nothing
        if token in vocabulary:
            raise TokenizerError(
                f"{source} line {index + 1}: token {token!r} stands already on line {vocabulary[token] + 1}"
            )
        vocabulary[token] = index
    if not vocabulary:
        raise TokenizerError(f"{source} is empty, expected one token a line")
    return vocabulary


def looks_cased(vocabulary: Mapping[str, int]) -> bool:
    """Whether a vocabulary was made without lower-casing: a token other than `[SPECIAL]` has an upper-case letter."""
    return any(token != token.lower() for token in vocabulary if not (token.startswith("[") and token.endswith("]")))


def build_wordpiece(
    vocabulary: Mapping[str, int],
    *,
    lowercase: bool,
    strip_accents: bool | None = None,
    split_chinese: bool = True,
    names: Mapping[str, str] | None = None,
    source: str = "the vocabulary",
) -> Backend:
    """The BERT pipeline over `vocabulary`.

    Args:
        lowercase: lower-case the text first.
        strip_accents: remove combining marks; None means as `lowercase` says (BERT's default).
        split_chinese: make each CJK ideograph a word of its own.
        names: role (`cls`, `sep`, `pad`, `unk`, `mask`) -> token, where other than usual.
        source: what an error message calls the vocabulary.
    """
    roles = find_roles(vocabulary.get, names or {})
    require_roles(roles, ("cls", "sep", "pad", "unk"), source)
    backend = Backend(
        models.WordPiece(
            dict(vocabulary),
            unk_token=roles["unk"],
            continuing_subword_prefix="##",
            max_input_chars_per_word=MAX_WORD_CHARACTERS,
        )
    )
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=split_chinese, strip_accents=strip_accents, lowercase=lowercase
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.post_processor = bert_template(roles, vocabulary)
    add_special(backend, vocabulary, roles)
    return backend


def bert_template(roles: Mapping[str, str], vocabulary: Mapping[str, int]) -> processors.TemplateProcessing:
    """`[CLS] A [SEP]` and `[CLS] A [SEP] B [SEP]`, the second text and its separator in segment 1 (BERT, ALBERT)."""
    cls, sep = roles["cls"], roles["sep"]
    return processors.TemplateProcessing(
        single=[f"{cls}:0", "$A:0", f"{sep}:0"],
        pair=[f"{cls}:0", "$A:0", f"{sep}:0", "$B:1", f"{sep}:1"],
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
