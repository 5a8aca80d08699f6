import { open } from "./runner.js";

const $ = (id) => document.getElementById(id);
const element = (name, className, text = "") => Object.assign(document.createElement(name), { className, textContent: text });

let answerer = null;
let latest = 0;

async function pick(file) {
  answerer = null;
  latest++;
  $("result").replaceChildren();
  $("latency").textContent = "";
  $("status").textContent = `opening ${file.name} ...`;
  try {
    answerer = await open(new Uint8Array(await file.arrayBuffer()));
  } catch (error) {
    $("status").textContent = `error: ${error.message}`;
    return;
  }
  const { task, recipe, labels } = answerer.config;
  $("status").textContent = `${file.name}: ${task.replaceAll("_", " ")}, ${recipe}, ${labels.length} labels`;
  $("question-row").hidden = !answerer.needsPair;
  $("text").disabled = false;
  await show();
}

async function show() {
  const number = ++latest;
  const text = $("text").value;
  if (!answerer || (answerer.needsPair && !$("question").value.trim())) return;
  const began = performance.now();
  const result = answerer.needsPair ? await answerer.answer($("question").value, text) : await answerer.answer(text);
  const milliseconds = performance.now() - began;
  if (number !== latest) return; // a newer text is on its way
  const parts = result.scores ? bars(result) : marked(text, result.entities ?? (result.answer ? [result] : []));
  if (result.answer === "") parts.push(element("p", "nothing", "no answer in this text"));
  $("result").replaceChildren(...parts);
  $("latency").textContent = `${milliseconds.toFixed(1)} ms`;
}

function bars({ scores, truncated }) {
  const { labels, problem_type: kind } = answerer.config;
  if (kind === "regression") return [element("p", "value", `${labels[0]}: ${scores[0].toFixed(4)}`)];
  const rows = labels.map((label, index) => [label, scores[index]]).sort((a, b) => b[1] - a[1]);
  const parts = rows.map(([label, score]) => {
    const row = element("div", "bar");
    const fill = element("span", "fill");
    fill.style.width = `${100 * score}%`;
    row.append(fill, element("span", "label", label), element("span", "score", score.toFixed(4)));
    return row;
  });
  if (truncated) parts.push(element("p", "nothing", "the text is longer than the model reads and was cut"));
  return parts;
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
  return [paragraph];
}

$("file").addEventListener("change", (event) => event.target.files[0] && pick(event.target.files[0]));
for (const id of ["text", "question"]) $(id).addEventListener("input", show);
