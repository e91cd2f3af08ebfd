/**
 * Mail that is encrypted as a whole (src/intake/encrypted.rs): PGP/MIME (RFC 3156 section 4) or S/MIME (RFC 8551 section 3.3). In: the
 * bytes of a message, or of pasted text. Out: how it is encrypted. Nothing is decrypted here.
 */
import { binary } from './bytes.js';
import { bytesOf } from './decode.js';
import { contentOf, entityOf, partsOf } from './mail.js';

/** The contents of CMS that are encrypted, in DER: EnvelopedData (RFC 5652) and AuthEnvelopedData (RFC 5083). */
const ENVELOPED = ['\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03', '\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17'];
/** Within how many bytes the content's type stands. */
const START = 32;

/**
 * Null if it is not encrypted.
 * @param {Uint8Array} raw @returns {'openpgp' | 'smime' | null}
 */
export function encryptedAs(raw) {
  const text = binary(raw);
  if (/^[ \t\r\n\f]*-----BEGIN PGP MESSAGE-----/.test(text)) return 'openpgp';
  const message = entityOf(text);
  const content = contentOf(message);
  if (content?.type === 'multipart/encrypted' && content.boundary !== '') {
    const isData = (/** @type {string} */ part) => contentOf(entityOf(part))?.type === 'application/octet-stream';
    return partsOf(message.body, content.boundary).some(isData) ? 'openpgp' : null;
  }
  if (!content || !/^application\/(?:x-)?pkcs7-mime$/.test(content.type)) return null;
  const start = binary(bytesOf(message.body, content.encoding).subarray(0, START));
  return ENVELOPED.some((wanted) => start.includes(wanted)) ? 'smime' : null;
}
