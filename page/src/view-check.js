/**
 * Checks a reply, and shows what of it the gateway wrote. In: pasted text or a mail's file. Out: a verdict in words, in form and in
 * colour. A text that was not verified is never shown.
 */
import { app, now, remarkText, saveRecord, t, when } from './app.js';
import { utf8 } from './bytes.js';
import { clockError } from './clock.js';
import { field, h, notice } from './dom.js';
import { readRequest } from './request.js';
import { verify } from './verify.js';
import { visible } from './value.js';

/** @typedef {import('./verify.js').Checked} Checked */

const MAX_MAIL = 1024 * 1024;
/** The longest remark that is shown, in characters. */
const MAX_REMARK = 500;

export function checkView() {
  const result = h('div', { 'aria-live': 'polite' });
  const input = mailInput(t('replyText'), async (raw) => {
    if (raw.length === 0) return result.replaceChildren();
    if (raw.length > MAX_MAIL) return result.replaceChildren(notice('bad', t('tooLarge')));
    const checked = await verifyOwn(raw, ['mailsudo-reply', 'mailsudo-notice']);
    await learnClock(checked);
    return result.replaceChildren(...resultOf(checked, raw).filter(isThere));
  });
  return h('section', {}, h('h1', {}, t('checkTitle')), h('p', {}, t('checkPaste')), input, result);
}

/** @param {Uint8Array} raw @param {import('./block.js').Kind[]} kinds */
export async function verifyOwn(raw, kinds) {
  if (!app.record || !app.key) throw new Error('no key');
  const { gateway, user, written } = app.record;
  return verify(raw, { gateway, user, written, key: app.key }, kinds);
}

/**
 * A place to paste a mail, or to drop or open its file.
 * @param {string} label @param {(raw: Uint8Array) => Promise<unknown> | void} found
 */
export function mailInput(label, found) {
  /** @type {HTMLTextAreaElement} */
  const text = h('textarea', { rows: 6, dir: 'auto', spellcheck: 'false', autocapitalize: 'off', autocomplete: 'off', oninput: () => take() });
  const take = () => {
    // The field shrinks, so that the verdict is on the screen.
    text.rows = text.value === '' ? 6 : 2;
    return found(utf8(text.value));
  };
  const read = async (/** @type {File | undefined} */ file) => {
    if (!file) return;
    text.value = '';
    await found(file.size > MAX_MAIL ? new Uint8Array(MAX_MAIL + 1) : new Uint8Array(await file.arrayBuffer()));
  };
  /** @type {HTMLInputElement} */
  const open = h('input', { type: 'file', class: 'behind', accept: '.eml,message/rfc822,text/plain', onchange: () => read(open.files?.[0]) });
  const place = h('div', {
    class: 'drop',
    ondragover: (/** @type {DragEvent} */ event) => event.preventDefault(),
    ondrop: (/** @type {DragEvent} */ event) => {
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      void read(event.dataTransfer.files[0]);
    },
  }, field(label, text).element, h('div', { class: 'actions' }, h('label', { class: 'button' }, t('openFile'), open)), h('p', { class: 'hint wide' }, t('dropHere')));
  if (app.mail) {
    text.value = app.mail;
    app.mail = '';
    void take();
  }
  return place;
}

/** @param {Checked} checked @param {Uint8Array} raw */
function resultOf({ finding, block, text, outside }, raw) {
  const about = block && finding !== 'older-than-key' ? h('p', {}, t('answered', { request: block.request.slice(0, 12), time: when(block.time) }), block.result ? ` (${block.result})` : '') : null;
  const own = block && app.record?.sent.find(({ id }) => id === block.request);
  const known = own ? h('p', { dir: 'auto' }, t('answersYours', { title: own.title })) : null;
  switch (finding) {
    case 'genuine':
      return [verdict('good', t('genuine'), t('genuineNote'), about, known), clockNotice(), ...authenticated(text ?? '')];
    case 'with-more':
      return [verdict('warn', t('withMore'), t('withMoreNote'), remarks(outside), about), ...authenticated(text ?? '')];
    case 'altered':
      return [verdict('bad', t('altered'), t('alteredNote'), about)];
    case 'encrypted':
      return [verdict('warn', t('olderThanKey'), t('encrypted'))];
    case 'older-than-key':
      return [verdict('warn', t('olderThanKey'), t('olderThanKeyNote'))];
    default:
      return [verdict('bad', t('notGenuine'), isRequest(raw) ? t('isRequest') : t('notGenuineNote'))];
  }
}

/** @template T @param {T | null} value @returns {value is T} */
export function isThere(value) {
  return value !== null;
}

/** @param {Uint8Array} raw */
function isRequest(raw) {
  try {
    readRequest([new TextDecoder().decode(raw)]);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} kind @param {string} title @param {string} words @param {(Node | null | undefined)[]} more */
export function verdict(kind, title, words, ...more) {
  const signs = /** @type {Record<string, string>} */ ({ good: '✓', warn: '!', bad: '✕' });
  return notice(kind, h('h2', { 'data-verdict': kind }, h('span', { class: 'sign', 'aria-hidden': 'true' }, signs[kind]), ' ', title), h('p', {}, words), ...more);
}

/** @param {import('./verify.js').Remark[]} outside */
export function remarks(outside) {
  return h('ul', {}, outside.map(({ what, text }) => h('li', { dir: 'auto' }, remarkText({ what, text: visible(text).slice(0, MAX_REMARK) }))));
}

/**
 * The text that the gateway wrote, with what could hide or reorder it made visible.
 * @param {string} text
 */
export function authenticated(text) {
  return [h('h2', {}, t('authenticated')), h('pre', { tabindex: 0, dir: 'auto', 'data-text': 'authenticated' }, visible(text).trimEnd())];
}

/**
 * Keeps what a genuine reply tells about this device's clock.
 * @param {Checked} checked
 */
async function learnClock({ finding, block }) {
  if (!app.record || !block || block.kind !== 'mailsudo-reply' || !['genuine', 'with-more'].includes(finding)) return;
  const sent = app.record.sent.find(({ id }) => id === block.request);
  const clock = clockError(block.time, now(), sent ? sent.time : null);
  // An old reply tells nothing of the clock of today.
  if (clock !== app.record.clock && (clock !== 0 || sent)) await saveRecord({ ...app.record, clock });
}

/** What is known to be wrong with this device's clock. */
export function clockNotice() {
  const clock = app.record?.clock ?? 0;
  if (clock === 0) return null;
  const span = Math.abs(clock) < 120 ? t('seconds', { n: Math.abs(clock) }) : t('minutes', { n: Math.floor(Math.abs(clock) / 60) });
  return notice('warn', clock < 0 ? t('clockBehind', { span }) : t('clockAhead', { span }));
}
