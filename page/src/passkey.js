/**
 * A secret from the lock of this device: WebAuthn's PRF extension (WebAuthn Level 3, section 10.1.4). In: a passkey's id. Out: a secret that
 * only this passkey gives, after the user has unlocked the device. It works on a served page only: a file has no origin.
 */
import { base64, utf8 } from './bytes.js';
import { Fault } from './value.js';

const SALT = 'mailsudo-page-1';

export function hasPasskeys() {
  return globalThis.isSecureContext && 'PublicKeyCredential' in globalThis && location.protocol !== 'file:';
}

/**
 * Makes a passkey that has the extension.
 * @param {string} user @returns {Promise<Uint8Array>} its id
 */
export async function makePasskey(user) {
  const made = /** @type {PublicKeyCredential | null} */ (await navigator.credentials.create({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      rp: { name: 'mailsudo' },
      user: { id: crypto.getRandomValues(new Uint8Array(16)), name: user, displayName: user },
      pubKeyCredParams: [{ type: 'public-key', alg: -7 }, { type: 'public-key', alg: -257 }],
      authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
      extensions: /** @type {any} */ ({ prf: {} }),
    },
  }));
  const results = /** @type {any} */ (made?.getClientExtensionResults());
  if (!made || !results?.prf?.enabled) throw new Fault('no-device');
  return new Uint8Array(made.rawId);
}

/** @param {Uint8Array} id @returns {Promise<string>} 32 bytes as base64 */
export async function passkeySecret(id) {
  const used = /** @type {PublicKeyCredential | null} */ (await navigator.credentials.get({
    publicKey: {
      challenge: crypto.getRandomValues(new Uint8Array(32)),
      allowCredentials: [{ type: 'public-key', id }],
      userVerification: 'required',
      extensions: /** @type {any} */ ({ prf: { eval: { first: utf8(SALT) } } }),
    },
  }));
  const first = /** @type {any} */ (used?.getClientExtensionResults())?.prf?.results?.first;
  if (!first) throw new Fault('no-device');
  return base64(new Uint8Array(first));
}
