/**
 * Is a message the gateway's own, and nothing else? The rules are those of `mailsudo verify` (src/client/verify.rs). In: a message
 * or pasted text, and a user's key. Out: a finding; the authenticated text; what the message holds besides it.
 *
 * MUST: a message is genuine only where every part that a mail program may show is covered by the block and matches.
 */
import { fromUtf8, unbinary } from './bytes.js';
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

/** The first label below a reply's first line, and the first words of the labels that may follow the host's name. */
const FIRST_FACTS = /(?<=\s)host(?=\s+\S+\s+(?:run|took|gateway|started|needed|until|from|asked|approved|denied|withdrew|cancelled)(?:\s|$))/g;
/** Output may hold such words too, any number of times. */
const MOST_FIRST_LINES = 4;
/** A subject that was shortened has 60 characters of the command; some may be white space. */
const SHORTENED = 30;
/** How many lines a banner above a text may have. */
const MOST_LINES = 60;

/**
 * A part that holds a block for the user, and the text above the one that the block covers: a banner.
 * @typedef {import('./reply.js').CheckedText & { part: Part, banner: string }} Candidate
 */

/**
 * Checks `raw` for blocks of `kinds`.
 * @param {Uint8Array} raw @param {UserKey} key @param {Kind[]} kinds @returns {Promise<Checked>}
 */
export async function verify(raw, key, kinds) {
  const mail = readMail(raw);
  /** @type {Part[]} */
  const parts = mail ? mail.parts : [{ kind: 'plain', text: fromUtf8(raw) }];
  /** @type {Candidate | null} */
  let best = null;
  for (const part of parts) {
    const found = await candidateOf(part, key, kinds);
    if (found && (!best || rankOf(found) > rankOf(best))) best = found;
  }
  if (!best || !best.block) return older(parts, key);
  const { verdict, block, above, below, banner } = best;
  if (verdict === 'altered') return { finding: 'altered', block, text: null, outside: [] };
  /** @type {Remark[]} */
  const outside = [];
  const remark = (/** @type {string} */ what, text = '') => outside.push({ what, text });
  const subject = mail?.subject ?? null;
  if (subject !== null && !isOwnSubject(subject, above, block)) remark('subject', subject);
  if (banner.trim() !== '') remark('above', banner.trim());
  if (below.trim() !== '') remark('below', below.trim());
  for (const part of parts) {
    if (part !== best.part) outside.push(...(await remarksOn(part, block, key, kinds)));
    else if (part.kind === 'html' && !part.isBare) remark('html-more');
  }
  for (const text of mail?.unclear ?? []) remark('unclear', fromUtf8(unbinary(text)));
  return { finding: outside.length === 0 ? 'genuine' : 'with-more', block, text: above, outside };
}

/** @param {Part} part @param {UserKey} key @param {Kind[]} kinds @returns {Promise<Candidate | null>} */
async function candidateOf(part, key, kinds) {
  if (part.kind === 'other') return null;
  const checked = await checkAny(part.text, key, kinds);
  if (!checked.block || !isFor(checked.block, key)) return null;
  if (checked.verdict === 'altered') {
    // The text that is left below a banner has the digest that the gateway signed.
    let start = 0;
    for (let lines = 0; lines < MOST_LINES; lines += 1) {
      start = part.text.indexOf('\n', start) + 1;
      if (start === 0 || start > checked.above.length) break;
      const rest = await checkAny(part.text.slice(start), key, kinds);
      if (rest.verdict === 'genuine') return { ...rest, part, banner: part.text.slice(0, start) };
    }
  }
  return { ...checked, part, banner: '' };
}

/** @param {Candidate} candidate */
function rankOf({ verdict, banner, part }) {
  return (verdict === 'genuine' ? 4 : 0) + (banner === '' ? 2 : 0) + (part.kind === 'plain' ? 1 : 0);
}

/** @param {string} text @param {UserKey} key @param {Kind[]} kinds */
async function checkAny(text, key, kinds) {
  let checked = await checkText(text, key.key, kinds[0]);
  if (checked.verdict === 'not-genuine' && kinds.length > 1) checked = await checkText(text, key.key, kinds[1]);
  return checked;
}

/**
 * What another part shows besides the authenticated text; nothing where it is empty, or that text once more. A text that the gateway
 * has signed for another request is another text.
 * @param {Part} part @param {GatewayBlock} block @param {UserKey} key @param {Kind[]} kinds @returns {Promise<Remark[]>}
 */
async function remarksOn(part, block, key, kinds) {
  if (part.kind === 'other') return [{ what: part.what, text: '' }];
  const isBare = part.kind === 'plain' || part.isBare;
  const text = part.text.trim();
  if (text === '') return isBare ? [] : [{ what: 'html-empty', text: '' }];
  const checked = await checkAny(text, key, kinds);
  const isSame = checked.verdict === 'genuine' && JSON.stringify(checked.block) === JSON.stringify(block) && checked.below.trim() === '';
  if (isSame) return isBare ? [] : [{ what: 'html-more', text: '' }];
  return [{ what: part.kind === 'plain' ? 'another-plain' : 'another-html', text }];
}

/** @param {GatewayBlock} block @param {UserKey} key */
function isFor(block, key) {
  return block.gateway === key.gateway && block.user === key.user;
}

/**
 * Whether the gateway wrote this subject for the text: `[GATEWAY] COMMAND: OUTCOME`, where the text begins with `OUTCOME:
 * COMMAND`, longer commands cut by an ellipsis. White space and U+FEFF are not compared, because mail systems change them. The first
 * line of a text, which mail systems wrap or join with the next, ends where the facts begin. Or it is all of the text.
 * @param {string} subject @param {string} text @param {GatewayBlock} block
 */
function isOwnSubject(subject, text, block) {
  /** @param {string} full */
  const bare = (full) => full.replace(/[\p{White_Space}\u{feff}]/gu, '');
  const [head, title] = [`[${block.gateway}]`, bare(subject)];
  const colon = title.lastIndexOf(':');
  const [command, outcome] = [title.slice(head.length, colon), title.slice(colon + 1)];
  if (!title.startsWith(head) || colon <= head.length || outcome === '') return false;
  const start = command.endsWith('…') && Array.from(command).length > SHORTENED ? command.slice(0, -1) : null;
  const ends = Array.from(text.matchAll(FIRST_FACTS), ({ index }) => index).slice(0, MOST_FIRST_LINES);
  return [...ends, text.length].some((end) => {
    const line = bare(text.slice(0, end));
    const written = line.startsWith(`${outcome}:`) ? line.slice(outcome.length + 1) : null;
    return start === null ? written === command : written !== null && written.startsWith(start);
  });
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
