"""The page under edge/web: its tokens and decoding in Node, the page itself in headless Chromium.

Skipped where node is missing, and the second part where Chromium or LiteRT.js (edge/web/node_modules) is.
"""

import functools
import http.server
import json
import shutil
import subprocess
import threading

import keras_bert_edge
import numpy as np
import pytest
import tokenizers
from page_in_node import TESTS, WEB, needs_node, node
from tflite_file import FIXTURES

VECTORS = json.loads((TESTS / "vectors" / "vectors.json").read_text(encoding="utf-8"))
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(not WEB.exists(), reason="the page is not here")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or not (WEB / "node_modules" / "@litertjs" / "core").exists(),
    reason="Chromium, or LiteRT.js in edge/web/node_modules, is not installed",
)


def tokenizer_json(name):
    folder = FIXTURES if (FIXTURES / f"{name}.tflite").exists() else TESTS / "vectors"
    return json.loads(keras_bert_edge.model.inspect(folder / f"{name}.tflite")[1]["tokenizer.json"])


ENCODE = """
const { WordPiece } = await import(web + "wordpiece.js");
const tokenizer = new WordPiece(data.tokenizer);
console.log(JSON.stringify(data.texts.map(([text, pair]) => {
  const { ids, segments, truncated } = tokenizer.encode(text, pair, data.longest);
  const slices = tokenizer.tokens(text).map((token) => [token.id, text.slice(token.start, token.end)]);
  return { ids, segments, truncated, slices };
})));
"""


@needs_node
@pytest.mark.parametrize("name", ["classification", "pairs"])
def test_tokens_are_those_of_the_vectors(name):
    texts = [[row["text"], row["pair"]] for row in VECTORS[name]]
    found = node(ENCODE, {"tokenizer": tokenizer_json(name), "texts": texts, "longest": 40})
    assert [row["ids"] for row in found] == [row["token_ids"] for row in VECTORS[name]]


@needs_node
def test_tokens_are_those_of_the_tokenizers_package():
    """Strings made to be hard, and pairs of them, with segments and what each token stands for."""
    goldens = json.loads((TESTS / "tokenizers" / "data" / "goldens.json").read_text(encoding="utf-8"))
    strings = sorted({text for text in every_string(goldens) if len(text) < 400})
    assert len(strings) > 50
    model = keras_bert_edge.load(TESTS / "vectors" / "pairs.tflite")
    texts = [[text, strings[-index] if index % 3 == 0 else None] for index, text in enumerate(strings)]
    found = node(ENCODE, {"tokenizer": tokenizer_json("pairs"), "texts": texts, "longest": 40})
    for (text, pair), row in zip(texts, found):
        expected = model.tokenizer.encode(text, pair)
        assert (row["ids"], row["segments"]) == (expected.ids, expected.type_ids), ascii(text)
        assert row["truncated"] == model.tokenizer.was_truncated(expected)
        alone = model.tokenizer.encode(text, special_tokens=False)
        if not row["truncated"]:
            assert row["slices"] == [[i, text[a:b]] for i, (a, b) in zip(alone.ids, alone.offsets)], ascii(text)


def every_string(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from every_string(item)


@needs_node
def test_every_character_is_read_as_in_training():
    """A browser knows another Unicode than the `tokenizers` package: new letters, accents and emoji count, too."""
    content = tokenizer_json("pairs")
    vocab = content["model"]["vocab"]
    for piece in ("a", "b", "##b"):
        vocab.setdefault(piece, max(vocab.values()) + 1)
    # The planes that hold characters, and one of those that are empty.
    codes = [code for code in [*range(0x50000), *range(0xE0000, 0x110000)] if not 0xD800 <= code < 0xE000]
    words = [f"a{chr(code)}b {chr(code)}" for code in codes]
    texts = [" ".join(words[start : start + 1024]) for start in range(0, len(words), 1024)]
    found = node(ENCODE, {"tokenizer": content, "texts": [[text, None] for text in texts], "longest": 10_000})
    package = tokenizers.Tokenizer.from_str(json.dumps(content))
    for text, row in zip(texts, found):
        assert row["ids"] == package.encode(text).ids, f"from {ord(text[1]):#x}"


DECODE = """
const { WordPiece } = await import(web + "wordpiece.js");
const { Answerer } = await import(web + "tasks.js");
const tokenizer = new WordPiece(data.tokenizer);
// The fixtures' networks are tables: a row of outputs for each token id.
const run = async ({ ids, segments }) => Object.fromEntries(Object.entries(data.tables).map(
  ([name, table]) => [name, ids.flatMap((id, at) => table[id].map((value) => value + data.bonus * segments[at]))]));
const answerer = new Answerer(data.config, tokenizer, 24, run);
const results = [];
for (const [text, pair] of data.texts) results.push(await answerer.answer(text, pair ?? undefined, data.options));
console.log(JSON.stringify(results));
"""
TEXTS = (
    "John lives in New York and Mary in Paris",
    "",
    "new new york York john",
    " it was Paris \u00e9t\u00e9 . " + "the film was dull . " * 20 + "Berlin !",
)


@needs_node
def test_entities_are_those_of_the_runner(open_model):
    import tiny_model

    tables = {"logits": tiny_model.entity_table(words()).tolist()}
    config = {"task": "token_classification", "labels": tiny_model.ENTITY_LABELS}
    data = {"tokenizer": tokenizer_json("entities"), "tables": tables, "bonus": 0, "config": config}
    found = node(DECODE, {**data, "texts": [[text, None] for text in TEXTS]})
    for text, row in zip(TEXTS, found):
        expected = open_model("entities")(text)
        got = [(e["label"], e["text"], e["start"], e["end"]) for e in row["entities"]]
        assert got == [tuple(entity[:4]) for entity in expected.entities]
        assert [(w["text"], w["tag"]) for w in row["words"]] == [(w.text, w.tag) for w in expected.words]
        np.testing.assert_allclose([w["score"] for w in row["words"]], [w.score for w in expected.words], atol=1e-6)


@needs_node
@pytest.mark.parametrize("threshold", [None, -5.0])
def test_answers_are_those_of_the_runner(open_model, threshold):
    import tiny_model

    starts, ends = tiny_model.answer_table(words()).T
    tables = {"start_logits": starts[:, None].tolist(), "end_logits": ends[:, None].tolist()}
    data = {"tokenizer": tokenizer_json("answers"), "tables": tables, "bonus": 2}
    data |= {"config": {"task": "question_answering"}, "options": {"nullThreshold": threshold}}
    found = node(DECODE, {**data, "texts": [["where was it?", text] for text in TEXTS]})
    for text, row in zip(TEXTS, found):
        expected = open_model("answers")("where was it?", text, null_threshold=threshold)
        assert (row["answer"], row["start"], row["end"]) == (expected.answer, expected.start, expected.end)


@needs_node
def test_a_question_has_windows_of_384_tokens_at_most():
    """As the runner's, where the model reads 512: 3 special tokens and one of the question leave 380 to the context."""
    script = DECODE.replace("const answerer", "const lengths = [];\nconst answerer").replace(
        "Answerer(data.config, tokenizer, 24, run)",
        "Answerer(data.config, tokenizer, 512, (window) => { lengths.push(window.ids.length); return run(window); })",
    )
    script = script.replace("JSON.stringify(results)", "JSON.stringify([lengths, results[0].answer])")
    table = [[0.0]] * len(words())
    table[words()["berlin"]] = [5.0]
    data = {"tokenizer": tokenizer_json("answers"), "tables": {"start_logits": table, "end_logits": table}, "bonus": 0}
    data |= {"config": {"task": "question_answering"}, "texts": [["where", "film " * 500 + "Berlin"]]}
    assert node(script, data) == [[384, 4 + 501 - (380 - 128)], "Berlin"]


@needs_node
def test_similarity_is_that_of_the_vectors():
    """Vectors that are not of length 1, and one of zeros."""
    import tiny_model

    table = 3 * tiny_model.embedding_table(len(words()))
    config = {"task": "sentence_embedding", "labels": []}
    script = DECODE.replace("const run = ", "const unused = ").replace(
        "const answerer",
        "const row = (id) => data.tables.rows[id === 3 ? data.zero : id];\n"
        "const run = async ({ ids }) => ({ embedding: row(ids[1]) });\nconst answerer",
    )
    rows = [*table.tolist(), [0.0] * tiny_model.HIDDEN]
    data = {"tokenizer": tokenizer_json("embedding"), "tables": {"rows": rows}, "config": config, "zero": len(table)}
    found = node(script, {**data, "texts": [["cat", "dog"], ["cat", "cat"], ["cat", ""]]})
    cat, dog = (table[words()[word]].astype(float) for word in ("cat", "dog"))
    cosine = cat @ dog / np.sqrt((cat @ cat) * (dog @ dog))
    np.testing.assert_allclose([row["similarity"] for row in found], [cosine, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found[0]["vectors"], [cat, dog], atol=1e-6)


@needs_node
def test_fills_are_those_of_the_runner(open_model):
    """The network reads the mean of its text, so that each text has a table of its own here."""
    import tiny_model

    text = "a [MASK] cat [MASK]"
    ids = [words()[token] for token in ("[CLS]", "a", "[MASK]", "cat", "[MASK]", "[SEP]")]
    logits = tiny_model.masked_logits(tiny_model.vocabulary_projection(len(words())), ids)
    table = np.zeros((len(words()), logits.shape[1]))
    table[ids] = logits
    config = {"task": "masked_lm", "labels": []}
    data = {"tokenizer": tokenizer_json("masked"), "tables": {"logits": table.tolist()}, "bonus": 0, "config": config}
    found, nothing = node(DECODE, {**data, "texts": [[text, None], ["no mask", None]]})
    assert nothing["fills"] == []
    expected = open_model("masked")(text).fills
    assert [[(fill["text"], fill["id"]) for fill in fills] for fills in found["fills"]] == [
        [(fill.text, fill.token_id) for fill in fills] for fills in expected
    ]
    for got, wanted in zip(found["fills"], expected):
        np.testing.assert_allclose([fill["score"] for fill in got], [fill.score for fill in wanted], atol=1e-6)


def words():
    import tiny_model

    return {token: index for index, token in enumerate(tiny_model.WORDS)}


@needs_node
def test_damaged_files_are_refused():
    script = """
    const { readFile } = await import(web + "file.js");
    const whole = fs.readFileSync(data.path);
    const flipped = Uint8Array.from(whole); flipped[3000] ^= 1;
    const messages = [(await readFile(Uint8Array.from(whole))).config.task];
    for (const bytes of [flipped, whole.subarray(0, -1), whole.subarray(0, 30), new Uint8Array(10)]) {
      const message = await readFile(Uint8Array.from(bytes)).then(() => "read", (error) => error.message);
      messages.push(message);
    }
    console.log(JSON.stringify(messages));
    """
    task, *messages = node(script, {"path": str(FIXTURES / "lengths.tflite")})
    assert task == "sequence_classification"
    assert "damaged" in messages[0]
    assert all("cut short" in message or "not a TFLite model" in message for message in messages[1:])


@needs_browser
def test_the_page_answers_in_a_browser(tmp_path, open_model):
    """Files are picked, texts typed, bars and marks read, and held to the runner's answers as far as they are shown."""
    texts = ["a good film", "the dog was very sad", ""]
    cases = [{"file": f"{name}.tflite", "texts": texts} for name in ("lengths", "mediapipe")]
    cases += [{"file": "pair.tflite", "texts": []}]
    pairs = [["a good film", "a dull film"], ["john", "john"]]
    cases += [{"file": "embedding_lengths.tflite", "texts": pairs}]
    cases += [{"file": "masked_lengths.tflite", "texts": ["a [MASK] cat [MASK]", "no mask"]}]
    cases += [{"file": "entities_lengths.tflite", "texts": list(TEXTS)}]
    cases += [{"file": "answers_lengths.tflite", "texts": [["where was it?", text] for text in TEXTS]}]
    for path in WEB.iterdir():
        (tmp_path / path.name).symlink_to(path.resolve())
    for case in cases:
        shutil.copy(FIXTURES / case["file"], tmp_path)
    drive = (TESTS / "edge" / "drive.html").read_text(encoding="utf-8")
    (tmp_path / "drive.html").write_text(drive.replace("of CASES", f"of {json.dumps(cases)}"), encoding="utf-8")
    handler = functools.partial(QuietHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
             "--virtual-time-budget=60000", "--dump-dom", f"http://127.0.0.1:{server.server_port}/drive.html"],
            capture_output=True, check=False, timeout=240,
        )  # fmt: skip
        server.shutdown()
    shown = done.stdout.decode().rpartition('<pre id="out">')[2].partition("</pre>")[0]
    assert shown, done.stderr.decode()[-2000:]
    results = json.loads(shown)
    assert isinstance(results, list), results
    assert "export the file with --lengths" in results[2]["status"]
    assert [len(result["shown"]) for result in results] == [3, 3, 0, 2, 2, 4, 4]
    for case, result in zip(cases[:2], results):
        model = open_model(case["file"].partition(".")[0])
        for text, shown in zip(texts, result["shown"]):
            bars = shown["bars"]
            expected = sorted(model(text).scores.items(), key=lambda item: -item[1])
            assert [label for label, _ in bars] == [label for label, _ in expected]
            np.testing.assert_allclose([float(score) for _, score in bars], [s for _, s in expected], atol=1.1e-4)
    embed = open_model("embedding")
    for (one, other), shown in zip(pairs, results[3]["shown"]):
        (bar,) = shown["bars"]
        assert bar[0] == "similarity"
        assert float(bar[1]) == pytest.approx(embed(one).vector @ embed(other).vector, abs=1.1e-4)
    filled, unfilled = results[4]["shown"]
    expected = [fill for fills in open_model("masked")("a [MASK] cat [MASK]").fills for fill in fills]
    assert [label for label, _ in filled["bars"]] == [fill.text for fill in expected]
    np.testing.assert_allclose([float(score) for _, score in filled["bars"]], [f.score for f in expected], atol=1.1e-4)
    assert (unfilled["bars"], unfilled["notes"]) == ([], ["write [MASK] where a word is missing"])
    for text, shown in zip(TEXTS, results[5]["shown"]):
        expected = open_model("entities_lengths")(text).entities
        assert shown["marks"] == [text[entity.start : entity.end] + entity.label for entity in expected]
    for text, shown in zip(TEXTS, results[6]["shown"]):
        answer = open_model("answers_lengths")("where was it?", text).answer
        assert shown["marks"] == ([answer] if answer else [])
        assert shown["notes"] == ([] if answer else ["no answer in this text"])
    assert [len(results[place]["shown"][0]["marks"]) for place in (5, 6)] == [4, 1]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass
