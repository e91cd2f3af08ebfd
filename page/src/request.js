/**
 * A request: written and signed, and read back (docs/protocol.md, writer's rules 1 to 5, reader's rules 4 to 8). In: what the user
 * asks for and a key. Out: a signed block. What is signed is read back before it is given out.
 */
import { hex, sha256, utf8 } from './bytes.js';
import { line, onlyRequest } from './block.js';
import { isCode, isDigest, isName, isWord, parseTime, writeTime } from './names.js';
import { checkValue, decodeValue, encodeValue, Fault, isWireValue } from './value.js';

const MAX_ARGUMENTS = 32;
const MAX_SIGNATURES = 64;
/** The widest line that is written, in columns. */
const WIDTH = 70;

/**
 * @typedef {{ gateway: string, user: string, time: number, code: string, command: string, args: [string, string][],
 *   payload: string | null }} Draft `payload` is the lower-case hex SHA-256 of the attachment
 * @typedef {{ gateway: string, user: string, time: number, code: string, command: string, encoded: [string, string][],
 *   payload: string | null, signed: string, mac: Uint8Array }} Request
 */

/**
 * Writes and signs the block, each line ended by LF. Faults: `bad-request` for what no gateway would accept.
 * @param {Draft} draft @param {CryptoKey} key
 */
export async function signRequest(draft, key) {
  const { gateway, user, time, code, command, args, payload } = draft;
  const isFine =
    isName(gateway) && isName(user) && isCode(code) && isWord(command) && args.length <= MAX_ARGUMENTS &&
    args.every(([name], at) => isWord(name) && args.findIndex(([other]) => other === name) === at) &&
    (payload === null || isDigest(payload));
  if (!isFine) throw new Fault('bad-request');
  let lines = line('mailsudo', '1') + line('gateway', gateway) + line('user', user) + line('time', writeTime(time));
  lines += line('totp', code) + line('command', command);
  for (const [name, value] of args) {
    checkValue(value);
    lines += fold(name, value);
  }
  if (payload !== null) lines += line('payload', payload);
  const mac = new Uint8Array(await crypto.subtle.sign('HMAC', key, utf8(lines)));
  const block = lines + line('mac', hex(mac));
  const read = readRequest([block]);
  const isSame = read.signed === lines && JSON.stringify(argumentsOf(read)) === JSON.stringify(args);
  if (!isSame || !(await isSignedBy(read, key))) throw new Fault('bad-request');
  return { block, id: await requestId(mac) };
}

/**
 * `arg` and as many `more` lines as the width requires.
 * @param {string} name @param {string} value
 */
function fold(name, value) {
  let [key, text, lines] = ['arg', `${name}=`, ''];
  for (const unit of encodeValue(value)) {
    if (key.length + 2 + text.length + unit.length > WIDTH) {
      lines += line(key, text);
      [key, text] = ['more', ''];
    }
    text += unit;
  }
  return lines + line(key, text);
}

/**
 * Reads the one request in `texts`.
 * @param {string[]} texts @returns {Request}
 */
export function readRequest(texts) {
  const block = onlyRequest(texts);
  let next = 0;
  /** @param {string} key */
  const peek = (key) => (block.fields[next]?.[0] === key ? block.fields[next][1] : null);
  /** @param {string} key @param {(text: string) => boolean} isOne */
  const take = (key, isOne) => {
    const value = peek(key);
    if (value === null || !isOne(value)) throw new Fault('malformed', key);
    next += 1;
    return value;
  };
  const gateway = take('gateway', isName);
  const user = take('user', isName);
  const time = parseTime(take('time', (text) => parseTime(text) !== null)) ?? 0;
  const code = take('totp', isCode);
  const command = take('command', isWord);
  /** @type {[string, string][]} */
  const encoded = [];
  while (peek('arg') !== null) {
    const text = take('arg', (value) => /^[^=]+=/.test(value) && encoded.length < MAX_ARGUMENTS);
    const [name, value] = [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)];
    if (!isWord(name) || !isWireValue(value)) throw new Fault('malformed', 'arg');
    encoded.push([name, value]);
    while (peek('more') !== null) encoded[encoded.length - 1][1] += take('more', isWireValue);
  }
  const payload = peek('payload') === null ? null : take('payload', isDigest);
  for (let count = 0; peek('sig') !== null && count < MAX_SIGNATURES; count += 1) {
    take('sig', (text) => /^[A-Za-z0-9+/=]{1,64}$/.test(text));
  }
  if (next !== block.fields.length) throw new Fault('malformed');
  return { gateway, user, time, code, command, encoded, payload, signed: block.signed, mac: block.mac };
}

/** @param {Request} request @param {CryptoKey} key */
export function isSignedBy(request, key) {
  return crypto.subtle.verify('HMAC', key, request.mac, utf8(request.signed));
}

/**
 * The decoded arguments; call it only after the mac is verified.
 * @param {Request} request @returns {[string, string][]}
 */
export function argumentsOf(request) {
  return request.encoded.map(([name, text], at) => {
    if (request.encoded.findIndex(([other]) => other === name) !== at) throw new Fault('bad-value', name);
    return [name, decodeValue(text)];
  });
}

/**
 * A request's full id (reader's rule 8).
 * @param {Uint8Array} mac
 */
export async function requestId(mac) {
  return hex(await sha256(mac));
}
