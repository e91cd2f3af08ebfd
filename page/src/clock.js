/**
 * What a genuine reply tells about this device's clock. In: when the reply was signed, when it is read, when its request was signed.
 * Out: by how much the clock is ahead at least; below zero, behind; 0 where nothing is known.
 */

/** A difference that mail and reading may cause, or that does no harm, in seconds. */
const TOLERANCE = 30;
/** A TOTP step (RFC 6238) and when to say that it ends, in seconds. */
const STEP = 30;
const ENDING = 5;

/** @param {number} replied by the gateway's clock @param {number} read by this device's @param {number | null} requested by this device's */
export function clockError(replied, read, requested) {
  if (replied - read > TOLERANCE) return read - replied;
  if (requested !== null && requested - replied > TOLERANCE) return requested - replied;
  return 0;
}

/**
 * How long the code that belongs to `seconds` lasts.
 * @param {number} seconds
 */
export function codeLeft(seconds) {
  const left = STEP - (seconds % STEP);
  return { left, isEnding: left <= ENDING };
}
