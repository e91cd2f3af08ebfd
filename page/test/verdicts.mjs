// verdicts.mjs - reads a key and mails as JSON, and writes what the page finds in each mail. tests/integration/tampered.rs asks it.
import { webcrypto } from 'node:crypto';
import { text } from 'node:stream/consumers';

globalThis.crypto ??= webcrypto;

const { unhex } = await import('../src/bytes.js');
const { importKey } = await import('../src/keyfile.js');
const { verify } = await import('../src/verify.js');

const { hmac, gateway, user, written, mails } = JSON.parse(await text(process.stdin));
const key = { gateway, user, written, key: await importKey(unhex(hmac)) };
/** Remarks that quote the message; of the others the words are for people, and differ. */
const QUOTING = ['subject', 'above', 'below', 'another-plain', 'another-html'];
const found = [];
for (const raw of mails) {
  const { finding, text: authenticated, outside } = await verify(Uint8Array.from(raw), key, ['mailsudo-reply', 'mailsudo-notice']);
  found.push({ finding, text: authenticated, outside: outside.map(({ what, text: quoted }) => (QUOTING.includes(what) ? quoted : '')) });
}
process.stdout.write(JSON.stringify(found));
