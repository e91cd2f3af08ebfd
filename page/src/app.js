/**
 * What the page knows while it is open: the gateway's data, the key, the language. Views read it and ask it to draw them again.
 */
import { EN } from './texts-en.js';
import { DE } from './texts-de.js';
import { FR } from './texts-fr.js';
import { ES } from './texts-es.js';
import { Fault } from './value.js';

/**
 * @typedef {import('./commands.js').PageData} PageData
 * @typedef {import('./keyfile.js').Wrapped} Wrapped
 * @typedef {{ id: string, time: number, title: string }} Sent
 * @typedef {{ gateway: string, address: string, user: string, fingerprint: string, written: number, key: CryptoKey | null,
 *   wrapped: Wrapped | null, device: Uint8Array | null, sent: Sent[], clock: number }} KeyRecord `device` is a passkey's id; `clock` is the
 *   seconds by which this device's clock is known to be ahead, below zero behind
 * @typedef {'sign' | 'approve' | 'check' | 'key'} View
 */

/** @type {Record<string, Record<keyof typeof EN, string>>} */
const LANGUAGES = { en: EN, de: DE, fr: FR, es: ES };
export const LANGUAGE_NAMES = { en: 'English', de: 'Deutsch', fr: 'Français', es: 'Español' };
/** How many of the user's requests are remembered, to know their replies. */
const REMEMBERED = 20;

export const app = {
  /** @type {PageData} */
  data: { version: 1, gateway: '', address: '', user: null, from: null, max_file: 0, commands: [] },
  /** @type {import('./store.js').Store} */
  store: { isLasting: false, get: async () => undefined, put: async () => {}, remove: async () => {} },
  /** @type {KeyRecord | null} */
  record: null,
  /** @type {CryptoKey | null} The key, while it is unlocked. */
  key: null,
  /** @type {View} */
  view: 'sign',
  language: 'en',
  /** A message for the next drawing. */
  message: '',
  /** A mail that came with the page's address. */
  mail: '',
  draw: () => {},
};

/** @param {keyof typeof EN} name @param {Record<string, string | number>} [values] */
export function t(name, values = {}) {
  return LANGUAGES[app.language][name].replace(/\{([a-z]+)\}/g, (whole, key) => String(values[key] ?? whole));
}

/**
 * The remark's text in the user's language.
 * @param {{ what: string, text: string }} remark
 */
export function remarkText({ what, text }) {
  const name = /** @type {keyof typeof EN} */ (`what-${what}`);
  return t(name in EN ? name : 'what-other-type', { text });
}

/** The first language of the user that the page has. */
export function preferredLanguage() {
  const wanted = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => tag in LANGUAGES) ?? 'en';
}

/**
 * What to say of a fault.
 * @param {unknown} fault
 */
export function faultText(fault) {
  if (!(fault instanceof Fault)) return t('failed', { detail: String(fault) });
  /** @type {Record<string, keyof typeof EN>} */
  const names = { 'bad-value': 'badValue', 'bad-request': 'badRequest', 'bad-key-file': 'badKeyFile', 'bad-passphrase': 'badPassphrase', 'no-device': 'noDevice' };
  return t(names[fault.word] ?? 'badRequest');
}

/** The name under which the key of this page is kept. */
function recordName() {
  return `key ${app.data.gateway} ${app.data.user ?? ''}`;
}

export async function loadRecord() {
  app.record = (await app.store.get(recordName())) ?? null;
  app.key = app.record?.key ?? null;
}

/** @param {KeyRecord | null} record */
export async function saveRecord(record) {
  app.record = record;
  if (record) await app.store.put(recordName(), record);
  else await app.store.remove(recordName());
}

/**
 * Remembers a request, so that its reply is known.
 * @param {Sent} sent
 */
export async function remember(sent) {
  if (app.record) await saveRecord({ ...app.record, sent: [sent, ...app.record.sent].slice(0, REMEMBERED) });
}

/** @param {View} view */
export function go(view) {
  app.view = view;
  app.draw();
}

/** Seconds since 1970, by this device. */
export function now() {
  return Math.floor(Date.now() / 1000);
}

/**
 * A moment in the user's time zone and language.
 * @param {number} seconds
 */
export function when(seconds) {
  const tag = navigator.languages.find((one) => one.startsWith(app.language)) ?? app.language;
  return new Date(seconds * 1000).toLocaleString(tag, { dateStyle: 'medium', timeStyle: 'medium' });
}
