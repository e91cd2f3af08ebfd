/**
 * The `~HH` coding of argument values (docs/protocol.md, writer's rule 4, reader's rule 7). In: text, or the joined characters
 * of `arg` and `more` lines. Out: the other form. A decoded value never holds a character that could hide or reorder text.
 */
import { fromUtf8, utf8 } from './bytes.js';

/** The longest decoded value, in bytes of UTF-8. */
const MAX_DECODED = 4096;

/** Characters that a value may not hold: src/protocol/value.rs has the same list, and lone surrogates are no Unicode. */
const UNSAFE =
  /[\u{0}-\u{1f}\u{7f}-\u{9f}\u{ad}\u{34f}\u{61c}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}-\u{180f}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{3164}\u{d800}-\u{dfff}\u{fe00}-\u{fe0f}\u{feff}\u{ffa0}\u{fff0}-\u{fffb}\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/u;
const UNSAFE_ALL = new RegExp(UNSAFE.source, 'gu');
const PLAIN = /^[A-Za-z0-9._/:=,+-]$/;

/** What is wrong with an input. `word` is one of docs/protocol.md's verdicts or a word of this page; `detail` is shown with it. */
export class Fault extends Error {
  /** @param {string} word @param {string} [detail] */
  constructor(word, detail = '') {
    super(detail ? `${word}: ${detail}` : word);
    this.word = word;
    this.detail = detail;
  }
}

/**
 * Whether `text` holds a character that a value may not hold.
 * @param {string} text
 */
export function isUnsafe(text) {
  return UNSAFE.test(text);
}

/**
 * `text` with every such character made visible; line ends and tabs stay.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(/\r\n/g, '\n').replace(UNSAFE_ALL, (c) => {
    const code = c.codePointAt(0) ?? 0;
    if (c === '\n' || c === '\t') return c;
    if (code < 0x20 || code === 0x7f) return '^' + String.fromCharCode(code ^ 0x40);
    return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`;
  });
}

/**
 * The units that encode `value`: each is one character or one `~HH`, and is never split.
 * @param {string} value
 */
export function encodeValue(value) {
  const bytes = utf8(value);
  return Array.from(bytes, (byte, at) => {
    const c = String.fromCharCode(byte);
    const before = at > 0 ? String.fromCharCode(bytes[at - 1]) : '';
    const isChanged = (c === '-' && (before === '' || before === '-')) || (c === '/' && before === ':');
    return PLAIN.test(c) && !isChanged ? c : '~' + byte.toString(16).toUpperCase().padStart(2, '0');
  });
}

/**
 * Whether a line's value may hold only what is plain, and `~`.
 * @param {string} text
 */
export function isWireValue(text) {
  return /^[A-Za-z0-9._/:=,+~-]*$/.test(text);
}

/**
 * Decodes the joined characters of an argument.
 * @param {string} encoded @returns {string}
 */
export function decodeValue(encoded) {
  /** @type {number[]} */
  const bytes = [];
  for (let at = 0; at < encoded.length; at += 1) {
    if (encoded[at] !== '~') {
      bytes.push(encoded.charCodeAt(at));
      continue;
    }
    const digits = encoded.slice(at + 1, at + 3);
    if (!/^[0-9A-F]{2}$/.test(digits)) throw new Fault('bad-value', '~');
    bytes.push(parseInt(digits, 16));
    at += 2;
  }
  let text;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    throw new Fault('bad-value', 'UTF-8');
  }
  checkValue(text);
  return text;
}

/**
 * Refuses what a gateway refuses in a value (reader's rule 7).
 * @param {string} text
 */
export function checkValue(text) {
  const found = UNSAFE.exec(text);
  if (found) throw new Fault('bad-value', `U+${(found[0].codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`);
  if (utf8(text).length > MAX_DECODED) throw new Fault('bad-value', `> ${MAX_DECODED}`);
}

/**
 * The text in a URL's fragment, as base64url of UTF-8; null if it is none.
 * @param {string} text
 */
export function fromBase64Url(text) {
  if (!/^[A-Za-z0-9_-]+$/.test(text) || text.length % 4 === 1) return null;
  return fromUtf8(Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0)));
}
