/**
 * The user's key file, as `mailsudo user add` writes it and shows it as a QR code. In: its text. Out: what it says, and the key as
 * WebCrypto's, which no script can read again; and the key's fingerprint.
 */
import { hex, sha256, unhex, utf8 } from './bytes.js';
import { isAddress, isName } from './names.js';
import { Fault } from './value.js';

const KEYS = ['gateway', 'address', 'user', 'hmac_key'];
const HMAC = { name: 'HMAC', hash: 'SHA-256' };

/**
 * Reads the four lines. A fault repeats nothing of the text.
 * @param {string} text
 */
export function readKeyFile(text) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const line of text.replace(/^\u{feff}/u, '').split(/\r?\n/)) {
    const bare = line.trim();
    if (bare === '' || bare.startsWith('#')) continue;
    const read = /^([a-z_]+)\s*=\s*(?:"([^"\\]*)"|'([^']*)')\s*(?:#.*)?$/.exec(bare);
    if (!read || !KEYS.includes(read[1]) || read[1] in found) throw new Fault('bad-key-file');
    found[read[1]] = read[2] ?? read[3];
  }
  const { gateway = '', address = '', user = '', hmac_key: digits = '' } = found;
  const raw = digits.length === 64 ? unhex(digits) : null;
  if (!isName(gateway) || !isAddress(address) || !isName(user) || !raw) throw new Fault('bad-key-file');
  return { gateway, address, user, raw };
}

/** @param {Uint8Array} raw @returns {Promise<CryptoKey>} */
export function importKey(raw) {
  return crypto.subtle.importKey('raw', raw, HMAC, false, ['sign', 'verify']);
}

/**
 * The first 16 hex digits of the SHA-256 over `mailsudo-key-1` LF and the key's 32 bytes.
 * @param {Uint8Array} raw
 */
export async function fingerprintOf(raw) {
  const bytes = new Uint8Array([...utf8('mailsudo-key-1\n'), ...raw]);
  const digest = await sha256(bytes);
  bytes.fill(0);
  return hex(digest).slice(0, 16);
}

/**
 * A key under a passphrase: AES-256-GCM under PBKDF2-HMAC-SHA-256 with a random salt. Gateway and user are authenticated with it.
 * @typedef {{ salt: Uint8Array, iv: Uint8Array, iterations: number, data: Uint8Array }} Wrapped
 */

/** OWASP's cost for PBKDF2-HMAC-SHA-256 (Password Storage Cheat Sheet, 2023). */
export const ITERATIONS = 600000;

/** @param {Uint8Array} raw @param {string} passphrase @param {string} owner @returns {Promise<Wrapped>} */
export async function wrapKey(raw, passphrase, owner) {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const wrapping = await wrappingKey(passphrase, salt, ITERATIONS, 'encrypt');
  const data = await crypto.subtle.encrypt({ name: 'AES-GCM', iv, additionalData: utf8(owner) }, wrapping, raw);
  return { salt, iv, iterations: ITERATIONS, data: new Uint8Array(data) };
}

/**
 * The key, never readable by a script. Fault: `bad-passphrase`.
 * @param {Wrapped} wrapped @param {string} passphrase @param {string} owner
 */
export async function unwrapKey(wrapped, passphrase, owner) {
  const { salt, iv, iterations, data } = wrapped;
  const wrapping = await wrappingKey(passphrase, salt, iterations, 'unwrapKey');
  const how = { name: 'AES-GCM', iv, additionalData: utf8(owner) };
  try {
    return await crypto.subtle.unwrapKey('raw', data, wrapping, how, HMAC, false, ['sign', 'verify']);
  } catch {
    throw new Fault('bad-passphrase');
  }
}

/** @param {string} passphrase @param {Uint8Array} salt @param {number} iterations @param {'encrypt' | 'unwrapKey'} use */
async function wrappingKey(passphrase, salt, iterations, use) {
  const base = await crypto.subtle.importKey('raw', utf8(passphrase.normalize('NFC')), 'PBKDF2', false, ['deriveKey']);
  const how = { name: 'PBKDF2', hash: 'SHA-256', salt, iterations };
  return crypto.subtle.deriveKey(how, base, { name: 'AES-GCM', length: 256 }, false, [use]);
}
