"""SentencePiece Unigram as in ALBERT: `spiece.model`, with ALBERT's normalisation.

Source: Kudo 2018 (Unigram language model); Lan et al. 2020 (ALBERT). The pipeline is the one of Hugging Face's
AlbertTokenizer, which differs from plain SentencePiece in one thing: after a user-defined symbol (`-`, `.`, ...) the
rest of the word is begun anew with `▁`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from ..errors import TokenizerError
from .sentencepiece_model import BYTE, CONTROL, UNIGRAM, UNKNOWN, UNUSED, USER_DEFINED, SentencePieceModel
from .special_tokens import add_special, find_roles, require_roles
from .wordpiece import bert_template


def read_sentencepiece(
    data: bytes,
    *,
    lowercase: bool = True,
    keep_accents: bool = False,
    names: Mapping[str, str] | None = None,
    source: str = "spiece.model",
) -> Backend:
    """ALBERT's pipeline for the bytes of a `spiece.model`; arguments as for `build_unigram`.

    Raises:
        TokenizerError: unreadable, not a Unigram model, or without ALBERT's special tokens.
    """
    model = SentencePieceModel.from_bytes(data, source)
    if model.model_type != UNIGRAM:
        raise TokenizerError(
            f"{source}: expected a Unigram model (type 1), got SentencePiece model type {model.model_type}"
        )
    other = next((piece for piece, _, kind in model.pieces if kind in (UNUSED, BYTE)), None)
    if other is not None:
        raise TokenizerError(f"{source}: the piece {other!r} is an unused one or a byte, which ALBERT has none of")
    unknown = [index for index, (_, _, kind) in enumerate(model.pieces) if kind == UNKNOWN]
    if len(unknown) != 1:
        raise TokenizerError(f"{source}: expected one unknown piece, got {len(unknown)}")
    return build_unigram(
        [(piece, score) for piece, score, _ in model.pieces],
        unknown[0],
        charsmap=model.charsmap,
        fixed=[(piece, kind == CONTROL) for piece, _, kind in model.pieces if kind in (CONTROL, USER_DEFINED)],
        lowercase=lowercase,
        keep_accents=keep_accents,
        names=names,
        source=source,
    )


def build_unigram(
    pieces: Sequence[tuple[str, float]],
    unk_id: int,
    *,
    charsmap: bytes = b"",
    fixed: Sequence[tuple[str, bool]] = (),
    lowercase: bool = True,
    keep_accents: bool = False,
    names: Mapping[str, str] | None = None,
    source: str = "the vocabulary",
) -> Backend:
    """ALBERT's pipeline over `pieces`.

    Args:
        pieces: (text, log probability) in the order of ids.
        charsmap: SentencePiece's compiled character map (NFKC and its kin), empty for none.
        fixed: (piece, whether it is special) that are matched in the raw text and never split.
        lowercase, keep_accents: ALBERT's settings.
        names: role (`cls`, `sep`, `pad`, `unk`, `mask`) -> token, where other than usual.
        source: what an error message calls the vocabulary.
    """
    vocabulary = {piece: index for index, (piece, _) in enumerate(pieces)}
    if len(vocabulary) != len(pieces):
        raise TokenizerError(f"{source}: {len(pieces) - len(vocabulary)} pieces stand twice")
    roles = find_roles(vocabulary.get, names or {})
    require_roles(roles, ("cls", "sep", "pad", "unk"), source)
    backend = Backend(models.Unigram(list(pieces), unk_id=unk_id, byte_fallback=False))
    backend.normalizer = normalizers.Sequence(albert_normalizers(lowercase, keep_accents, charsmap))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")]
    )
    backend.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    backend.post_processor = bert_template(roles, vocabulary)
    add_special(backend, vocabulary, roles)
    backend.add_tokens([AddedToken(piece, normalized=False, special=special) for piece, special in fixed])
    return backend


def albert_normalizers(lowercase: bool, keep_accents: bool, charsmap: bytes) -> list[normalizers.Normalizer]:
    """ALBERT's steps: TeX quotes become `"`, accents go, lower case, then SentencePiece's own character map."""
    steps: list[normalizers.Normalizer] = [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not keep_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if lowercase:
        steps.append(normalizers.Lowercase())
    if charsmap:
        steps.append(normalizers.Precompiled(charsmap))
    return steps
