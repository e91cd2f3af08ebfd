/**
 * The blocks that a gateway signs: under a reply, and under a notice to an approver (docs/protocol.md). In: a text as it arrived
 * and a key. Out: the block, and whether the text above it is the one that was signed.
 */
import { hex, sha256, utf8 } from './bytes.js';
import { blocksOf } from './block.js';
import { isDigest, isName, isWord, parseTime } from './names.js';

/**
 * @typedef {import('./block.js').Kind} Kind
 * @typedef {{ kind: Kind, gateway: string, user: string, request: string, output: string, time: number, result: string,
 *   from: string, command: string, digest: string }} GatewayBlock of a notice, `time` is its `until`
 * @typedef {{ verdict: 'genuine' | 'altered' | 'not-genuine', block: GatewayBlock | null, above: string, below: string }} CheckedText
 */

const RESULT = /^(?:exit-(?:0|[1-9]\d{0,2})|signal-(?:0|[1-9]\d{0,8})|timed-out|refused|unknown|pending|denied|lapsed|cancelled)$/;
const REPLY_KEYS = 'gateway user request time result output';
const NOTICE_KEYS = 'gateway user request from command digest until output';

/**
 * Checks a text under the user's key. The last block that the key has signed counts: a command's output may hold an imitation,
 * and is above it.
 * @param {string} text @param {CryptoKey} key @param {Kind} kind @returns {Promise<CheckedText>}
 */
export async function checkText(text, key, kind) {
  for (const { above, block: found, below } of blocksOf(text, kind).reverse()) {
    if (!(await crypto.subtle.verify('HMAC', key, found.mac, utf8(found.signed)))) continue;
    const block = readFields(found.fields, kind);
    if (!block) continue;
    const verdict = block.output === (await textHash(above)) ? 'genuine' : 'altered';
    return { verdict, block, above, below };
  }
  return { verdict: 'not-genuine', block: null, above: text, below: '' };
}

/**
 * What the last readable block says, whether its mac is right or not.
 * @param {string} text @param {Kind} kind
 */
export function claimedBlock(text, kind) {
  for (const { block } of blocksOf(text, kind).reverse()) {
    const read = readFields(block.fields, kind);
    if (read) return read;
  }
  return null;
}

/** @param {[string, string][]} fields @param {Kind} kind @returns {GatewayBlock | null} */
function readFields(fields, kind) {
  const keys = fields.map(([key]) => key).join(' ');
  const isNotice = kind === 'mailsudo-notice';
  const isKnown = isNotice ? keys === NOTICE_KEYS : keys === REPLY_KEYS || keys === `${REPLY_KEYS} head`;
  if (!isKnown) return null;
  /** @type {Record<string, string>} */
  const value = Object.fromEntries(fields);
  const time = parseTime(value[isNotice ? 'until' : 'time']);
  const isFine =
    isName(value.gateway) && isName(value.user) && isDigest(value.request) && isDigest(value.head ?? value.request) && time !== null &&
    (isNotice ? isName(value.from) && isWord(value.command) && isDigest(value.digest) : isResult(value.result));
  if (!isFine || time === null) return null;
  const { gateway, user, request, output, result = '', from = '', command = '', digest = '' } = value;
  return { kind, gateway, user, request, output, time, result, from, command, digest };
}

/** @param {string} text */
function isResult(text) {
  return RESULT.test(text) && !(text.startsWith('exit-') && Number(text.slice(5)) > 255);
}

/**
 * The SHA-256 of a text without white space and U+FEFF, which mail systems change.
 * @param {string} text
 */
async function textHash(text) {
  return hex(await sha256(utf8(text.replace(/[\p{White_Space}\u{feff}]/gu, ''))));
}
