// An exported file opened in LiteRT.js: the smallest of its fixed lengths that fits, padded, behind an Answerer whose
// `close` gives the model's memory back.

import { loadLiteRt, loadAndCompile, Tensor } from "@litertjs/core";
import { readFile } from "./file.js";
import { Answerer } from "./tasks.js";
import { WordPiece } from "./wordpiece.js";

const WASM = "./node_modules/@litertjs/core/wasm/";
const ROLES = { token_ids: "ids", ids: "ids", segment_ids: "segments", padding_mask: "mask", mask: "mask" };

const ROW_TASKS = ["token_classification", "question_answering", "masked_lm"]; // a row of outputs for each token

let runtime = null;

export async function open(bytes) {
  const { config, tokenizer } = await readFile(bytes);
  const lengths = Object.entries(config.signatures).sort((a, b) => a[1] - b[1]);
  if (lengths.some(([, length]) => length === null)) {
    throw new Error("LiteRT.js runs fixed lengths alone: export the file with --lengths 16,32,64 or --profile mediapipe");
  }
  // Before the model is compiled: it throws for what this page does not know.
  const answerer = new Answerer(config, new WordPiece(tokenizer), lengths.at(-1)[1], run);
  runtime ??= loadLiteRt(WASM).catch((error) => {
    runtime = null; // the next file tries again
    throw error;
  });
  await runtime;
  const model = await loadAndCompile(bytes.slice(0, config.model_size), { accelerator: "wasm" });

  let running = 0;
  let closed = false;
  const close = () => {
    closed = true;
    if (!running) model.delete();
  };

  async function run(encoding) {
    if (closed) throw new Error("the file was closed");
    const made = []; // what has to be deleted, whatever happens
    running++;
    try {
      return await outputsOf(encoding, made);
    } finally {
      for (const tensor of made) tensor.delete();
      running--;
      if (closed && !running) model.delete();
    }
  }

  async function outputsOf({ ids, segments }, made) {
    const [signature, length] = lengths.find(([, size]) => ids.length <= size);
    const values = {
      ids: new Int32Array(length).fill(config.pad_token_id),
      segments: new Int32Array(length),
      mask: new Int32Array(length).fill(1, 0, ids.length),
    };
    values.ids.set(ids);
    values.segments.set(segments);
    const inputs = {};
    for (const { name } of model.signatures[signature].getInputDetails()) {
      made.push((inputs[name] = new Tensor(values[ROLES[name]], [1, length])));
    }
    const results = await model.run(signature, inputs);
    made.push(...Object.values(results));
    const outputs = {};
    for (const [name, tensor] of Object.entries(results)) {
      const values = Float32Array.from(await tensor.data());
      const used = ROW_TASKS.includes(config.task) ? (values.length / length) * ids.length : values.length;
      outputs[name] = values.slice(0, used);
      if (!outputs[name].every(Number.isFinite)) throw new Error(`the model gave an output ${name} that is not finite`);
    }
    return outputs;
  }

  try {
    await tryKnownAnswer(config.known_answer, lengths.at(-1)[1], run);
  } catch (error) {
    close();
    throw error;
  }
  return Object.assign(answerer, { close });
}

// Throws unless the runtime gives the outputs that the exporter wrote down for one text, as keras_bert_edge.engine does.
async function tryKnownAnswer(known, longest, run) {
  if (!known) return;
  if (known.token_ids.length > longest) throw new Error("the file's known answer is not one of this model");
  const outputs = await run({ ids: known.token_ids, segments: known.segment_ids });
  let [squares, expected] = [0, 0];
  for (const [name, values] of Object.entries(known.outputs)) {
    for (const [at, value] of values.entries()) {
      squares += ((outputs[name]?.[at] ?? NaN) - value) ** 2;
      expected += value * value;
    }
  }
  const error = Math.sqrt(squares / Math.max(expected, 1e-30));
  if (!(error <= known.tolerance)) {
    throw new Error(`LiteRT.js computes this file wrongly: its outputs for a known text are off by ${error.toPrecision(2)}`);
  }
}
