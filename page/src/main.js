/**
 * The page: starts, finds its key, and draws one view at a time.
 */
import { app, go, LANGUAGE_NAMES, loadRecord, preferredLanguage, t } from './app.js';
import { readPageData } from './commands.js';
import { h, notice } from './dom.js';
import { openStore } from './store.js';
import { fromBase64Url } from './value.js';
import { approveView } from './view-approve.js';
import { checkView } from './view-check.js';
import { keyView } from './view-key.js';
import { signView } from './view-sign.js';
import { registerWorker } from './worker.js';

/** @type {Record<import('./app.js').View, () => HTMLElement>} */
const VIEWS = { sign: signView, approve: approveView, check: checkView, key: keyView };

/** Draws the page. Where a key is needed and there is none, or it is locked, the key's view stands in its place. */
function draw() {
  document.documentElement.lang = app.language;
  document.title = `${app.data.gateway} · mailsudo`;
  const isReady = app.record !== null && app.key !== null;
  const shown = isReady ? app.view : 'key';
  const names = /** @type {import('./app.js').View[]} */ (Object.keys(VIEWS));
  const tabs = names.map((name) => h('button', { type: 'button', 'aria-current': name === shown ? 'page' : null, onclick: () => go(name) }, t(name)));
  const message = h('p', { class: 'message', role: 'status' }, app.message);
  app.message = '';
  const main = h('main', {}, message, VIEWS[shown]());
  root().replaceChildren(
    h('header', {}, h('p', { class: 'gateway', dir: 'auto' }, app.data.gateway), h('p', { class: 'address', dir: 'auto' }, app.data.address),
      isReady ? h('nav', { 'aria-label': 'mailsudo' }, tabs) : null),
    main,
    h('footer', {}, languageChoice()),
  );
  const title = main.querySelector('h1');
  title?.setAttribute('tabindex', '-1');
  title?.focus({ preventScroll: true });
}

function root() {
  return /** @type {HTMLElement} */ (document.getElementById('app'));
}

function languageChoice() {
  const select = h('select', {
    'aria-label': t('language'),
    onchange: async () => {
      app.language = select.value;
      await app.store.put('language', app.language);
      app.draw();
    },
  }, Object.entries(LANGUAGE_NAMES).map(([tag, name]) => h('option', { value: tag, selected: tag === app.language, lang: tag }, name)));
  return select;
}

/** A mail that a shortcut has put behind the page's address: `#mail=` and the base64 of its text. It is verified like any other. */
function takeMail() {
  const found = /^#mail=(.+)$/.exec(location.hash);
  if (!found) return;
  const text = fromBase64Url(decodeURIComponent(found[1]).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, ''));
  location.replace('#');
  if (text === null) return;
  app.mail = text;
  app.view = /^[ \t]*mailsudo-notice[ \t]*:/im.test(text) ? 'approve' : 'check';
}

async function start() {
  app.draw = draw;
  app.language = preferredLanguage();
  const data = readPageData(document.getElementById('data')?.textContent ?? '');
  const refuse = (/** @type {string} */ words) => root().replaceChildren(h('main', {}, notice('warn', words)));
  // A page that is shown inside another one could have its buttons covered.
  if (window.top !== window.self) return refuse(t('framed'));
  if (!data) return refuse(t('empty'));
  if (!globalThis.crypto?.subtle) return refuse(t('noCrypto'));
  app.data = data;
  app.store = await openStore();
  const chosen = await app.store.get('language');
  if (typeof chosen === 'string' && chosen in LANGUAGE_NAMES) app.language = chosen;
  await loadRecord();
  takeMail();
  draw();
  addEventListener('hashchange', () => {
    takeMail();
    if (app.mail) app.draw();
  });
  return registerWorker();
}

void start();
