/**
 * Bytes and their texts: UTF-8, hex, base64, and SHA-256. In: bytes or text. Out: the other one, or null where it is not one.
 */

const HEX = /^(?:[0-9a-fA-F]{2})*$/;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** @param {string} text */
export function utf8(text) {
  return new TextEncoder().encode(text);
}

/**
 * The text in bytes of UTF-8; what is not UTF-8 becomes U+FFFD.
 * @param {Uint8Array} bytes
 */
export function fromUtf8(bytes) {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * Reads hex digits of either case.
 * @param {string} text @returns {Uint8Array | null}
 */
export function unhex(text) {
  if (!HEX.test(text)) return null;
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

/**
 * A string with one character for each byte.
 * @param {Uint8Array} bytes
 */
export function binary(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}

/**
 * The bytes of such a string.
 * @param {string} text
 */
export function unbinary(text) {
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) bytes[at] = text.charCodeAt(at) & 0xff;
  return bytes;
}

/** @param {Uint8Array} bytes */
export function base64(bytes) {
  return btoa(binary(bytes));
}

/**
 * Reads base64; white space does not count, padding may be missing.
 * @param {string} text @returns {Uint8Array | null}
 */
export function unbase64(text) {
  const digits = text.replace(/[ \t\r\n]+/g, '');
  if (!BASE64.test(digits)) return null;
  const bare = digits.replace(/=+$/, '');
  return bare.length % 4 === 1 ? null : unbinary(atob(bare));
}

/** @param {Uint8Array} bytes */
export async function sha256(bytes) {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
}
