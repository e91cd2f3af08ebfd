// Notices to carol, of tests/vectors-next.json. Those have lapsed, so that a test needs one that has not.
import { createHash, createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';

export function notices() {
  const next = JSON.parse(readFileSync(new URL('../../tests/vectors-next.json', import.meta.url), 'utf8'));
  const [genuine, altered, forged] = next.notice.map(({ text }) => text);
  const sign = (lines) => `${lines}mac: ${createHmac('sha256', Buffer.from(next.carol_hmac_key, 'hex')).update(lines).digest('hex')}\n`;
  const until = new Date(Date.now() + 3600000).toISOString().replace(/\.\d+Z/, 'Z');
  const text = genuine.slice(0, genuine.indexOf('mailsudo-notice:'));
  const lines = genuine.slice(text.length).replace(/^until: .*$/m, `until: ${until}`).replace(/^mac: .*\n/m, '');
  /** A notice with another text. */
  const telling = (above) => above + sign(lines.replace(/^output: .*$/m, `output: ${createHash('sha256').update(above.replace(/\s/g, '')).digest('hex')}`));
  const keyFile = `gateway = "berlin"\naddress = "ops@example.com"\nuser = "carol"\nhmac_key = "${next.carol_hmac_key}"\n`;
  return { genuine, altered, forged, fresh: text + sign(lines), keyFile, telling };
}
