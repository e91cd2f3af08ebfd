/**
 * What a mail program may show of a message: its subject and all of its parts (src/intake/shown.rs). In: the bytes of a message, or
 * of pasted text. Out: text and notes. It is used to check a message, so what cannot be read is named and never guessed at.
 */
import { binary, fromUtf8, unbase64, unbinary } from './bytes.js';
import { decodeBody, inCharset, isKnownCharset, unquoted } from './decode.js';
import { readHtml } from './html.js';
import { isEncodedAs, unclearHeader, unclearLines, unclearParts, withoutComments } from './unclear.js';

const MAX_DEPTH = 32;
const MAX_PARTS = 1000;
/** The longest header field that is read, in bytes. */
const MAX_FIELD = 8 * 998;

/**
 * @typedef {{ kind: 'plain', text: string } | { kind: 'html', text: string, isBare: boolean } | { kind: 'other', what: string }} Part
 * @typedef {{ name: string, value: string }} Field
 * @typedef {{ header: string, fields: Field[], body: string }} Entity
 * @typedef {import('./unclear.js').Remark} Remark
 * @typedef {{ type: string, parameters: Map<string, string> }} Typed
 * @typedef {Typed & { boundary: string, encoding: string, isAttachment: boolean }} Content
 */

/**
 * Null if it is not a mail but, for example, pasted text: a mail has a From field.
 * @param {Uint8Array} raw
 */
export function readMail(raw) {
  const text = binary(raw);
  const message = entityOf(text);
  if (!message.fields.some(({ name }) => name === 'from')) return null;
  const subjects = message.fields.filter(({ name }) => name === 'subject').map(({ value }) => decodeWords(value));
  const date = message.fields.find(({ name }) => name === 'date')?.value ?? '';
  /** @type {Part[]} */
  let parts = [];
  /** @type {Remark[]} */
  const unclear = unclearLines(text);
  try {
    visit(message, false, 0, parts, { parts: 0, unclear });
  } catch {
    parts = [{ kind: 'other', what: 'too-many' }];
  }
  return { subject: subjects.length > 0 ? subjects.join(' / ') : null, date, parts, unclear };
}

/**
 * Splits at the first empty line; without one all of it is the header.
 * @param {string} raw @returns {Entity}
 */
export function entityOf(raw) {
  const empty = /(?:^|\n)\r?\n/.exec(raw);
  const header = empty ? raw.slice(0, empty.index) : raw;
  /** @type {Field[]} */
  const fields = [];
  for (const line of header.split(/\n(?![ \t])/)) {
    const colon = line.indexOf(':');
    if (colon < 0) continue;
    fields.push({ name: line.slice(0, colon).trimEnd().toLowerCase(), value: line.slice(colon + 1).trim() });
  }
  return { header, fields, body: empty ? raw.slice(empty.index + empty[0].length) : '' };
}

/**
 * What a header says of the body; null if it says it twice, or in too long a field.
 * @param {Entity} entity @returns {Content | null}
 */
export function contentOf({ fields }) {
  const [types, dispositions, encodings] = ['type', 'disposition', 'transfer-encoding'].map((name) => fields.filter((field) => field.name === `content-${name}`));
  if ([types, dispositions, encodings].some((found) => found.length > 1 || (found[0]?.value.length ?? 0) > MAX_FIELD)) return null;
  const { type, parameters } = types.length > 0 ? typed(types[0].value) : { type: '', parameters: new Map() };
  const boundary = (parameters.get('boundary') ?? '').trimEnd();
  const encoding = withoutComments(encodings[0]?.value ?? '').split(/[\s;]/)[0].toLowerCase();
  return { type, parameters, boundary, encoding, isAttachment: dispositions.length > 0 && typed(dispositions[0].value).type !== 'inline' };
}

/** @param {Entity} entity @param {boolean} inDigest @param {number} depth @param {Part[]} found @param {{ parts: number, unclear: Remark[] }} seen */
function visit(entity, inDigest, depth, found, seen) {
  seen.parts += 1;
  if (depth > MAX_DEPTH || seen.parts > MAX_PARTS) throw new Error('parts');
  seen.unclear.push(...unclearHeader(entity.header, entity.fields, depth > 0));
  const content = contentOf(entity);
  /** @param {string} what */
  const other = (what) => {
    found.push({ kind: 'other', what });
  };
  if (!content) return other('field-twice');
  const { type, parameters, boundary, encoding, isAttachment } = content;
  if (isAttachment) return other('attachment');
  /** @param {string} what */
  const remark = (what) => seen.unclear.push({ what: 'several-ways', text: what });
  if (type.startsWith('multipart/') && boundary !== '') {
    seen.unclear.push(...unclearParts(entity.body, boundary));
    if (encoding === 'base64' || encoding === 'quoted-printable') remark(encoding);
    for (const part of partsOf(entity.body, boundary)) visit(entityOf(part), type === 'multipart/digest', depth + 1, found, seen);
    return;
  }
  const isUnstated = type === '' || type === 'text';
  if (type.startsWith('message/') || (isUnstated && inDigest)) return other('message');
  if (!isUnstated && type !== 'text/plain' && type !== 'text/html') return other('other-type');
  const charset = parameters.get('charset');
  if (!isEncodedAs(encoding, entity.body)) remark(encoding);
  if (charset && !isKnownCharset(charset)) remark(charset);
  const text = decodeBody(entity.body, encoding, charset ?? '');
  found.push(type === 'text/html' ? { kind: 'html', ...readHtml(text) } : { kind: 'plain', text });
}

/**
 * The parts of a multipart body: a delimiter is a line of its own, with at most blanks after it.
 * @param {string} body @param {string} boundary
 */
export function partsOf(body, boundary) {
  /** @type {string[]} */
  const parts = [];
  let start = -1;
  let at = 0;
  for (const line of body.split(/(?<=\n)/)) {
    const tail = line.startsWith('--' + boundary) ? line.slice(2 + boundary.length).trim() : null;
    if (tail === '' || tail === '--') {
      if (start >= 0) parts.push(body.slice(start, at));
      start = tail === '' ? at + line.length : -1;
      if (tail === '--') return parts;
    }
    at += line.length;
  }
  if (start >= 0) parts.push(body.slice(start));
  return parts;
}

/**
 * A value with parameters (RFC 2045 section 5.1): its type in lower case, and the parameters.
 * @param {string} value @returns {Typed}
 */
function typed(value) {
  const flat = value.replace(/[\r\n]+/g, '').replace(/\((?:[^()\\]|\\.)*\)/g, ' ');
  const type = /^\s*([^\s;]*)/.exec(flat)?.[1].toLowerCase() ?? '';
  /** @type {Map<string, string>} */
  const parameters = new Map();
  for (const found of flat.matchAll(/;\s*([A-Za-z0-9_*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]*))/g)) {
    const name = found[1].toLowerCase();
    if (!parameters.has(name)) parameters.set(name, found[2] !== undefined ? found[2].replace(/\\(.)/g, '$1') : found[3]);
  }
  // A boundary in pieces (RFC 2231) counts before a whole one, as for the gateway.
  let pieces = '';
  for (let at = 0; parameters.has(`boundary*${at}`); at += 1) pieces += parameters.get(`boundary*${at}`);
  if (pieces) parameters.set('boundary', pieces);
  return { type, parameters };
}

/**
 * A field's text with its encoded words (RFC 2047).
 * @param {string} value
 */
function decodeWords(value) {
  if (value.length > MAX_FIELD) return '';
  const flat = value.replace(/\r?\n/g, '').replace(/(=\?[^?\s]+\?[bq]\?[^?\s]*\?=)\s+(?==\?)/gi, '$1');
  const word = /=\?([^?*\s]+)(?:\*[^?\s]*)?\?([bq])\?([^?\s]*)\?=/gi;
  let [text, at] = ['', 0];
  for (const found of flat.matchAll(word)) {
    text += fromUtf8(unbinary(flat.slice(at, found.index)));
    at = (found.index ?? 0) + found[0].length;
    const bytes = found[2].toLowerCase() === 'b' ? unbase64(found[3]) : unquoted(found[3].replace(/_/g, '=20'));
    text += bytes ? inCharset(bytes, found[1]) : found[0];
  }
  return text + fromUtf8(unbinary(flat.slice(at)));
}
