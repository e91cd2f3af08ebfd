/**
 * What mail programs may read in more than one way, or show besides a message's texts (src/intake/unclear.rs, decision 0044). In: a
 * message. Out: each such thing, as the message has it. What is not found here shows the same under every reading of the standards.
 */
import { isEncodedAs, isKnownCharset } from './decode.js';
import { contentOf, entityOf, linesOfBody, MAX_DEPTH, partsOf, delimiterOf } from './mail.js';

const TOKEN = "[!#$%&'*+\\-.0-9A-Z^_\\x60a-z{|}~]+";
const TYPE = new RegExp(`^${TOKEN}/${TOKEN}`);
const WORD = new RegExp(`^${TOKEN}`);
const PARAMETER = new RegExp(`^(${TOKEN})\\s*=\\s*(?:"([ !#-\\[\\]-~]*)"|(${TOKEN}))`);
/** Fields of a whole message that some mail programs take from a part. */
const SHOWN_FIELDS = 'subject from sender reply-to to cc date'.split(' ');
const ENCODINGS = '7bit 8bit binary quoted-printable base64'.split(' ');
const MAX_BOUNDARY = 70;

/** @typedef {import('./mail.js').Entity} Entity */

/**
 * @param {string} raw one character for each byte
 * @param {Entity} message
 */
export function unclear(raw, message) {
  /** @type {string[]} */
  const found = [];
  if (/\r(?=[^\n])|\0/.test(raw)) found.push('CR, NUL');
  look(message, 0, found);
  return found;
}

/** @param {Entity} entity @param {number} depth @param {string[]} found */
function look(entity, depth, found) {
  const stray = linesOfBody(entity.header).find((line, at) => isNoField(line, at, depth === 0));
  if (stray !== undefined) found.push(stray.trim());
  for (const { name, value } of entity.fields) {
    if (depth > 0 && SHOWN_FIELDS.includes(name)) found.push(`${name}: ${value}`);
    if (isOpen(name, value)) found.push(`${name}: ${value}`);
  }
  const content = depth < MAX_DEPTH ? contentOf(entity) : null;
  if (!content) return;
  const { kind, boundary, encoding, charset } = content;
  if (kind === 'multipart') {
    outsideOf(entity.body, boundary, found);
    if (['quoted-printable', 'base64'].includes(encoding)) found.push(`multipart, ${encoding}`);
    for (const part of partsOf(entity.body, boundary)) look(entityOf(part), depth + 1, found);
  } else if (kind === 'plain' || kind === 'html' || kind === 'unstated') {
    if (!isEncodedAs(encoding, entity.body)) found.push(encoding);
    if (charset !== undefined && !isKnownCharset(charset)) found.push(`charset=${charset}`);
  }
}

/**
 * A line of a header that is neither a field nor its continuation. A mailbox in mbox format has one, the first.
 * @param {string} line @param {number} at @param {boolean} mayBeInMbox
 */
function isNoField(line, at, mayBeInMbox) {
  if (/^[ \t]/.test(line)) return at === 0 || line.trim() === '';
  return !(at === 0 && mayBeInMbox && line.startsWith('From ')) && !/^[!-9;-~]+:/.test(line);
}

/**
 * Whether a field about content shows something by itself, or leaves something open.
 * @param {string} name @param {string} value
 */
function isOpen(name, value) {
  if (name === 'content-description') return true;
  if (name === 'content-transfer-encoding') return !ENCODINGS.includes(firstWord(value));
  const isType = name === 'content-type';
  if (!isType && name !== 'content-disposition') return false;
  const keys = plainParameters(value, isType);
  return !keys || keys.includes(isType ? 'name' : 'filename');
}

/**
 * The first word of a field, without comments.
 * @param {string} value
 */
function firstWord(value) {
  return value.replace(/\([^)]*\)/g, ' ').trim().split(/[\s;]/)[0].toLowerCase();
}

/**
 * The names of the parameters, if the field's form leaves nothing open: no comments, none twice, none in parts or with a charset
 * (RFC 2231), nothing but ASCII.
 * @param {string} value @param {boolean} isType
 */
function plainParameters(value, isType) {
  /** @type {string[]} */
  const keys = [];
  let rest = value.trim();
  const take = (/** @type {RegExp} */ form) => {
    const taken = form.exec(rest);
    rest = rest.slice(taken ? taken[0].length : 0).trimStart();
    return taken;
  };
  if (!take(isType ? TYPE : WORD)) return null;
  while (rest !== '') {
    if (!take(/^;/)) return null;
    if (rest === '' || rest[0] === ';') continue;
    const [, name, quoted, bare] = take(PARAMETER) ?? [];
    if (name === undefined) return null;
    const key = name.toLowerCase();
    const text = quoted ?? bare;
    if (key.includes('*') || keys.includes(key) || (key === 'boundary' && (text.length > MAX_BOUNDARY || text.endsWith(' ')))) return null;
    keys.push(key);
  }
  return keys;
}

/**
 * What stands outside the parts of a multipart, and lines that some mail programs take for a delimiter.
 * @param {string} body @param {string} boundary @param {string[]} found
 */
function outsideOf(body, boundary, found) {
  let [outside, isWithin, hasEnded, isSimilar] = ['', false, false, false];
  for (const line of linesOfBody(body)) {
    const kind = delimiterOf(line, boundary);
    if (kind === 'none') {
      if (!isWithin) outside += line;
    } else if (hasEnded || kind === 'similar') isSimilar = true;
    else [isWithin, hasEnded] = [kind === 'next', kind === 'closing'];
  }
  if (outside.trim() !== '') found.push(outside.trim());
  if (isSimilar) found.push(`--${boundary}`);
}
