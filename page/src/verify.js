/**
 * Is a message the gateway's own, and nothing else? The rules are those of `mailsudo verify` (src/client/verify.rs). In: a message
 * or pasted text, and a user's key. Out: a finding; the authenticated text; what the message holds besides it.
 *
 * MUST: a message is genuine only where every part that a mail program may show is covered by the block and matches.
 */
import { fromUtf8 } from './bytes.js';
import { readMail } from './mail.js';
import { checkText, claimedBlock } from './reply.js';

/**
 * @typedef {import('./mail.js').Part} Part
 * @typedef {import('./reply.js').GatewayBlock} GatewayBlock
 * @typedef {import('./block.js').Kind} Kind
 * @typedef {{ gateway: string, user: string, key: CryptoKey, written: number }} UserKey `written`: when the key came, in seconds
 * @typedef {{ what: string, text: string }} Remark
 * @typedef {{ finding: 'genuine' | 'with-more' | 'altered' | 'older-than-key' | 'not-genuine', block: GatewayBlock | null,
 *   text: string | null, outside: Remark[] }} Checked
 */

/** The first label below a reply's first line. */
const FIRST_FACT = 'host';
/** A subject that was shortened has 60 characters of the command; some may be white space. */
const SHORTENED = 30;
const RANKS = { genuine: 3, 'with-more': 2, altered: 1, 'older-than-key': 0, 'not-genuine': 0 };

/**
 * Checks `raw` for blocks of `kinds`.
 * @param {Uint8Array} raw @param {UserKey} key @param {Kind[]} kinds @returns {Promise<Checked>}
 */
export async function verify(raw, key, kinds) {
  const mail = readMail(raw);
  /** @type {Part[]} */
  const parts = mail ? mail.parts : [{ kind: 'plain', text: fromUtf8(raw) }];
  /** @type {Checked | null} */
  let best = null;
  for (const part of parts) {
    for (const kind of kinds) {
      const checked = await checkPart(part, parts, mail?.subject ?? null, key, kind);
      if (checked && (!best || RANKS[checked.finding] > RANKS[best.finding])) best = checked;
    }
  }
  return best ?? older(parts, key);
}

/** @param {Part} part @param {Part[]} parts @param {string | null} subject @param {UserKey} key @param {Kind} kind @returns {Promise<Checked | null>} */
async function checkPart(part, parts, subject, key, kind) {
  if (part.kind === 'other') return null;
  const { verdict, block, above, below } = await checkText(part.text, key.key, kind);
  if (!block || !isFor(block, key)) return null;
  if (verdict === 'altered') return { finding: 'altered', block, text: null, outside: [] };
  /** @type {Remark[]} */
  const outside = [];
  if (subject !== null && !isOwnSubject(subject, above, block)) outside.push({ what: 'subject', text: subject });
  if (below.trim() !== '') outside.push({ what: 'below', text: below.trim() });
  if (part.kind === 'html' && !part.isBare) outside.push({ what: 'html-more', text: '' });
  for (const other of parts) {
    const remark = other === part ? null : await remarkOn(other, key, kind);
    if (remark) outside.push(remark);
  }
  return { finding: outside.length === 0 ? 'genuine' : 'with-more', block, text: above, outside };
}

/**
 * What another part shows besides the authenticated text; null where it is empty, or that text once more.
 * @param {Part} part @param {UserKey} key @param {Kind} kind
 */
async function remarkOn(part, key, kind) {
  if (part.kind === 'other') return { what: part.what, text: '' };
  const isBare = part.kind === 'plain' || part.isBare;
  const text = part.text.trim();
  if (text === '') return isBare ? null : { what: 'html-empty', text: '' };
  const checked = await checkText(part.text, key.key, kind);
  if (isBare && checked.verdict === 'genuine' && checked.below.trim() === '') return null;
  return { what: part.kind === 'plain' ? 'another-plain' : 'another-html', text };
}

/** @param {GatewayBlock} block @param {UserKey} key */
function isFor(block, key) {
  return block.gateway === key.gateway && block.user === key.user;
}

/**
 * Whether the gateway wrote this subject for the text: `[GATEWAY] COMMAND: OUTCOME`, where the text begins with `OUTCOME:
 * COMMAND`, longer commands cut by an ellipsis. White space is not compared, because mail systems fold it.
 * @param {string} subject @param {string} text @param {GatewayBlock} block
 */
function isOwnSubject(subject, text, block) {
  /** @param {string} full */
  const bare = (full) => full.replace(/\p{White_Space}/gu, '');
  const [head, body] = [`[${block.gateway}]`, bare(text)];
  const title = bare(subject);
  const colon = title.lastIndexOf(':');
  if (!title.startsWith(head) || colon < head.length) return false;
  const [command, outcome] = [title.slice(head.length, colon), title.slice(colon + 1)];
  if (outcome === '' || !body.startsWith(`${outcome}:`)) return false;
  const rest = body.slice(outcome.length + 1);
  if (command.endsWith('…')) return Array.from(command).length > SHORTENED && rest.startsWith(command.slice(0, -1));
  const after = rest.slice(command.length);
  return rest.startsWith(command) && (after === '' || after.startsWith(FIRST_FACT));
}

/**
 * A block for this user that was signed before the key came, under another key.
 * @param {Part[]} parts @param {UserKey} key @returns {Checked}
 */
function older(parts, key) {
  for (const part of parts) {
    const block = part.kind === 'other' ? null : claimedBlock(part.text, 'mailsudo-reply');
    if (block && isFor(block, key) && block.time < key.written) return { finding: 'older-than-key', block, text: null, outside: [] };
  }
  return { finding: 'not-genuine', block: null, text: null, outside: [] };
}
