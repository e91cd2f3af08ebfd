/**
 * Lines of `key: value`, and blocks in the text around them (docs/protocol.md, reader's rules 3 to 6). In: decoded texts. Out: a
 * block's fields in order, with exactly the text that its mac covers. It corrects only what rule 3 names.
 */
import { unhex, utf8 } from './bytes.js';
import { Fault } from './value.js';

/** The longest line of a block, in octets. */
const MAX_LINE = 998;
/** More than the fields of any block that a gateway writes. */
const MOST_FIELDS = 16;

/**
 * @typedef {'mailsudo' | 'mailsudo-reply' | 'mailsudo-notice'} Kind
 * @typedef {{ offset: number, version: string, isTooLong: boolean, next: number }} Start
 * @typedef {{ fields: [string, string][], signed: string, mac: Uint8Array, end: number }} Block
 * @typedef {{ above: string, block: Block, below: string }} Found
 */

/**
 * One line as the mac covers it.
 * @param {string} key @param {string} value
 */
export function line(key, value) {
  return `${key}: ${value}\n`;
}

/**
 * The only block of a request in `texts` (rule 4).
 * @param {string[]} texts @returns {Block}
 */
export function onlyRequest(texts) {
  const all = texts.flatMap((text) => startsOf(text, 'mailsudo').map((start) => ({ text, start })));
  if (all.length === 0) throw new Fault('not-a-request');
  if (all.length > 1) throw new Fault('ambiguous');
  return readBlock(all[0].text, all[0].start, 'mailsudo');
}

/**
 * Every readable block of a gateway's kind in `text`, in order.
 * @param {string} text @param {Kind} kind @returns {Found[]}
 */
export function blocksOf(text, kind) {
  return startsOf(text, kind).flatMap((start) => {
    try {
      const block = readBlock(text, start, kind);
      return [{ above: text.slice(0, start.offset), block, below: text.slice(block.end) }];
    } catch {
      return [];
    }
  });
}

/** @param {string} text @param {Start} start @param {Kind} kind @returns {Block} */
function readBlock(text, start, kind) {
  if (start.version !== '1') throw new Fault('unsupported-version', start.version);
  if (start.isTooLong) throw new Fault('malformed');
  /** @type {[string, string][]} */
  const fields = [];
  let signed = line(kind, start.version);
  for (const { offset, raw } of linesOf(text, start.next)) {
    if (trim(raw) === '') continue;
    const found = isLong(raw) ? null : fieldOf(raw);
    if (!found) throw new Fault('malformed');
    const [key, value] = found;
    if (key === 'mac') {
      const mac = value.length === 64 ? unhex(value) : null;
      if (!mac) throw new Fault('malformed');
      return { fields, signed, mac, end: offset + raw.length };
    }
    if (kind !== 'mailsudo' && fields.length >= MOST_FIELDS) throw new Fault('malformed');
    signed += line(key, value);
    fields.push([key, value]);
  }
  throw new Fault('malformed');
}

/** @param {string} text @param {Kind} kind @returns {Start[]} */
function startsOf(text, kind) {
  /** @type {Start[]} */
  const starts = [];
  for (const { offset, raw } of linesOf(text, 0)) {
    const found = fieldOf(raw);
    if (found && found[0] === kind && /^[0-9]{1,9}$/.test(found[1])) {
      starts.push({ offset, version: found[1], isTooLong: isLong(raw), next: offset + raw.length + 1 });
    }
  }
  return starts;
}

/**
 * The lines of a text from `from` on: split at LF, a leading BOM left out.
 * @param {string} text @param {number} from
 */
function* linesOf(text, from) {
  let offset = from === 0 && text.startsWith('\u{feff}') ? 1 : from;
  while (offset <= text.length) {
    const end = text.indexOf('\n', offset);
    const raw = text.slice(offset, end < 0 ? text.length : end);
    yield { offset, raw };
    offset += raw.length + 1;
  }
}

/** @param {string} raw */
function isLong(raw) {
  return utf8(raw.replace(/\r$/, '')).length > MAX_LINE;
}

/**
 * Spaces, tabs and no-break spaces off both ends. Loops, because a regular expression takes the square of a run of blanks.
 * @param {string} raw
 */
function trim(raw) {
  const blanks = ' \t\u{a0}';
  let [start, end] = [0, raw.endsWith('\r') ? raw.length - 1 : raw.length];
  while (start < end && blanks.includes(raw[start])) start += 1;
  while (end > start && blanks.includes(raw[end - 1])) end -= 1;
  return raw.slice(start, end);
}

/**
 * The key in lower case and the value of a line of `key: value` (rule 5).
 * @param {string} raw @returns {[string, string] | null}
 */
function fieldOf(raw) {
  if (raw.indexOf(':') < 0) return null;
  const found = /^([A-Za-z-]+)[ \t\u{a0}]*:[ \t\u{a0}]*([!-~]+)$/u.exec(trim(raw));
  return found ? [found[1].toLowerCase(), found[2]] : null;
}
