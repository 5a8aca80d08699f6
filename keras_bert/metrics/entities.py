"""Entity precision, recall and F1 as the CoNLL-2003 shared task scores (Tjong Kim Sang and De Meulder 2003):
an entity is right where its type and both its ends are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import DataError


class EntitySpan(NamedTuple):
    """Words `first` to `last`, both inside, are one entity of the kind `type`."""

    type: str
    first: int
    last: int


def entity_spans(tags: Sequence[str], *, strict: bool = True) -> list[EntitySpan]:
    """The entities of one sentence of IOB2 tags (`B-X` opens, `I-X` goes on, anything else closes), in order.

    Args:
        strict: an `I-X` that follows neither `B-X` nor `I-X` is no entity (seqeval's strict IOB2). Otherwise it opens
            one, as in the shared task's script `conlleval`.
    """
    spans: list[EntitySpan] = []
    open_type: str | None = None
    for index, tag in enumerate(tags):
        prefix, kind = tag[:2], tag[2:]
        if prefix == "I-" and kind == open_type:
            spans[-1] = spans[-1]._replace(last=index)
        elif prefix == "B-" or (prefix == "I-" and not strict):
            spans.append(EntitySpan(kind, index, index))
            open_type = kind
        else:
            open_type = None
    return spans


class EntityScore(NamedTuple):
    """Scores between 0 and 1 (0 where nothing was found or expected) and how many entities were expected."""

    precision: float
    recall: float
    f1: float
    support: int


class EntityScores(NamedTuple):
    """Scores over all entities (`micro`, what the shared task ranks by), their plain mean over the types (`macro`),
    and of each type, sorted by name. A type that occurs in targets or predictions counts."""

    micro: EntityScore
    macro: EntityScore
    per_type: dict[str, EntityScore]


def entity_scores(
    targets: Sequence[Sequence[str]], predictions: Sequence[Sequence[str]], *, strict: bool = True
) -> EntityScores:
    """Compare sentences of IOB2 tags, one list of tags a sentence.

    Args:
        strict: see `entity_spans`; the two agree where every sequence is legal.

    Raises:
        DataError: sentences or their tags are not equally many on both sides.
    """
    if len(targets) != len(predictions):
        raise DataError(f"targets and predictions must be equally many, got {len(targets)} and {len(predictions)}")
    expected, found, right = Counter[str](), Counter[str](), Counter[str]()
    for index, (target, prediction) in enumerate(zip(targets, predictions, strict=True)):
        if len(target) != len(prediction):
            raise DataError(f"sentence {index}: expected {len(target)} predicted tags, got {len(prediction)}")
        wanted, given = set(entity_spans(target, strict=strict)), set(entity_spans(prediction, strict=strict))
        expected.update(span.type for span in wanted)
        found.update(span.type for span in given)
        right.update(span.type for span in wanted & given)
    per_type = {kind: _score(right[kind], found[kind], expected[kind]) for kind in sorted({*expected, *found})}
    micro = _score(right.total(), found.total(), expected.total())
    count = max(len(per_type), 1)
    precision, recall, f1 = (sum(score[i] for score in per_type.values()) / count for i in range(3))
    return EntityScores(micro, EntityScore(precision, recall, f1, micro.support), per_type)


def _score(right: int, found: int, expected: int) -> EntityScore:
    precision = right / found if found else 0.0
    recall = right / expected if expected else 0.0
    return EntityScore(precision, recall, 2 * right / (found + expected) if found + expected else 0.0, expected)
