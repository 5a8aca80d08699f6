"""Sentences of tagged words in CoNLL columns; whatever the tagging scheme of the file, IOB2 inside."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..errors import DataError
from .text_file import Problems, open_text

SCHEMES = ("IOB1", "IOB2", "IOBES", "plain")

_PREFIXED = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
# BILOU has other letters for the same.
_IOBES_PREFIX = {"L": "E", "U": "S"}
_BLANKS = re.compile(r"[ \t]+")


@dataclasses.dataclass(frozen=True)
class TaggedSentence:
    """Words and their tags, equally many; word `i` stands on line `line + i` of the file."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    line: int


@dataclasses.dataclass(frozen=True)
class TaggedSentences:
    """The sentences of one file.

    Attributes:
        path: the file. scheme: how it was tagged, one of `SCHEMES`; the tags here are IOB2, or as they were if plain.
        problems: faults in its tags, one message each with file and line.
    """

    path: str
    sentences: list[TaggedSentence]
    scheme: str
    problems: list[str]

    def __len__(self) -> int:
        return len(self.sentences)

    def label_names(self) -> list[str]:
        """`O`, then `B-X` and `I-X` of each type, sorted, also where a type has no `I-X` here. Plain tags: sorted."""
        tags = {tag for sentence in self.sentences for tag in sentence.tags}
        if self.scheme == "plain":
            return sorted(tags)
        return ["O", *(f"{prefix}-{kind}" for kind in sorted({t[2:] for t in tags} - {""}) for prefix in "BI")]

    def targets(self, labels: Sequence[str]) -> list[np.ndarray]:
        """Class ids of the words, int32 [words] a sentence.

        Raises:
            DataError: a tag that is not one of `labels`; with its line.
        """
        ids = {label: i for i, label in enumerate(labels)}
        for sentence in self.sentences:
            for line, tag in enumerate(sentence.tags, start=sentence.line):
                if tag not in ids:
                    known = ", ".join(list(ids)[:8]) + (", ..." if len(ids) > 8 else "")
                    raise DataError(f"{self.path}, line {line}: unknown tag {tag!r}; the model's labels are {known}")
        return [np.array([ids[tag] for tag in sentence.tags], "int32") for sentence in self.sentences]

    def subset(self, indices: Sequence[int]) -> TaggedSentences:
        """The sentences of `indices`, in that order."""
        return dataclasses.replace(self, sentences=[self.sentences[i] for i in indices])


def read_tagged_sentences(
    path: str | os.PathLike[str],
    *,
    scheme: str | None = None,
    token_column: int = 0,
    tag_column: int = -1,
    strict: bool = False,
) -> TaggedSentences:
    """All sentences of a file; arguments and errors as for `read_conll`.

    Raises:
        DataError: also when there is no sentence at all.
    """
    scheme = scheme or detect_scheme(path, token_column=token_column, tag_column=tag_column)
    problems = Problems(path, strict=strict)
    columns = {"token_column": token_column, "tag_column": tag_column}
    sentences = list(read_conll(path, scheme=scheme, problems=problems, **columns))
    if not sentences:
        raise DataError(f"{path} holds no sentences")
    return TaggedSentences(os.fspath(path), sentences, scheme, problems.messages)


def read_conll(
    path: str | os.PathLike[str],
    *,
    scheme: str | None = None,
    token_column: int = 0,
    tag_column: int = -1,
    problems: Problems | None = None,
) -> Iterator[TaggedSentence]:
    """Stream the sentences of a CoNLL file: one word a line, sentences parted by blank lines.

    A line with a tab has its columns parted by tabs, so that a word may hold blanks; any other by runs of blanks. Lines
    of nothing but blanks and tabs part sentences, and so do `-DOCSTART-` lines. There is no quoting. Every word has as
    many columns as the first one of the file. Files are UTF-8, a byte order mark is passed over.

    Tags become IOB2. An `I-X` (`E-X`) that no entity of `X` stands before opens one, as in the shared task's script
    `conlleval`; in IOB1 that is how entities are written, elsewhere it is a fault. So is, in IOBES, an entity that
    ends without `E-X`; BILOU is IOBES with other letters.

    Args:
        scheme: one of `SCHEMES`; None reads the file once before to find it, see `detect_scheme`. `plain`: the tags
            name no entities (parts of speech) and stay as they are.
        token_column, tag_column: columns counted from 0, or from the end with -1.
        problems: takes note of faults.

    Raises:
        DataError: unreadable, a row with too few or too many columns, an empty word or tag, or a tag that the scheme
            does not know; the message names file and line.
    """
    scheme = scheme or detect_scheme(path, token_column=token_column, tag_column=tag_column)
    if scheme not in SCHEMES:
        raise DataError(f"tagging scheme: expected one of {', '.join(SCHEMES)}, got {scheme!r}")
    problems = problems or Problems(path)
    for rows in _sentences(path, token_column, tag_column):
        lines, words, tags = zip(*rows, strict=True)
        if scheme != "plain":
            tags = tuple(_to_iob2(path, lines, tags, scheme, problems))
        yield TaggedSentence(words, tags, lines[0])


def detect_scheme(path: str | os.PathLike[str], *, token_column: int = 0, tag_column: int = -1) -> str:
    """The tagging scheme of a file, read once from end to end.

    IOBES where a tag begins with E- or S- (L- or U- in BILOU). IOB1 where an entity opens with I- and B- stands only
    right behind an entity of its type. Else IOB2; plain where no tag but O has such a prefix.

    Raises:
        DataError: as for `read_conll`; tags with and without a prefix side by side.
    """
    prefixes, opens_inside, opens_freely = set(), False, False
    plain: tuple[int, str] | None = None
    for rows in _sentences(path, token_column, tag_column):
        before = None
        for line, _, tag in rows:
            match = _PREFIXED.fullmatch(tag)
            kind = match[2] if match else None
            if match:
                prefixes.add(match[1])
                opens_inside |= match[1] == "I" and kind != before
                opens_freely |= match[1] == "B" and kind != before
            elif tag != "O" and plain is None:
                plain = (line, tag)
            before = kind
    if plain and prefixes:
        raise DataError(
            f"{path}, line {plain[0]}: tag {plain[1]!r} is neither O nor of the form B-X, I-X, E-X, S-X as others in "
            "the file are; name the scheme 'plain' if the tags name no entities"
        )
    if plain:
        return "plain"
    if prefixes - {"B", "I"}:
        return "IOBES"
    return "IOB1" if opens_inside and not opens_freely else "IOB2"


def _sentences(
    path: str | os.PathLike[str], token_column: int, tag_column: int
) -> Iterator[list[tuple[int, str, str]]]:
    """Sentences as lists of (line, word, tag)."""
    rows: list[tuple[int, str, str]] = []
    width = 0
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            content = line.rstrip("\r\n")
            fields = content.split("\t") if "\t" in content else _BLANKS.split(content.strip(" "))
            if not content.strip(" \t") or fields[0] == "-DOCSTART-":
                if rows:
                    yield rows
                    rows = []
                continue
            width = width or len(fields)
            if len(fields) != width or width < 2:
                expected = width if width > 1 else "a word and a tag, at least 2"
                raise DataError(f"{path}, line {number}: expected {expected} columns, got {len(fields)}")
            for name, column in (("token", token_column), ("tag", tag_column)):
                if not -width <= column < width:
                    raise DataError(f"{path}, line {number}: no {name} column {column}: there are {width} columns")
            word, tag = fields[token_column].strip(" "), fields[tag_column].strip(" ")
            if not word or not tag:
                raise DataError(f"{path}, line {number}: the {'tag' if word else 'word'} is empty")
            rows.append((number, word, tag))
    if rows:
        yield rows


def _to_iob2(
    path: str | os.PathLike[str], lines: Iterable[int], tags: Iterable[str], scheme: str, problems: Problems
) -> Iterator[str]:
    known = "BIESLU" if scheme == "IOBES" else "BI"
    # Type of the entity that goes on from the word before, if one does.
    going_on: str | None = None
    line = 0
    for line, tag in zip(lines, tags, strict=True):
        match = _PREFIXED.fullmatch(tag)
        if tag != "O" and (not match or match[1] not in known):
            raise DataError(f"{path}, line {line}: tag {tag!r} is not of the scheme {scheme}")
        prefix, kind = (_IOBES_PREFIX.get(match[1], match[1]), match[2]) if match else ("O", "")
        goes_on = prefix in "IE" and kind == going_on
        if going_on is not None and not goes_on and scheme == "IOBES":
            problems.add(line, f"the {going_on} before is not closed by E-{going_on}; taken as closed")
        if prefix in "IE" and not goes_on and scheme != "IOB1":
            problems.add(line, f"{tag!r} goes on from nothing; read as 'B-{kind}'")
        yield "O" if prefix == "O" else f"{'I' if goes_on else 'B'}-{kind}"
        going_on = kind if prefix in "BI" else None
    if going_on is not None and scheme == "IOBES":
        problems.add(line, f"the {going_on} is not closed by E-{going_on}; taken as closed")
