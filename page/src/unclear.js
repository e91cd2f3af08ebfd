/**
 * What mail programs may read in more than one way, or show besides a message's texts (src/intake/unclear.rs). In: an entity of a
 * message. Out: a remark on each such thing.
 */

/** @typedef {{ what: string, text: string }} Remark */

/** Fields of a whole message that some mail programs take from a part (RFC 9788). */
const SHOWN_FIELDS = ['subject', 'from', 'sender', 'reply-to', 'to', 'cc', 'date'];
const ENCODINGS = ['7bit', '8bit', 'binary', 'quoted-printable', 'base64'];
/** The longest boundary (RFC 2046 section 5.1.1), in characters. */
const BOUNDARY = 70;
/** A token, and a quoted string without quoted characters (RFC 2045 section 5.1). */
const TOKEN = '[!#$%&\'*+.0-9A-Z^_\\x60a-z{|}~-]+';
const PARAMETER = new RegExp(`^;[\\s;]*(?:(${TOKEN})\\s*=\\s*(?:"([ !#-\\[\\]-~]*)"|(${TOKEN})))?\\s*`);

/**
 * A carriage return within a line, or a NUL.
 * @param {string} raw @returns {Remark[]}
 */
export function unclearLines(raw) {
  return /\r[^\n]|\0/.test(raw) ? [{ what: 'several-ways', text: 'CR, NUL' }] : [];
}

/**
 * Remarks on a header.
 * @param {string} header @param {{ name: string, value: string }[]} fields @param {boolean} isPart @returns {Remark[]}
 */
export function unclearHeader(header, fields, isPart) {
  /** @type {Remark[]} */
  const found = [];
  const lines = header.split(/(?<=\n)/).filter((line) => line !== '');
  const noField = lines.find((line, at) => {
    if (/^[ \t]/.test(line)) return at === 0 || /^[ \t\n\r\f]*$/.test(line);
    return !(at === 0 && !isPart && line.startsWith('From ')) && !/^[!-9;-~]+:/.test(line);
  });
  if (noField !== undefined) found.push({ what: 'several-ways', text: noField.trim() });
  for (const { name, value } of fields) {
    if (isPart && SHOWN_FIELDS.includes(name)) found.push({ what: 'several-ways', text: `${name}: ${value}` });
    const remark = aboutField(name, value);
    if (remark) found.push(remark);
  }
  return found;
}

/** @param {string} name @param {string} value @returns {Remark | null} */
function aboutField(name, value) {
  if (name === 'content-description') return { what: 'file-name', text: value };
  if (name === 'content-transfer-encoding') {
    const word = /^[A-Za-z0-9_-]*/.exec(withoutComments(value))?.[0].toLowerCase() ?? '';
    return ENCODINGS.includes(word) ? null : { what: 'several-ways', text: `${name}: ${value}` };
  }
  const isType = name === 'content-type';
  if (!isType && name !== 'content-disposition') return null;
  const parameters = plainParameters(value, isType);
  if (!parameters) return { what: 'several-ways', text: `${name}: ${value}` };
  const file = parameters.get(isType ? 'name' : 'filename');
  return file === undefined ? null : { what: 'file-name', text: file };
}

/** @param {string} value */
export function withoutComments(value) {
  return value.replace(/\((?:[^()\\]|\\.)*\)/g, ' ').trim();
}

/**
 * The parameters of a field, if its form leaves nothing open: no comments, no parameter twice, none in parts or with a charset (RFC
 * 2231), nothing but ASCII.
 * @param {string} value @param {boolean} isType
 */
function plainParameters(value, isType) {
  const begin = new RegExp(`^${TOKEN}${isType ? `/${TOKEN}` : ''}\\s*`).exec(value);
  if (!begin) return null;
  /** @type {Map<string, string>} */
  const found = new Map();
  let rest = value.slice(begin[0].length);
  while (rest !== '') {
    const next = PARAMETER.exec(rest);
    if (!next) return null;
    rest = rest.slice(next[0].length);
    if (next[1] === undefined) continue;
    const [key, text] = [next[1].toLowerCase(), next[2] ?? next[3]];
    const isBad = key === 'boundary' && (text.length > BOUNDARY || text.endsWith(' '));
    if (key.includes('*') || isBad || found.has(key)) return null;
    found.set(key, text);
  }
  return found;
}

/**
 * What stands outside the parts of a multipart, and lines that some mail programs take for a delimiter.
 * @param {string} body @param {string} boundary @returns {Remark[]}
 */
export function unclearParts(body, boundary) {
  let [outside, isWithin, hasEnded, isSimilar] = ['', false, false, false];
  for (const line of body.split(/(?<=\n)/)) {
    const tail = line.startsWith('--' + boundary) ? line.slice(2 + boundary.length).trim() : null;
    if (tail === null) {
      if (!isWithin) outside += line;
    } else if (hasEnded || (tail !== '' && tail !== '--')) {
      isSimilar = true;
    } else {
      hasEnded = tail === '--';
      isWithin = !hasEnded;
    }
  }
  /** @type {Remark[]} */
  const found = [];
  if (outside.trim() !== '') found.push({ what: 'outside-parts', text: outside.trim() });
  if (isSimilar) found.push({ what: 'several-ways', text: `--${boundary}` });
  return found;
}

/**
 * Whether a body is encoded as its header says, to the last byte.
 * @param {string} encoding @param {string} body
 */
export function isEncodedAs(encoding, body) {
  if (encoding === 'base64') {
    return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(body.replace(/[ \t\n\r\f]+/g, ''));
  }
  if (encoding !== 'quoted-printable') return true;
  return body.split('\n').every((line) => !/=(?![0-9A-Fa-f]{2})/.test(line.trimEnd().replace(/=$/, '')));
}
