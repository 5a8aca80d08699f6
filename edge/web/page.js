import { open } from "./runner.js";

const $ = (id) => document.getElementById(id);
const element = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

// What the second field is for, by task; classifiers may do without.
const PAIRED = {
  question_answering: "Question",
  sentence_embedding: "Compared with",
  sequence_classification: "Second text, for pairs",
};

let answerer = null;
let picked = 0; // files so far
let latest = 0; // texts so far; answers to an older one come too late

async function pick(file) {
  const number = ++picked;
  answerer?.close();
  answerer = null;
  latest++;
  $("result").replaceChildren();
  $("latency").textContent = "";
  $("status").textContent = `opening ${file.name} ...`;
  let opened;
  try {
    opened = await open(new Uint8Array(await file.arrayBuffer()));
  } catch (error) {
    if (number === picked) $("status").textContent = `error: ${error.message}`;
    return;
  }
  if (number !== picked) return opened.close(); // another file was picked meanwhile
  answerer = opened;
  const { task, recipe, labels } = answerer.config;
  const counted = labels.length ? `, ${labels.length} labels` : "";
  $("status").textContent = `${file.name}: ${task.replaceAll("_", " ")}, ${recipe}${counted}`;
  $("question-row").hidden = !(task in PAIRED);
  $("question-name").textContent = PAIRED[task] ?? "";
  $("threshold-row").hidden = task !== "question_answering";
  $("text").disabled = false;
  await show();
}

async function show() {
  const number = ++latest;
  const text = $("text").value;
  if (!answerer || (answerer.needsPair && !$("question").value.trim())) {
    $("result").replaceChildren(); // nothing is asked: no older answer stays
    $("latency").textContent = "";
    return;
  }
  const began = performance.now();
  let parts;
  let latency = "";
  try {
    const result = await asked(text);
    latency = `${(performance.now() - began).toFixed(1)} ms`;
    if (number !== latest) return; // a newer text is on its way
    parts = shown(text, result);
  } catch (error) {
    if (number !== latest) return;
    parts = [element("p", "nothing", `error: ${error.message}`)];
  }
  $("result").replaceChildren(...parts);
  $("latency").textContent = latency;
}

function asked(text) {
  const { task } = answerer.config;
  const other = $("question").value;
  const threshold = $("threshold").value;
  if (task === "question_answering") {
    return answerer.answer(other, text, { nullThreshold: threshold === "" ? null : Number(threshold) });
  }
  if (answerer.needsPair) return answerer.answer(other, text);
  return answerer.answer(text, task in PAIRED && other.trim() ? other : null);
}

function shown(text, result) {
  const parts = [];
  if (result.scores) parts.push(...labelled(result.scores));
  else if (result.similarity !== undefined) parts.push(bar("similarity", result.similarity));
  else if (result.fills) parts.push(...filled(result.fills));
  else parts.push(marked(text, result.entities ?? (result.answer ? [result] : [])));
  if (result.answer === "") parts.push(element("p", "nothing", "no answer in this text"));
  const cut = answerer.config.task === "question_answering" ? "question" : "text";
  if (result.truncated) parts.push(element("p", "nothing", `the ${cut} is longer than the model reads and was cut`));
  return parts;
}

function labelled(scores) {
  const { labels, problem_type: kind } = answerer.config;
  if (kind === "regression") return [element("p", "value", `${labels[0]}: ${scores[0].toFixed(4)}`)];
  const rows = labels.map((label, index) => [label, scores[index]]).sort((a, b) => b[1] - a[1]);
  return rows.map(([label, score]) => bar(label, score));
}

function filled(fills) {
  if (!fills.length) return [element("p", "nothing", "write [MASK] where a word is missing")];
  return fills.flatMap((tokens, index) => [
    element("h2", "mask", `mask ${index + 1}`),
    ...tokens.map((token) => bar(token.text, token.score)),
  ]);
}

function bar(label, score) {
  const row = element("div", "bar");
  const fill = element("span", "fill");
  fill.style.width = `${100 * Math.max(score, 0)}%`;
  row.append(fill, element("span", "label", label), element("span", "score", score.toFixed(4)));
  return row;
}

function marked(text, places) {
  const paragraph = element("p", "text");
  let at = 0;
  for (const { start, end, label } of places) {
    const mark = element("mark", "", text.slice(start, end));
    if (label) mark.append(element("small", "", label));
    paragraph.append(text.slice(at, start), mark);
    at = end;
  }
  paragraph.append(text.slice(at));
  return paragraph;
}

$("file").addEventListener("change", (event) => event.target.files[0] && pick(event.target.files[0]));
for (const id of ["text", "question", "threshold"]) $(id).addEventListener("input", show);
