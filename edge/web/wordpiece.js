// WordPiece as the `tokenizers` package does it, from the tokenizer.json of an exported file.
// Offsets count UTF-16 units, so that text.slice(start, end) is what a token stands for.

import { CONTROL, MARK, PUNCTUATION } from "./characters.js";

const SPACE = /[\t\n\v\f\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;
const CHINESE = [
  [0x4e00, 0x9fff], [0x3400, 0x4dbf], [0x20000, 0x2a6df], [0x2a700, 0x2b73f], [0x2b740, 0x2b81f], [0x2b920, 0x2ceaf],
  [0xf900, 0xfaff], [0x2f800, 0x2fa1f],
];
const LONE_SURROGATES = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function escapeRegExp(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

export class WordPiece {
  // Throws an Error for a tokenizer that is no WordPiece of BERT's kind.
  constructor(json) {
    const { model, normalizer, pre_tokenizer: split, post_processor: template, added_tokens: added } = json;
    if (model?.type !== "WordPiece" || normalizer?.type !== "BertNormalizer" || split?.type !== "BertPreTokenizer") {
      throw new Error("this page reads WordPiece tokenizers (BERT, DistilBERT); this file has another kind");
    }
    if (added.some((token) => token.lstrip || token.rstrip || token.single_word || token.normalized)) {
      throw new Error("this page does not know added tokens that take in the spaces or letters around them");
    }
    this.vocab = new Map(Object.entries(model.vocab));
    this.prefix = model.continuing_subword_prefix;
    this.longestWord = model.max_input_chars_per_word;
    this.unknown = this.vocab.get(model.unk_token);
    this.normalizer = normalizer;
    this.stripAccents = normalizer.strip_accents ?? normalizer.lowercase;
    this.added = new Map(added.map((token) => [token.content, token.id]));
    const contents = [...this.added.keys()].sort((a, b) => b.length - a.length).map(escapeRegExp);
    this.addedPattern = contents.length ? new RegExp(contents.join("|"), "g") : null;
    this.mask = this.added.get("[MASK]") ?? this.vocab.get("[MASK]");
    this.single = this.readTemplate(template, "single");
    this.pair = this.readTemplate(template, "pair");
  }

  // A token as it is written in the vocabulary; "" for an id that no token has.
  tokenOf(id) {
    this.byId ??= new Map([...this.vocab, ...this.added].map(([token, number]) => [number, token]));
    return this.byId.get(id) ?? "";
  }

  // [{special: id} or {text: 0 or 1}, each with its segment]
  readTemplate(template, kind) {
    if (template?.type === "BertProcessing") {
      const [cls, sep] = [template.cls[1], template.sep[1]].map((id) => (segment) => ({ special: id, segment }));
      const parts = [cls(0), { text: 0, segment: 0 }, sep(0)];
      return kind === "single" ? parts : [...parts, { text: 1, segment: 1 }, sep(1)];
    }
    if (template?.type !== "TemplateProcessing") {
      throw new Error("this page does not know how this tokenizer adds special tokens");
    }
    return template[kind].map((part) =>
      part.SpecialToken
        ? { special: template.special_tokens[part.SpecialToken.id].ids[0], segment: part.SpecialToken.type_id }
        : { text: part.Sequence.id === "A" ? 0 : 1, segment: part.Sequence.type_id },
    );
  }

  // Tokens of one text without special ones: [{id, start, end, word}]
  tokens(text) {
    text = text.replace(LONE_SURROGATES, "\ufffd");
    const found = [];
    const counter = { words: 0 };
    let at = 0;
    for (const match of this.addedPattern ? text.matchAll(this.addedPattern) : []) {
      this.addWords(this.normalize(text, at, match.index), found, counter);
      at = match.index + match[0].length;
      found.push({ id: this.added.get(match[0]), start: match.index, end: at, word: counter.words++ });
    }
    this.addWords(this.normalize(text, at, text.length), found, counter);
    return found;
  }

  // Characters of text.slice(from, to) after normalisation, each with its place in the text.
  normalize(text, from, to) {
    const characters = [];
    for (let at = from; at < to; ) {
      const character = String.fromCodePoint(text.codePointAt(at));
      const place = { start: at, end: at + character.length };
      at = place.end;
      if (this.normalizer.clean_text && CONTROL.test(character)) continue;
      let value = this.normalizer.clean_text && SPACE.test(character) ? " " : character;
      if (this.stripAccents) value = value.normalize("NFD");
      const code = character.codePointAt(0);
      const spaced = this.normalizer.handle_chinese_chars && CHINESE.some(([low, high]) => low <= code && code <= high);
      if (spaced) characters.push({ value: " ", ...place });
      for (const part of value) {
        if (this.stripAccents && MARK.test(part)) continue;
        for (const lower of this.normalizer.lowercase ? part.toLowerCase() : part) {
          characters.push({ value: lower, ...place });
        }
      }
      if (spaced) characters.push({ value: " ", ...place });
    }
    return characters;
  }

  // Splits at spaces and punctuation and adds the pieces of each word to `found`.
  addWords(characters, found, counter) {
    let word = [];
    const flush = () => {
      if (word.length) this.addPieces(word, found, counter.words++);
      word = [];
    };
    for (const character of characters) {
      if (SPACE.test(character.value)) flush();
      else if (PUNCTUATION.test(character.value)) {
        flush();
        word = [character];
        flush();
      } else word.push(character);
    }
    flush();
  }

  // Greedy, the longest piece first; a word that cannot be spelled is one unknown token.
  addPieces(word, found, number) {
    const pieces = [];
    let start = word.length > this.longestWord ? -1 : 0;
    while (start >= 0 && start < word.length) {
      let end = word.length;
      let id;
      for (; end > start; end--) {
        const piece = (start ? this.prefix : "") + word.slice(start, end).map((one) => one.value).join("");
        id = this.vocab.get(piece);
        if (id !== undefined) break;
      }
      if (id === undefined) start = -1;
      else {
        pieces.push({ id, start: word[start].start, end: word[end - 1].end, word: number });
        start = end;
      }
    }
    if (start < 0) found.push({ id: this.unknown, start: word[0].start, end: word.at(-1).end, word: number });
    else found.push(...pieces);
  }

  // {ids, segments, truncated} of a text, or of a pair cut from its longer text, at most `longest` tokens.
  encode(text, pair, longest) {
    const template = pair === null ? this.single : this.pair;
    const texts = pair === null ? [this.tokens(text)] : [this.tokens(text), this.tokens(pair)];
    const room = longest - template.filter((part) => part.special !== undefined).length;
    const sizes = fit(texts.map((tokens) => tokens.length), room);
    const truncated = texts.some((tokens, index) => tokens.length > sizes[index]);
    const ids = [];
    const segments = [];
    for (const part of template) {
      const add = part.text === undefined ? [part.special] : texts[part.text].slice(0, sizes[part.text]).map((t) => t.id);
      ids.push(...add);
      segments.push(...add.map(() => part.segment));
    }
    return { ids, segments, truncated };
  }
}

// How many tokens of each text fit into `room`: "longest_first" of the tokenizers package.
function fit(sizes, room) {
  if (sizes.reduce((a, b) => a + b) <= room) return sizes;
  if (sizes.length === 1) return [room];
  let [less, more] = [...sizes].sort((a, b) => a - b);
  const swapped = sizes[0] > sizes[1];
  more = less > room ? less : Math.max(less, room - less);
  if (less + more > room) {
    less = Math.floor(room / 2);
    more = less + (room % 2);
  }
  return swapped ? [more, less] : [less, more];
}
