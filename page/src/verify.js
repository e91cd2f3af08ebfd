/**
 * Is a message the gateway's own, and nothing else? The rules are those of `mailsudo verify` (src/client/verify.rs). In: a message
 * or pasted text, and a user's key. Out: a finding; the authenticated text; what the message holds besides it.
 *
 * MUST: a message is genuine only where every part that a mail program may show is covered by the block and matches.
 */
import { fromUtf8 } from './bytes.js';
import { encryptedAs } from './encrypted.js';
import { readMail } from './mail.js';
import { checkText, claimedBlock } from './reply.js';

/**
 * @typedef {import('./mail.js').Part} Part
 * @typedef {import('./reply.js').GatewayBlock} GatewayBlock
 * @typedef {import('./block.js').Kind} Kind
 * @typedef {{ gateway: string, user: string, key: CryptoKey, written: number }} UserKey `written`: when the key came, in seconds
 * @typedef {{ what: string, text: string }} Remark
 * @typedef {{ finding: 'genuine' | 'with-more' | 'altered' | 'older-than-key' | 'encrypted' | 'not-genuine', block: GatewayBlock | null,
 *   text: string | null, outside: Remark[] }} Checked
 */

/** The first label below a reply's first line. */
const FIRST_FACT = 'host';
/** A subject that was shortened has 60 characters of the command; some may be white space. */
const SHORTENED = 30;
/** The first words of the labels that may follow the host's name. */
const SECOND_FACTS = 'run took gateway started needed until from asked approved denied withdrew cancelled'.split(' ');
/** Output may hold such words too, any number of times. */
const MOST_FIRST_LINES = 4;
/** How many lines a banner above a text may have. */
const BANNER = 60;

/**
 * Checks `raw` for blocks of `kinds`.
 * @param {Uint8Array} raw @param {UserKey} key @param {Kind[]} kinds @returns {Promise<Checked>}
 */
export async function verify(raw, key, kinds) {
  if (encryptedAs(raw)) return { finding: 'encrypted', block: null, text: null, outside: [] };
  const mail = readMail(raw) ?? { subject: null, parts: [/** @type {Part} */ ({ kind: 'plain', text: fromUtf8(raw) })], unclear: [] };
  const { subject, parts, unclear } = mail;
  /** @type {Candidate | null} */
  let best = null;
  for (const part of parts) {
    for (const kind of kinds) {
      const candidate = await candidateIn(part, key, kind);
      if (candidate && (!best || rank(candidate) > rank(best))) best = candidate;
    }
  }
  if (!best) return older(parts, key);
  const { part, block, above, below, banner, isGenuine } = best;
  if (!isGenuine) return { finding: 'altered', block, text: null, outside: [] };
  /** @type {Remark[]} */
  const outside = [];
  if (subject !== null && !isOwnSubject(subject, above, block)) outside.push({ what: 'subject', text: subject });
  if (banner.trim() !== '') outside.push({ what: 'above', text: banner.trim() });
  if (below.trim() !== '') outside.push({ what: 'below', text: below.trim() });
  for (const other of parts) {
    const remark = other === part ? isMoreThanText(part) : await remarkOn(other, block, key);
    if (remark) outside.push(remark);
  }
  outside.push(...unclear);
  return { finding: outside.length === 0 ? 'genuine' : 'with-more', block, text: above, outside };
}

/** @typedef {{ part: Part, block: GatewayBlock, above: string, below: string, banner: string, isGenuine: boolean }} Candidate */

/** @param {Candidate} candidate */
function rank({ part, banner, isGenuine }) {
  return (isGenuine ? 4 : 0) + (banner === '' ? 2 : 0) + (part.kind === 'plain' ? 1 : 0);
}

/** @param {Part} part @param {UserKey} key @param {Kind} kind @returns {Promise<Candidate | null>} */
async function candidateIn(part, key, kind) {
  if (part.kind === 'other') return null;
  const { verdict, block, above, below } = await checkText(part.text, key.key, kind);
  if (!block || !isFor(block, key)) return null;
  if (verdict === 'genuine') return { part, block, above, below, banner: '', isGenuine: true };
  // A mail system may have put a banner above the text: what is left has the digest that the gateway signed.
  let start = 0;
  for (let line = 0; line < BANNER; line += 1) {
    start = above.indexOf('\n', start) + 1;
    if (start === 0) break;
    const rest = await checkText(part.text.slice(start), key.key, kind);
    if (rest.verdict === 'genuine' && rest.block) {
      return { part, block: rest.block, above: rest.above, below: rest.below, banner: part.text.slice(0, start), isGenuine: true };
    }
  }
  return { part, block, above, below, banner: '', isGenuine: false };
}

/** @param {Part} part @returns {Remark | null} */
function isMoreThanText(part) {
  return part.kind === 'html' && !part.isBare ? { what: 'html-more', text: '' } : null;
}

/**
 * What another part shows besides the authenticated text; null where it is empty, or that text once more. A text that the gateway
 * has signed for another request is another text.
 * @param {Part} part @param {GatewayBlock} block @param {UserKey} key @returns {Promise<Remark | null>}
 */
async function remarkOn(part, block, key) {
  if (part.kind === 'other') return { what: part.what, text: '' };
  const isBare = part.kind === 'plain' || part.isBare;
  const text = part.text.trim();
  if (text === '') return isBare ? null : { what: 'html-empty', text: '' };
  const checked = await checkText(text, key.key, block.kind);
  const isSame = checked.verdict === 'genuine' && checked.below.trim() === '' && JSON.stringify(checked.block) === JSON.stringify(block);
  if (isSame) return isMoreThanText(part);
  return { what: part.kind === 'plain' ? 'another-plain' : 'another-html', text };
}

/** @param {GatewayBlock} block @param {UserKey} key */
function isFor(block, key) {
  return block.gateway === key.gateway && block.user === key.user;
}

/**
 * Whether the gateway wrote this subject for the text: `[GATEWAY] COMMAND: OUTCOME`, where the text begins with `OUTCOME:
 * COMMAND`, longer commands cut by an ellipsis. White space and U+FEFF are not compared, because mail systems change them.
 * @param {string} subject @param {string} text @param {GatewayBlock} block
 */
function isOwnSubject(subject, text, block) {
  /** @param {string} full */
  const bare = (full) => full.replace(/[\p{White_Space}\u{feff}]/gu, '');
  const head = `[${block.gateway}]`;
  const title = bare(subject);
  const colon = title.lastIndexOf(':');
  if (!title.startsWith(head) || colon <= head.length || colon === title.length - 1) return false;
  const [command, outcome] = [title.slice(head.length, colon), title.slice(colon + 1)];
  return firstLines(text).some((line) => {
    const [own, expected] = [bare(line), `${outcome}:${command}`];
    if (command.endsWith('…') && Array.from(command).length > SHORTENED) return own.startsWith(expected.slice(0, -1));
    return own === expected;
  });
}

/**
 * What may be the first line of a text, which mail systems wrap or join with the next: it ends where the facts begin, the first of
 * which is a host name. Or it is all of the text.
 * @param {string} text
 */
function firstLines(text) {
  const found = [text];
  for (const { index = 0 } of text.matchAll(/(?<=\p{White_Space})host(?=\p{White_Space})/gu)) {
    const second = text.slice(index + FIRST_FACT.length).split(/\p{White_Space}+/u)[2];
    if (SECOND_FACTS.includes(second)) found.push(text.slice(0, index));
    if (found.length > MOST_FIRST_LINES) break;
  }
  return found;
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
