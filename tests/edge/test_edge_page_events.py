"""What a person does on the page, in Node: files picked in quick succession, runs that fail, memory given back.

A document of a few plain objects and a runtime that counts what is made and deleted stand in for the browser's; the
page, its reader of files and its tokenizer are the real ones.
"""

import hashlib
import json

import pytest
from page_in_node import WEB, needs_node, node
from tflite_file import FIXTURES, split, write

pytestmark = [needs_node, pytest.mark.skipif(not WEB.exists(), reason="the page is not here")]

BROWSER = """
import { register } from "node:module";
globalThis.fake = { models: [], tensors: 0, run: async () => {} };
const litert = `
  export const loadLiteRt = async () => { if (fake.offline) throw new Error("no network"); };
  export class Tensor {
    constructor(values) { this.values = values; fake.tensors++; }
    async data() { return this.values; }
    delete() { fake.tensors--; }
  }
  const details = ["token_ids", "segment_ids", "padding_mask"].map((name) => ({ name }));
  export async function loadAndCompile(bytes) {
    const signatures = { length_8: { getInputDetails: () => details }, length_16: { getInputDetails: () => details } };
    const model = { size: bytes.length, deleted: 0, signatures, delete() { this.deleted++; } };
    model.run = async (signature, inputs) => {
      if (model.deleted) throw new Error("the model was deleted");
      await fake.run(inputs);
      return fake.outputs(inputs.token_ids.values.length, Tensor);
    };
    fake.models.push(model);
    return model;
  }`;
const resolver = `export const resolve = (name, context, next) => name === "@litertjs/core"
  ? { url: "data:text/javascript," + ${JSON.stringify(encodeURIComponent(litert))}, shortCircuit: true }
  : next(name, context);`;
register("data:text/javascript," + encodeURIComponent(resolver));
fake.outputs = (length, Tensor) => ({ logits: new Tensor([3, 1, 2]) });

const makeElement = () => ({
  textContent: "", value: "", hidden: false, children: [], style: {}, listeners: {},
  append(...parts) { this.children.push(...parts); },
  replaceChildren(...parts) { this.children = parts; },
  addEventListener(name, listener) { this.listeners[name] = listener; },
  get shown() { return this.textContent + this.children.map((part) => part.shown ?? part).join(" "); },
});
const elements = {};
globalThis.document = { getElementById: (id) => (elements[id] ??= makeElement()), createElement: makeElement };
const $ = document.getElementById;
await import(web + "page.js");

const pause = () => new Promise((done) => setTimeout(done, 5)); // what needs no other thread has happened then
async function until(test) {
  for (let i = 0; i < 4000 && !test(); i++) await pause();
  await pause();
}
const opened = () => until(() => $("status").textContent && !$("status").textContent.startsWith("opening"));
const read = (path) => Uint8Array.from(fs.readFileSync(path)).buffer;
const pick = (name, arrayBuffer) => $("file").listeners.change({ target: { files: [{ name, arrayBuffer }] } });
const type = (text) => { $("text").value = text; return $("text").listeners.input(); };
const print = (value) => console.log(JSON.stringify(value));
"""
FILES = {name: str(FIXTURES / f"{name}.tflite") for name in ("lengths", "masked_lengths", "embedding_lengths", "pair")}


def page(script):
    return node(BROWSER + script, FILES)


def test_the_file_that_was_picked_last_stays():
    """The first comes from a slow disk and is read after the second is open; its model's memory is given back."""
    status, models = page("""
    let arrive;
    pick("slow.tflite", () => new Promise((done) => (arrive = done)));
    pick("quick.tflite", async () => read(data.lengths));
    await opened();
    arrive(read(data.masked_lengths));
    await until(() => fake.models.length === 2);
    print([$("status").textContent, fake.models.map((model) => model.deleted)]);
    """)
    assert status.startswith("quick.tflite: sequence classification")
    assert models == [0, 1]


def test_an_error_of_a_file_that_was_given_up_is_not_shown():
    status = page("""
    let fail;
    pick("slow.tflite", () => new Promise((_, failed) => (fail = failed)));
    pick("quick.tflite", async () => read(data.lengths));
    await opened();
    fail(new Error("the disk is gone"));
    await pause();
    print($("status").textContent);
    """)
    assert status.startswith("quick.tflite: sequence classification")


def test_models_and_tensors_are_given_back():
    """At the next pick, once, and after the run that is under way; a file that the page cannot run takes nothing."""
    before, under_way, after, tensors = page("""
    const deleted = () => fake.models.map((model) => model.deleted);
    for (const name of ["lengths", "lengths", "pair", "lengths"]) {
      pick(name, async () => read(data[name]));
      await opened();
      await type("a good film");
    }
    const before = deleted();
    let finish;
    fake.run = () => new Promise((done) => (finish = done));
    const answered = type("a bad film");
    await until(() => finish);
    fake.run = async () => {};
    pick("lengths", async () => read(data.lengths));
    await opened();
    const underWay = deleted();
    finish();
    await answered;
    print([before, underWay, deleted(), fake.tensors]);
    """)
    assert before == [1, 1, 0]
    assert under_way == [1, 1, 0, 0]
    assert after == [1, 1, 1, 0]
    assert tensors == 0


def test_a_run_that_fails_leaves_no_older_answer_standing():
    answered, failed, latency, tensors, again = page("""
    pick("lengths", async () => read(data.lengths));
    await opened();
    await type("a good film");
    const answered = $("result").shown;
    fake.run = async () => { throw new Error("out of memory"); };
    await type("a bad film");
    const [failed, latency, tensors] = [$("result").shown, $("latency").textContent, fake.tensors];
    fake.run = async () => {};
    await type("a good film");
    print([answered, failed, latency, tensors, $("result").shown]);
    """)
    assert "negative" in answered
    assert (failed, latency, tensors) == ("error: out of memory", "", 0)
    assert again == answered


def test_the_runtime_is_asked_for_again_after_it_failed():
    failed, status = page("""
    fake.offline = true;
    pick("lengths", async () => read(data.lengths));
    await opened();
    const failed = $("status").textContent;
    fake.offline = false;
    pick("lengths", async () => read(data.lengths));
    await opened();
    print([failed, $("status").textContent]);
    """)
    assert failed == "error: no network"
    assert status.startswith("lengths: sequence classification")


def test_a_classifier_reads_a_second_text():
    segments, alone, hidden = page("""
    const seen = [];
    fake.run = async (inputs) => { seen.push(Array.from(inputs.segment_ids.values)); };
    pick("lengths", async () => read(data.lengths));
    await opened();
    $("question").value = "a dog";
    await type("a film");
    $("question").value = " ";
    await type("a film");
    print([...seen.slice(-2), [$("question-row").hidden, $("threshold-row").hidden]]);
    """)
    assert segments == [0, 0, 0, 0, 1, 1, 1, 0]
    assert alone == [0] * 8
    assert hidden == [False, True]


def test_no_answer_stays_when_the_question_goes():
    similarity, gone, latency = page("""
    fake.outputs = (length, Tensor) => ({ embedding: new Tensor([3, 4]) });
    pick("embedding", async () => read(data.embedding_lengths));
    await opened();
    $("question").value = "a dog";
    await type("a cat");
    const similarity = $("result").shown;
    $("question").value = "";
    await type("a cat");
    print([similarity, $("result").shown, $("latency").textContent]);
    """)
    assert similarity.endswith("1.0000")
    assert (gone, latency) == ("", "")


def test_outputs_that_are_no_numbers_are_no_answer():
    shown = page("""
    fake.outputs = (length, Tensor) => ({ logits: new Tensor([3, NaN, 2]) });
    pick("lengths", async () => read(data.lengths));
    await opened();
    await type("a film");
    print($("result").shown);
    """)
    assert shown == "error: the model gave an output logits that is not finite"


@pytest.mark.parametrize(("value", "message"), [(3.0, ""), (2.7, "computes this file wrongly")])
def test_a_runtime_that_computes_a_file_wrongly_is_noticed(tmp_path, value, message):
    """By the answer that the file carries; the runtime here gives 3, 1, 2 to any text."""
    model, members = split((FIXTURES / "lengths.tflite").read_bytes())
    known = {"token_ids": [1, 2, 3], "segment_ids": [0, 0, 0], "outputs": {"logits": [value, 1, 2]}, "tolerance": 0.01}
    config = {**json.loads(members["config.json"]), "known_answer": known}
    path = tmp_path / "known.tflite"
    path.write_bytes(write(model, {**members, "config.json": json.dumps(config).encode()}))
    script = """
    pick("known", async () => read(data.known));
    await opened();
    print([$("status").textContent, fake.models.map((model) => model.deleted)]);
    """
    status, deleted = node(BROWSER + script, {"known": str(path)})
    assert status.startswith("error:") == bool(message)
    assert message in status
    assert deleted == [int(bool(message))]


def test_files_open_where_the_browser_keeps_its_digests():
    """A page that came over http from another machine has no crypto.subtle."""
    task, message, digests = node(
        """
        Object.defineProperty(globalThis, "crypto", { value: {}, configurable: true });
        const { readFile } = await import(web + "file.js");
        const { sha256 } = await import(web + "sha256.js");
        const whole = Uint8Array.from(fs.readFileSync(data.lengths));
        const { config } = await readFile(whole);
        whole[3000] ^= 1;
        const message = await readFile(whole).then(() => "read", (error) => error.message);
        const digests = Array.from({ length: 200 }, (_, size) => sha256(new Uint8Array(size).fill(7 * size)));
        console.log(JSON.stringify([config.task, message, digests]));
        """,
        FILES,
    )
    assert task == "sequence_classification"
    assert "damaged" in message
    assert digests == [hashlib.sha256(bytes([7 * size % 256]) * size).hexdigest() for size in range(200)]
