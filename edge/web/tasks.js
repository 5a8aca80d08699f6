// What each task makes of a text, with the same rules as keras_bert_edge.tasks.

const OVERLAP = 128;
const LONGEST_WITH_QUESTION = 384; // windows as in training, also where the model reads longer ones
const TOP_K = 5;

export function softmax(values) {
  const highest = values.reduce((a, b) => Math.max(a, b), -Infinity); // a vocabulary is too many arguments
  const weights = values.map((value) => Math.exp(value - highest));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}

export class Answerer {
  // `run({ids, segments})` resolves to the outputs by name, flat arrays whose rows are the tokens given.
  constructor(config, tokenizer, longest, run) {
    Object.assign(this, { config, tokenizer, longest, run });
    this.needsPair = config.task === "question_answering" || config.task === "sentence_embedding";
    const tasks = {
      sequence_classification: this.classify,
      token_classification: this.tag,
      question_answering: this.ask,
      sentence_embedding: this.compare,
      masked_lm: this.fill,
    };
    this.answer = tasks[config.task];
    if (!this.answer) throw new Error(`this page has nothing to show for ${config.task}`);
  }

  async classify(text, pair = null) {
    const encoding = this.tokenizer.encode(text, pair, this.longest);
    const outputs = await this.run(encoding);
    let scores = Array.from(outputs.probability ?? outputs.logits);
    if (!outputs.probability) {
      const kind = this.config.problem_type;
      if (kind === "single_label_classification") scores = softmax(scores);
      else if (kind === "multi_label_classification") scores = scores.map((value) => 1 / (1 + Math.exp(-value)));
    }
    return { ids: encoding.ids, scores, truncated: encoding.truncated };
  }

  // The cosine of the angle between the vectors of two texts, and the vectors.
  async compare(one, other) {
    const vectors = [];
    let truncated = false;
    for (const text of [one, other]) {
      const encoding = this.tokenizer.encode(text, null, this.longest);
      vectors.push(Array.from((await this.run(encoding)).embedding));
      truncated ||= encoding.truncated;
    }
    const product = (a, b) => a.reduce((sum, value, index) => sum + value * b[index], 0);
    const [a, b] = vectors;
    const lengths = Math.sqrt(product(a, a) * product(b, b));
    return { similarity: lengths ? product(a, b) / lengths : 0, vectors, truncated };
  }

  // For each mask the most probable tokens: [{text, id, score}], best first, of equals the lower id first.
  async fill(text) {
    const { ids, segments, truncated } = this.tokenizer.encode(text, null, this.longest);
    const masks = [...ids.keys()].filter((at) => ids[at] === this.tokenizer.mask);
    if (!masks.length) return { fills: [], truncated };
    const { logits } = await this.run({ ids, segments });
    const width = logits.length / ids.length;
    const fills = masks.map((at) => {
      const scores = softmax(Array.from(logits.slice(at * width, (at + 1) * width)));
      const best = [...scores.keys()].sort((a, b) => scores[b] - scores[a] || a - b).slice(0, TOP_K);
      return best.map((id) => ({ text: this.tokenizer.tokenOf(id), id, score: scores[id] }));
    });
    return { fills, truncated };
  }

  async tag(text) {
    const tokens = this.tokenizer.tokens(text);
    const words = [];
    for (const [index, token] of tokens.entries()) {
      if (words.length && words.at(-1).number === token.word) words.at(-1).end = token.end;
      else words.push({ first: index, number: token.word, start: token.start, end: token.end });
    }
    if (!words.length) return { words: [], entities: [] };
    const labels = this.config.labels;
    const windows = makeWindows(this.tokenizer.single, tokens.map((token) => token.id), [], this.longest);
    const owner = widestContext(windows, tokens.length);
    const rows = new Array(words.length);
    for (const [index, window] of windows.entries()) {
      const { logits } = await this.run(window);
      for (const [number, word] of words.entries()) {
        if (owner[word.first] !== index) continue;
        const row = word.first - window.start + window.firstRow;
        rows[number] = Array.from(logits.slice(row * labels.length, (row + 1) * labels.length));
      }
    }
    const path = bestLegalPath(rows, labels);
    const tagged = words.map((word, index) => ({
      text: text.slice(word.start, word.end), start: word.start, end: word.end, tag: labels[path[index]],
      score: softmax(rows[index])[path[index]],
    }));
    return { words: tagged, entities: groupEntities(text, tagged) };
  }

  async ask(question, context, { longestAnswer = 30, nullThreshold = null } = {}) {
    const longest = Math.min(this.longest, LONGEST_WITH_QUESTION);
    const special = this.tokenizer.pair.filter((part) => part.special !== undefined).length;
    const whole = this.tokenizer.tokens(question).map((token) => token.id);
    const asked = whole.slice(0, (longest - special) >> 1);
    const tokens = this.tokenizer.tokens(context);
    const windows = makeWindows(this.tokenizer.pair, tokens.map((token) => token.id), asked, longest);
    const owner = widestContext(windows, tokens.length);
    let best = null;
    let nullLogit = Infinity;
    for (const [index, window] of windows.entries()) {
      const { start_logits: starts, end_logits: ends } = await this.run(window);
      nullLogit = Math.min(nullLogit, starts[0] + ends[0]);
      for (let first = window.start; first < window.end; first++) {
        if (owner[first] !== index) continue;
        for (let last = first; last < Math.min(window.end, first + longestAnswer); last++) {
          const row = window.firstRow - window.start;
          const logit = starts[first + row] + ends[last + row];
          if (best && logit <= best.logit) continue;
          const [start, end] = trimmed(context, tokens[first].start, tokens[last].end);
          if (start < end) best = { logit, start, end };
        }
      }
    }
    const truncated = asked.length < whole.length;
    const nothing = { answer: "", start: 0, end: 0, difference: best ? nullLogit - best.logit : null, truncated };
    if (!best || (nullThreshold !== null && nothing.difference > nullThreshold)) return nothing;
    return { ...nothing, answer: context.slice(best.start, best.end), start: best.start, end: best.end };
  }
}

function trimmed(text, start, end) {
  const inside = text.slice(start, end);
  const from = start + inside.length - inside.trimStart().length;
  return [from, from + inside.trim().length];
}

// Windows of at most `longest` tokens, each with the template's special tokens; neighbours share 128 tokens or half.
function makeWindows(template, ids, question, longest) {
  const context = question.length || template.some((part) => part.text === 1) ? 1 : 0;
  const special = template.filter((part) => part.special !== undefined).length;
  const room = longest - special - question.length;
  const step = room - Math.min(OVERLAP, room >> 1);
  const windows = [];
  for (let start = 0; ; start += step) {
    const end = Math.min(start + room, ids.length);
    const window = { ids: [], segments: [], start, end, firstRow: 0 };
    for (const part of template) {
      const isContext = part.text === context;
      if (isContext) window.firstRow = window.ids.length;
      const held = isContext ? ids.slice(start, end) : part.text === 0 ? question : [part.special];
      window.ids.push(...held);
      window.segments.push(...held.map(() => part.segment));
    }
    windows.push(window);
    if (end === ids.length) return windows;
  }
}

// Which window sees each token with the most text around it; the first wins a tie.
function widestContext(windows, count) {
  const best = new Array(count).fill(-1);
  const owner = new Array(count).fill(0);
  for (const [index, window] of windows.entries()) {
    for (let token = window.start; token < window.end; token++) {
      const score = Math.min(token - window.start, window.end - 1 - token) + 0.01 * (window.end - window.start);
      if (score > best[token]) [best[token], owner[token]] = [score, index];
    }
  }
  return owner;
}

// The tag sequence of the highest total logit in which I-X follows B-X or I-X alone (Viterbi).
function bestLegalPath(rows, labels) {
  const mayStart = labels.map((label) => !(label.startsWith("I-") && labels.includes(`B-${label.slice(2)}`)));
  const follows = (before, after) =>
    mayStart[after] || (/^[BI]-/.test(labels[before]) && labels[after] === `I-${labels[before].slice(2)}`);
  let best = rows[0].map((value, tag) => (mayStart[tag] ? value : -Infinity));
  const back = [];
  for (const row of rows.slice(1)) {
    const from = row.map((_, after) => {
      let chosen = -1;
      for (const before of labels.keys()) {
        if (follows(before, after) && (chosen < 0 || best[before] > best[chosen])) chosen = before;
      }
      return chosen;
    });
    best = row.map((value, after) => best[from[after]] + value);
    back.push(from);
  }
  const path = [best.indexOf(Math.max(...best))];
  for (const from of back.reverse()) path.unshift(from[path[0]]);
  return path;
}

function groupEntities(text, words) {
  const entities = [];
  let open = null;
  for (const { tag, start, end } of words) {
    const [prefix, label] = [tag.slice(0, 2), tag.slice(2)];
    if (prefix === "I-" && open?.label === label) open.end = end;
    else if (prefix === "B-" || prefix === "I-") entities.push((open = { label, start, end }));
    else open = null;
  }
  return entities.map((entity) => ({ ...entity, text: text.slice(entity.start, entity.end) }));
}
