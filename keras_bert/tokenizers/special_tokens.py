"""The roles that special tokens play, and the names they go by in published vocabularies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tokenizers import AddedToken
from tokenizers import Tokenizer as Backend

from ..errors import TokenizerError

# Names per role: BERT and DistilBERT, RoBERTa, ALBERT mix these two styles. The first that the vocabulary has, counts.
ROLE_NAMES: dict[str, tuple[str, ...]] = {
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "mask": ("[MASK]", "<mask>"),
}
# Specials in the order of their ids in a vocabulary trained here, as the papers' own vocabularies have them.
BERT_SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_SPECIALS = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
ALBERT_SPECIALS = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")


def find_roles(token_to_id: Callable[[str], int | None], names: Mapping[str, str]) -> dict[str, str]:
    """Role -> token, for each role whose token the vocabulary has.

    Args:
        token_to_id: looks a token up in the vocabulary; None says that it is not there.
        names: role -> token where the tokenizer's own files say so; these go before the usual names.

    Raises:
        TokenizerError: `names` holds a token that the vocabulary lacks.
    """
    roles = {}
    for role, usual in ROLE_NAMES.items():
        if role in names and token_to_id(names[role]) is None:
            raise TokenizerError(f"the {role} token {names[role]!r} is not in the vocabulary")
        candidates = (names[role],) if role in names else usual
        found = next((name for name in candidates if token_to_id(name) is not None), None)
        if found is not None:
            roles[role] = found
    return roles


def require_roles(roles: Mapping[str, str], required: Iterable[str], source: str) -> None:
    """Raise TokenizerError when a role of `required` has no token."""
    for role in required:
        if role not in roles:
            usual = " or ".join(ROLE_NAMES[role])
            raise TokenizerError(f"{source} has no {role} token: expected {usual}, or a name in tokenizer_config.json")


def add_special(
    backend: Backend, vocabulary: Mapping[str, int], roles: Mapping[str, str], mask_strips_left: bool = False
) -> None:
    """Make the role tokens unsplittable: the text `[MASK]` is then one token, whatever the normaliser does.

    Args:
        mask_strips_left: whether the mask takes the space before it, as RoBERTa's does (" <mask>" is one token).
    """
    backend.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True, lstrip=mask_strips_left and role == "mask")
            for role, token in sorted(roles.items(), key=lambda item: vocabulary[item[1]])
        ]
    )
