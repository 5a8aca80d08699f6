"""Sentences split by hand."""

from __future__ import annotations

import pytest

from keras_bert.data.sentences import paragraphs, split_sentences


@pytest.mark.parametrize(
    "sentences",
    [
        ["One."],
        ["It rained.", "We stayed in.", "Why?", "Nobody knew!"],
        ["No full stop at the end", ],
        ["Mr. and Mrs. Bennet called on Dr. Grant in St. James's Street.", "They were out."],
        ["We met J. R. Smith at the inn.", "So did I.", "He left."],
        ["Use a knife, e.g. Father's, or a saw.", "Done."],
        ["See No. 5 and Vol. 2, p. 17.", "The answer was no.", "Nobody spoke."],
        ["“Come in.”", "“No!” she said.", "(He laughed.)", "He left."],
        ['"Is it?" he asked.', '"It is."', "'Well.'", "—Then go."],
        ["Wait... what?", "Yes…", "Now."],
        ["It cost 3.50 at 8.30 p.m. on the day.", "In 1999 it was 2.", "3 came later."],
        ["He said:--Mr. Darcy is here.", "--Where?", "There!!", "Really?!", "Yes."],
        ["Visit example.com today.", "Version 2.0 is out."],
        ["Élan vital.", "Über alles.", "Здравствуйте.", "Как дела?", "Хорошо."],
        ["هل أنت بخير؟", "نعم."],
        ["मैं घर जाता हूँ।", "तुम कहाँ हो?"],
    ],
    ids=lambda sentences: sentences[0][:20],
)  # fmt: skip
def test_split(sentences: list[str]) -> None:
    assert split_sentences(" ".join(sentences)) == sentences
    assert split_sentences("  ".join(sentences)) == sentences


def test_full_stops_without_a_space() -> None:
    assert split_sentences("我很好。你呢？「好。」他说。") == ["我很好。", "你呢？", "「好。」", "他说。"]


def test_lower_case_goes_on() -> None:
    text = "“Oh!” cried she. “what! is it?” asked Tom."
    assert split_sentences(text) == ["“Oh!” cried she. “what! is it?” asked Tom."]


def test_nothing_is_lost() -> None:
    text = "A. b? C! D… E.) 'F.' G"
    assert "".join(split_sentences(text)).replace(" ", "") == text.replace(" ", "")


def test_paragraphs() -> None:
    text = "\n  First line\n  goes on.\r\n\r\nSecond\tparagraph. \n \t\n\n\nThird.\n"
    assert paragraphs(text, join_lines=True) == ["First line goes on.", "Second paragraph.", "Third."]
    assert paragraphs(text) == ["First line", "goes on.", "Second\tparagraph.", "Third."]
    assert paragraphs(" \n\n") == paragraphs(" \n\n", join_lines=True) == []
    assert paragraphs("old\rMac") == ["old", "Mac"]
