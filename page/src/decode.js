/**
 * The text of a body (src/intake/text.rs): its transfer encoding and its charset. In: a body as it arrived, one character for each
 * byte, and what its header says. Out: its text.
 */
import { fromUtf8, unbinary } from './bytes.js';

/** A line of base64, and nothing else. */
const BASE64_LINE = /^(?=.)(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const UTF7 = ['utf-7', 'unicode-1-1-utf-7', 'csutf7', 'csunicode11utf7'];

/**
 * A body's text. What is not encoded as its header says is taken as it stands.
 * @param {string} body @param {string} encoding @param {string} charset
 */
export function decodeBody(body, encoding, charset) {
  if (encoding === 'base64' && !unpadded(body)) return withMore(body, charset);
  return inCharset(bytesOf(body, encoding), charset);
}

/**
 * A body's bytes.
 * @param {string} body @param {string} encoding
 */
export function bytesOf(body, encoding) {
  const bytes = encoding === 'quoted-printable' ? unquoted(body) : encoding === 'base64' ? unpadded(body) : null;
  return bytes ?? unbinary(body);
}

/**
 * Reads base64 that may go on behind its padding; null if anything else is in it.
 * @param {string} body
 */
function unpadded(body) {
  const digits = body.replace(/[ \t\r\n]+/g, '');
  if (/[^A-Za-z0-9+/=]/.test(digits)) return null;
  return unbinary(digits.split('=').map((run) => atob(run.length % 4 === 1 ? run.slice(0, -1) : run)).join(''));
}

/**
 * Base64 with plain lines above or below it: a banner or a footer that a mail server has added. Of several runs of base64 the
 * longest counts. A run ends with its padding, with a line that is shorter than its first, or before one that is longer.
 * @param {string} body @param {string} charset
 */
function withMore(body, charset) {
  const lines = body.split(/(?<=\n)/);
  /** @param {number} at */
  const width = (at) => (at < lines.length && BASE64_LINE.test(lines[at].trim()) ? lines[at].trim().length : 0);
  let [first, end, most] = [0, 0, 0];
  for (let at = 0; at < lines.length; ) {
    let [to, size] = [at, 0];
    while (width(to) > 0 && width(to) <= width(at)) {
      size += width(to);
      to += 1;
      if (width(to - 1) < width(at) || lines[to - 1].trim().endsWith('=')) break;
    }
    if (size > most) [first, end, most] = [at, to, size];
    at = Math.max(to, at + 1);
  }
  const bytes = end > first ? unpadded(lines.slice(first, end).join('')) : null;
  if (!bytes) return inCharset(unbinary(body), charset);
  const [above, below] = [lines.slice(0, first), lines.slice(end)].map((some) => fromUtf8(unbinary(some.join(''))));
  return [above, inCharset(bytes, charset).replace(/^\u{feff}/u, ''), below].join('\n');
}

/**
 * Reads quoted-printable (RFC 2045 section 6.7) as the gateway does: a `=` without digits stands for itself; null where another one
 * follows it.
 * @param {string} body
 */
export function unquoted(body) {
  const lines = body.split('\n').map((line) => withoutBlanks(line.endsWith('\r') ? line.slice(0, -1) : line));
  const joined = lines.join('\n');
  if (/=[ \t]*[0-9A-Fa-f]?=/.test(joined)) return null;
  const text = joined.replace(/=\n/g, '').replace(/=$/, '');
  return unbinary(text.replace(/=[ \t]*([0-9A-Fa-f]{2})/g, (_, digits) => String.fromCharCode(parseInt(digits, 16))));
}

/**
 * A line without the blanks at its end. A loop, because a regular expression takes the square of a run of blanks.
 * @param {string} line
 */
function withoutBlanks(line) {
  let end = line.length;
  while (end > 0 && (line[end - 1] === ' ' || line[end - 1] === '\t')) end -= 1;
  return line.slice(0, end);
}

/**
 * An unknown charset counts as UTF-8: the mac decides.
 * @param {Uint8Array} bytes @param {string} charset
 */
export function inCharset(bytes, charset) {
  if (UTF7.includes(charset.toLowerCase())) return utf7(bytes);
  try {
    return new TextDecoder(charset || 'utf-8', { ignoreBOM: true }).decode(bytes);
  } catch {
    return fromUtf8(bytes);
  }
}

/** @param {string} charset */
export function isKnownCharset(charset) {
  try {
    return UTF7.includes(charset.toLowerCase()) || new TextDecoder(charset).encoding !== '';
  } catch {
    return false;
  }
}

/**
 * UTF-7 (RFC 2152): a `+` begins a run of UTF-16 in base64 without padding, the first other character ends it, and a `-` there
 * belongs to it. `+-` stands for `+`. What is not UTF-7 becomes U+FFFD. No browser has a decoder for it.
 * @param {Uint8Array} bytes
 */
function utf7(bytes) {
  const text = Array.from(bytes, (byte) => (byte < 0x80 ? String.fromCharCode(byte) : '\u{fffd}')).join('');
  return text.replace(/\+([A-Za-z0-9+/]*)(-?)/g, (_, /** @type {string} */ digits, /** @type {string} */ dash) => {
    if (digits === '') return dash ? '+' : '';
    const units = unbinary(atob(digits.length % 4 === 1 ? digits.slice(0, -1) : digits));
    return new TextDecoder('utf-16be', { ignoreBOM: true }).decode(units.subarray(0, units.length - (units.length % 2)));
  });
}
