"""Entities and answers against brute force and examples worked by hand, embeddings and fills against numpy."""

import itertools
import json

import keras_bert_edge
import numpy as np
import pytest
import tflite_file
import tiny_model
from keras_bert_edge.tasks.question_answering import best_spans
from keras_bert_edge.tasks.ranking import highest
from keras_bert_edge.tasks.token_classification import TaggedWord, best_legal_path, group_entities, legal_tags
from keras_bert_edge.tasks.windows import WindowMaker, widest_context

VOCAB = {token: index for index, token in enumerate(tiny_model.WORDS)}
CLS, SEP = VOCAB["[CLS]"], VOCAB["[SEP]"]


# === Entities ===


@pytest.mark.parametrize("name", ["entities", "entities_unigram"])
def test_john_lives_in_new_york(open_model, name):
    result = open_model(name)("John lives in New York")
    assert [word.tag for word in result.words] == ["B-PER", "O", "O", "B-LOC", "I-LOC"]
    assert [entity[:4] for entity in result.entities] == [("PER", "John", 0, 4), ("LOC", "New York", 14, 22)]
    # Every word has one logit of 4 against four of 0.
    assert result.entities[1].score == pytest.approx(np.exp(4) / (np.exp(4) + 4), abs=1e-6)
    assert not result.truncated


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\r\n ", []),
        ("the film", []),
        ("\u00c9 \U0001f600 Paris!", [("LOC", "Paris", 4, 9)]),
        ("Pa\u0301ris\r\n\tnew   york", [("LOC", "Pa\u0301ris", 0, 6), ("LOC", "new   york", 9, 19)]),
        ("John Mary", [("PER", "John", 0, 4), ("PER", "Mary", 5, 9)]),
        ("(berlin)", [("LOC", "berlin", 1, 7)]),
    ],
)
def test_offsets_count_characters_of_the_text(open_model, text, expected):
    assert [entity[:4] for entity in open_model("entities")(text).entities] == expected


def test_a_lone_inside_tag_becomes_legal(open_model):
    """`york` alone says I-LOC; nothing legal starts with it, and O and B-LOC are equally likely: one of them it is."""
    tag = open_model("entities")("york").words[0].tag
    assert not tag.startswith("I-")


def test_the_first_subtoken_speaks_for_its_word(open_model):
    """`johned` is `john ##ed`: the tag of `john`, the offsets of the whole word."""
    assert open_model("entities")("a johned film").entities[0][:4] == ("PER", "johned", 2, 8)


def test_long_texts_are_read_to_their_end(open_model):
    text = "the film was good . " * 30 + "John lives in New York" + " the film was dull ." * 30 + " Mary"
    result = open_model("entities")(text)
    assert [entity.text for entity in result.entities] == ["John", "New York", "Mary"]
    assert len(result.words) == 150 + 5 + 150 + 1
    assert all(text[entity.start : entity.end] == entity.text for entity in result.entities)


def is_legal(tags):
    """By the definition of BIO, written independently: I-X needs B-X or I-X before it."""
    before = ["O", *tags[:-1]]
    return all(not tag.startswith("I-") or last[2:] == tag[2:] for last, tag in zip(before, tags))


@pytest.mark.parametrize("labels", [tiny_model.ENTITY_LABELS, ["B-PER", "I-PER"]])
def test_tags_are_the_best_legal_sequence(labels):
    start, follows = legal_tags(labels)
    random = np.random.RandomState(0)
    for _ in range(40):
        logits = random.normal(0, 2, (random.randint(1, 6), len(labels)))
        every = itertools.product(range(len(labels)), repeat=len(logits))
        sequences = [s for s in every if is_legal([labels[i] for i in s])]
        totals = [sum(logits[word, tag] for word, tag in enumerate(sequence)) for sequence in sequences]
        assert tuple(best_legal_path(logits, start, follows)) == sequences[int(np.argmax(totals))]


def test_labels_without_prefixes_are_free():
    start, follows = legal_tags(["NOUN", "VERB", "I-X"])
    assert start.all()
    assert follows.all()


def test_neighbouring_entities_stay_apart():
    tags = ["B-A", "I-A", "B-A", "B-B", "I-B", "O", "B-B"]
    words = [TaggedWord("w", 2 * i, 2 * i + 1, tag, 0.5 + i / 10) for i, tag in enumerate(tags)]
    entities = group_entities("w w w w w w w", words)
    assert [(e.label, e.start, e.end) for e in entities] == [("A", 0, 3), ("A", 4, 5), ("B", 6, 9), ("B", 12, 13)]
    assert entities[0].score == pytest.approx(0.55)


# === Windows ===


@pytest.mark.parametrize("name", ["answers", "answers_bpe", "entities"])
def test_windows_are_what_the_tokenizer_would_build(open_model, name):
    """The first window of a text that fits equals the tokenizer's own encoding with special tokens."""
    tokenizer = open_model(name).tokenizer
    question = "where is john" if name.startswith("answers") else None
    text = "the capital of france is paris"
    whole = tokenizer.backend.encode(*([question, text] if question else [text]))
    maker = WindowMaker(tokenizer, question is not None, "model.tflite")
    asked = tokenizer.encode(question, special_tokens=False).ids if question else ()
    context = tokenizer.encode(text, special_tokens=False)
    (window,) = maker.windows(context.ids, asked)
    assert (window.token_ids, window.segment_ids) == (whole.ids, whole.type_ids)
    assert whole.ids[window.first_row : window.first_row + len(context.ids)] == context.ids


def test_windows_cover_and_overlap(open_model):
    maker = WindowMaker(open_model("answers").tokenizer, True, "model.tflite")
    for length in range(200):
        windows = maker.windows(list(range(length)), [7, 8])
        assert windows[0].start == 0
        assert windows[-1].end == length
        assert all(len(window.token_ids) <= tiny_model.MAX_LENGTH for window in windows)
        for one, two in zip(windows, windows[1:]):
            # Room for 24 - 3 - 2 = 19 tokens, of which half may be shared.
            assert (one.end - one.start, one.end - two.start) == (19, 9)


def test_a_question_has_windows_of_384_tokens_at_most(write_file):
    """As in training, where the model reads 512: 3 special tokens and one of the question leave 380 to the context."""
    model, members = tflite_file.split((tflite_file.FIXTURES / "answers.tflite").read_bytes())
    config = {**json.loads(members["config.json"]), "max_length": 512}
    longer = keras_bert_edge.load(
        write_file(tflite_file.write(model, {**members, "config.json": json.dumps(config).encode()}))
    )
    assert longer.max_length == 512
    lengths, run = [], longer.engine.run
    longer.engine.run = lambda token_ids, segment_ids: lengths.append(len(token_ids)) or run(token_ids, segment_ids)
    assert longer("where", "film " * 500 + "Berlin").answer == "Berlin"
    assert lengths == [384, 4 + 501 - (380 - 128)]
    half = (384 - 3) // 2
    assert [longer("where " * words, "in Paris").truncated for words in (half, half + 1)] == [False, True]
    entities = WindowMaker(longer.tokenizer, False, "model.tflite").windows(list(range(600)))
    assert len(entities[0].token_ids) == 512


def test_widest_context_is_that_of_the_reference(open_model):
    """`_check_is_max_context`, as its comment defines it: min(left, right) + 0.01 * length, the first of the best."""
    maker = WindowMaker(open_model("answers").tokenizer, True, "model.tflite")
    for length in (1, 19, 20, 77, 140):
        windows = maker.windows(list(range(length)), [7, 8])
        owner = widest_context(windows, length)
        for token in range(length):
            scores = [
                min(token - w.start, w.end - 1 - token) + 0.01 * (w.end - w.start) if w.start <= token < w.end else -1
                for w in windows
            ]
            assert owner[token] == scores.index(max(scores))


# === Answers ===


@pytest.mark.parametrize(("name", "france"), [("answers", "France"), ("answers_bpe", "france")])
def test_the_capital_of_france(open_model, name, france):
    context = f"the capital of {france} is  " + ("Paris" if name == "answers" else "paris") + "."
    result = open_model(name)(f"what is the capital of {france}?", context)
    assert result.answer.lower() == "paris"
    assert context[result.start : result.end] == result.answer
    assert result.score > 0.9
    assert [best.logit for best in result.n_best] == sorted((best.logit for best in result.n_best), reverse=True)


def test_logits_and_probabilities_by_hand(open_model):
    """Segment 1 adds 2 to start and end: Paris 8 + 8, and `[CLS]` 1 + 1."""
    result = open_model("answers")("what", "Paris")
    (best,) = result.n_best
    assert (best.text, best.logit, best.score) == ("Paris", 16.0, 1.0)
    assert result.null_score_difference == 2.0 - 16.0
    with_null = open_model("answers")("what", "Paris", null_threshold=0.0)
    assert with_null.answer == "Paris"
    assert with_null.score == pytest.approx(1 / (1 + np.exp(-14)))


def test_no_answer(open_model):
    model = open_model("answers")
    assert model("what", "the film").answer != ""
    nothing = model("what", "the film", null_threshold=-3.0)  # 2 - (2 + 2) = -2 exceeds -3
    assert (nothing.answer, nothing.start, nothing.end, nothing.null_score_difference) == ("", 0, 0, -2.0)
    empty = model("what", "")
    assert (empty.answer, empty.n_best, empty.null_score_difference) == ("", (), None)


def test_answers_are_found_in_long_contexts(open_model):
    context = "the film was good . " * 40 + "it was Paris \U0001f600 ." + " the film was dull ." * 40
    result = open_model("answers")("what was it?", context)
    assert (result.answer, result.start) == ("Paris", context.index("Paris"))
    assert len({(best.start, best.end) for best in result.n_best}) == 20


def test_answers_across_words_and_their_length_limit(open_model):
    context = "it is new dull york"
    model = open_model("answers")
    assert model("what", context).answer == "new dull york"
    assert len(model("what", context, max_answer_length=2).answer.split()) <= 2


def test_a_question_that_is_too_long_is_cut_and_says_so(open_model):
    result = open_model("answers")("what " * 100, "it is paris")
    assert (result.answer, result.truncated) == ("paris", True)


def test_best_spans_against_brute_force():
    random = np.random.RandomState(0)
    for length in (1, 2, 7, 12):
        starts, ends = random.normal(0, 1, (2, length)).astype(np.float32)
        starts[random.rand(length) < 0.3] = -np.inf
        every = [
            (float(starts[i]) + float(ends[j]), i, j)
            for i in range(length)
            for j in range(i, min(i + 4, length))
            if starts[i] > -np.inf
        ]
        expected = sorted(every, key=lambda span: -span[0])[:5]
        found = best_spans(starts, ends, 5, 4)
        assert [span[1:] for span in found] == [span[1:] for span in expected]
        np.testing.assert_allclose([span[0] for span in found], [span[0] for span in expected], rtol=1e-6)
    assert best_spans(np.zeros(0), np.zeros(0), 5, 4) == []


def test_the_highest_are_the_same_everywhere():
    """Among equals the lower index comes first, as a stable sort has it."""
    random = np.random.RandomState(0)
    for _ in range(200):
        scores = random.randint(0, 4, random.randint(1, 30)).astype(float)
        scores[random.rand(scores.size) < 0.2] = -np.inf
        count = random.randint(1, 35)
        expected = sorted(range(scores.size), key=lambda index: (-scores[index], index))[:count]
        assert highest(scores, count).tolist() == expected


# === Embeddings and fills ===


@pytest.mark.parametrize("name", ["embedding", "embedding_lengths"])
def test_embeddings_equal_the_network(open_model, name):
    table = tiny_model.embedding_table(len(VOCAB))
    for text in ("", "a cat", "the capital of france is paris"):
        expected = tiny_model.sentence_embedding(table, [CLS, *(VOCAB[word] for word in text.split()), SEP])
        result = open_model(name)(text)
        np.testing.assert_allclose(result.vector, expected, atol=1e-6)
        assert result.vector.dtype == np.float32


@pytest.mark.parametrize("name", ["masked", "masked_lengths"])
def test_fills_equal_the_network(open_model, name):
    ids = [CLS, VOCAB["a"], VOCAB["[MASK]"], VOCAB["cat"], VOCAB["[MASK]"], SEP]
    logits = tiny_model.masked_logits(tiny_model.vocabulary_projection(len(VOCAB)), ids).astype(np.float64)
    result = open_model(name)("a [MASK] cat [MASK]", top_k=3)
    assert len(result.fills) == 2
    for fills, row in zip(result.fills, logits[[2, 4]]):
        probabilities = np.exp(row - row.max()) / np.exp(row - row.max()).sum()
        best = np.argsort(-probabilities)[:3]
        assert [fill.token_id for fill in fills] == best.tolist()
        np.testing.assert_allclose([fill.score for fill in fills], probabilities[best], atol=1e-6)
    assert len(open_model(name)("[MASK]", top_k=10_000).fills[0]) == len(VOCAB)
