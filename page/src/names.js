/**
 * Names, times and codes (docs/protocol.md, writer's rule 3). In: untrusted text. Out: whether it is one; of a time, its seconds.
 */

/**
 * A gateway's or a user's name.
 * @param {string} text
 */
export function isName(text) {
  return /^[a-z0-9][a-z0-9._-]{0,59}$/.test(text);
}

/**
 * A command's or a parameter's name.
 * @param {string} text
 */
export function isWord(text) {
  return /^[a-z0-9][a-z0-9_-]{0,59}$/.test(text);
}

/**
 * A TOTP code.
 * @param {string} text
 */
export function isCode(text) {
  return /^[0-9]{6,8}$/.test(text);
}

/**
 * 32 bytes as lower-case hex digits.
 * @param {string} text
 */
export function isDigest(text) {
  return /^[0-9a-f]{64}$/.test(text);
}

/**
 * A mail address as src/config/address.rs takes it.
 * @param {string} text
 */
export function isAddress(text) {
  const part = /^(?![.-])(?!.*\.\.)[A-Za-z0-9.!#$%&'*+/=?^_\x60{|}~-]+(?<!\.)$/;
  const at = text.lastIndexOf('@');
  return at > 0 && part.test(text.slice(0, at)) && /^(?![.-])(?!.*\.\.)[A-Za-z0-9.-]+(?<!\.)$/.test(text.slice(at + 1));
}

/**
 * Reads `YYYY-MM-DDTHH:MM:SSZ` and nothing else.
 * @param {string} text @returns {number | null} seconds since 1970
 */
export function parseTime(text) {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text)) return null;
  const time = new Date(text);
  if (Number.isNaN(time.getTime()) || time.toISOString() !== text.replace('Z', '.000Z')) return null;
  return time.getTime() / 1000;
}

/** @param {number} seconds */
export function writeTime(seconds) {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
