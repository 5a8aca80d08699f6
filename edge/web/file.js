// The parts of an exported file: checks its digest, reads the stored zip at its end. Throws Errors with a message.

import { sha256 } from "./sha256.js";

const PREFIX = "keras-bert sha256:";
const COMMENT = PREFIX.length + 64;
const END = 22;
const LIMITS = { "config.json": 1 << 20, "tokenizer.json": 64 << 20 };

export async function readFile(bytes) {
  const text = (from, to) => new TextDecoder().decode(bytes.subarray(from, to));
  const end = bytes.length - COMMENT - END;
  if (text(4, 8) !== "TFL3") throw new Error("this is not a TFLite model");
  if (end <= 0 || text(end, end + 2) !== "PK" || text(end + END, end + END + PREFIX.length) !== PREFIX) {
    throw new Error("this file was not exported by keras-bert, or is cut short");
  }
  const digest = await digestOf(bytes.subarray(0, end + END));
  if (text(bytes.length - 64, bytes.length) !== digest) throw new Error("this file is damaged: its digest does not match");

  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const members = {};
  let at = view.getUint32(end + 16, true);
  const directory = at;
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    if (at + 46 > end || view.getUint32(at, true) !== 0x02014b50) throw new Error("the archive in this file is malformed");
    const [nameSize, extraSize, commentSize] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    const name = text(at + 46, at + 46 + nameSize);
    const [size, header] = [view.getUint32(at + 24, true), view.getUint32(at + 42, true)];
    if (Object.hasOwn(LIMITS, name)) {
      const data = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
      if (view.getUint16(at + 10, true) !== 0 || size > LIMITS[name] || data + size > directory) {
        throw new Error(`the archive in this file is malformed: ${name}`);
      }
      members[name] = JSON.parse(text(data, data + size));
    }
    at += 46 + nameSize + extraSize + commentSize;
  }
  const config = members["config.json"];
  if (config?.format !== "keras-bert-edge" || !members["tokenizer.json"]) {
    throw new Error("this file was not exported by keras-bert");
  }
  if (config.format_version > 1) throw new Error(`this file has the newer format ${config.format_version}`);
  return { config, tokenizer: members["tokenizer.json"] };
}

// The browser's own is faster, and kept from pages that came over http from another machine.
async function digestOf(bytes) {
  if (!globalThis.crypto?.subtle) return sha256(bytes);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
