/**
 * The user's key on this device: added from a file, a QR code or pasted text; unlocked; shown by its fingerprint; deleted.
 */
import { app, faultText, go, now, saveRecord, t } from './app.js';
import { button, field, h, notice, radios } from './dom.js';
import { fingerprintOf, importKey, readKeyFile, unwrapKey, wrapKey } from './keyfile.js';
import { hasPasskeys, makePasskey, passkeySecret } from './passkey.js';
import { scanQr } from './camera.js';
import { Fault } from './value.js';

const SHORTEST_PASSPHRASE = 12;
/** A key file has about 150 bytes. */
const MAX_KEY_FILE = 4096;

/** @typedef {ReturnType<typeof readKeyFile> & { fingerprint: string, written: number }} Read */

export function keyView() {
  if (!app.record) return addView();
  return app.key ? shownView(app.record) : unlockView();
}

/**
 * Four digits at a time.
 * @param {string} digits
 */
function grouped(digits) {
  return digits.replace(/(.{4})(?=.)/g, '$1 ');
}

/** @param {string} user @param {string} fingerprint @param {string} kept */
function facts(user, fingerprint, kept) {
  const rows = [[t('user'), user], [t('gateway'), app.data.gateway], [t('fingerprint'), grouped(fingerprint)], [t('kept'), kept]];
  return h('dl', { class: 'facts' }, rows.filter(([, value]) => value !== '').flatMap(([name, value]) => [h('dt', {}, name), h('dd', { dir: 'auto' }, value)]));
}

/**
 * For password managers, which keep a passphrase under a name.
 * @param {string} user
 */
function userName(user) {
  return h('input', { type: 'text', autocomplete: 'username', value: user, hidden: true });
}

function addView() {
  const body = h('section', {});
  const { element, say } = field(t('keyText'), h('textarea', { rows: 4, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off' }));
  const pasted = /** @type {HTMLTextAreaElement} */ (element.querySelector('textarea'));
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  /** @param {string} text @param {number} written @param {(text: string) => void} tell */
  const use = async (text, written, tell) => {
    try {
      tell('');
      const read = readKeyFile(text);
      const expected = app.data.user ? `${app.data.user} @ ${app.data.gateway}` : app.data.gateway;
      if (read.gateway !== app.data.gateway || (app.data.user !== null && read.user !== app.data.user)) {
        read.raw.fill(0);
        return tell(t('otherGateway', { user: read.user, gateway: read.gateway, expected }));
      }
      body.replaceWith(confirmView({ ...read, fingerprint: await fingerprintOf(read.raw), written }));
    } catch (fault) {
      tell(faultText(fault));
    }
    return undefined;
  };
  const open = h('input', {
    type: 'file', class: 'behind',
    onchange: async () => {
      const file = open.files?.[0];
      if (!file) return;
      const text = file.size > MAX_KEY_FILE ? '' : await file.text();
      await use(text, Math.floor(file.lastModified / 1000), (words) => { wrong.textContent = words; });
      open.value = '';
    },
  });
  const scanner = h('div', {});
  const scan = 'BarcodeDetector' in globalThis && navigator.mediaDevices
    ? button(t('scanKey'), () => scanQr(scanner, (text) => use(text, now(), (words) => { wrong.textContent = words; })))
    : null;
  body.append(
    h('h1', {}, t('keyTitle')),
    h('p', {}, t('keyNeeded')),
    app.store.isLasting ? '' : notice('warn', `${t('kept')}: ${t('keptSession')}`),
    h('div', { class: 'actions' }, h('label', { class: 'button primary' }, t('openKey'), open), scan),
    wrong,
    scanner,
    h('details', {}, h('summary', {}, t('pasteKey')), element, button(t('useKey'), () => use(pasted.value, now(), say))),
  );
  return body;
}

/** @param {Read} read */
function confirmView(read) {
  let protection = 'none';
  const first = h('input', { type: 'password', autocomplete: 'new-password' });
  const second = h('input', { type: 'password', autocomplete: 'new-password' });
  const fields = [field(t('passphrase'), first), field(t('passphraseAgain'), second)];
  const secret = h('div', { hidden: true }, fields.map(({ element }) => element));
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const options = [
    { value: 'none', label: t('plain'), note: t('plainNote') },
    { value: 'passphrase', label: t('protect'), note: t('protectNote') },
    ...(hasPasskeys() ? [{ value: 'device', label: t('useDevice') }] : []),
  ];
  const choice = radios(t('howKept'), 'protection', options, protection, (value) => {
    protection = value;
    secret.hidden = value !== 'passphrase';
  });
  const done = async () => {
    const owner = `${read.gateway} ${read.user}`;
    /** @type {import('./app.js').KeyRecord} */
    const record = { gateway: read.gateway, address: read.address, user: read.user, fingerprint: read.fingerprint, written: read.written,
      key: null, wrapped: null, device: null, sent: [], clock: 0 };
    const isShort = protection === 'passphrase' && Array.from(first.value).length < SHORTEST_PASSPHRASE;
    const isOther = protection === 'passphrase' && first.value !== second.value;
    fields[0].say(isShort ? t('passphraseShort') : '');
    fields[1].say(!isShort && isOther ? t('passphraseDiffers') : '');
    if (isShort || isOther) return;
    try {
      const key = await importKey(read.raw);
      if (protection === 'passphrase') record.wrapped = await wrapKey(read.raw, first.value, owner);
      if (protection === 'device') {
        record.device = await makePasskey(read.user);
        record.wrapped = await wrapKey(read.raw, await passkeySecret(record.device), owner);
      }
      if (protection === 'none') record.key = key;
      read.raw.fill(0);
      await saveRecord(record);
      app.key = key;
      void navigator.storage?.persist?.().catch(() => false);
      app.message = t('added');
      go('sign');
    } catch (fault) {
      wrong.textContent = faultText(fault);
    }
  };
  const form = h('form', { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); void done(); } },
    h('h1', { tabindex: -1 }, t('keyTitle')),
    userName(read.user),
    facts(read.user, read.fingerprint, ''),
    h('p', { class: 'hint' }, t('fingerprintNote')),
    choice, secret, wrong,
    h('div', { class: 'actions' }, h('button', { class: 'primary' }, t('useKey')), button(t('cancel'), () => { read.raw.fill(0); app.draw(); })),
  );
  return form;
}

/** Asks for what protects the key; then draws the view again. */
export function unlockView() {
  const record = app.record;
  const input = h('input', { type: 'password', autocomplete: 'current-password' });
  const { element, say } = field(t('passphrase'), input);
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const device = record?.device ?? null;
  const unlock = async () => {
    if (!record?.wrapped) return;
    try {
      const secret = device ? await passkeySecret(device) : input.value;
      app.key = await unwrapKey(record.wrapped, secret, `${record.gateway} ${record.user}`);
      app.draw();
    } catch (fault) {
      const tell = device ? (/** @type {string} */ words) => { wrong.textContent = words; } : say;
      tell(faultText(device && !(fault instanceof Fault) ? new Fault('no-device') : fault));
    }
  };
  return h('form', { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); void unlock(); } },
    h('h1', {}, t('unlockTitle')),
    userName(record?.user ?? ''),
    facts(record?.user ?? '', record?.fingerprint ?? '', device ? t('keptDevice') : t('keptPassphrase')),
    device ? wrong : element,
    h('div', { class: 'actions' }, h('button', { class: 'primary' }, t('unlock')), deleteButton()),
  );
}

/** Asks once more before the key goes. */
function deleteButton() {
  const place = h('div', { class: 'confirm' });
  const ask = () => place.replaceChildren(
    h('p', {}, t('reallyDelete')),
    button(t('deleteKey'), async () => {
      await saveRecord(null);
      app.key = null;
      app.message = t('deleted');
      app.draw();
    }, 'danger'),
    button(t('cancel'), () => place.replaceChildren(first)),
  );
  const first = button(t('deleteKey'), ask);
  place.append(first);
  return place;
}

/** @param {import('./app.js').KeyRecord} record */
function shownView(record) {
  const isKept = app.store.isLasting;
  const kept = !isKept ? t('keptSession') : record.device ? t('keptDevice') : record.wrapped ? t('keptPassphrase') : t('keptHere');
  const lock = record.wrapped ? button(t('lock'), () => { app.key = null; app.draw(); }) : null;
  return h('section', {},
    h('h1', {}, t('keyTitle')),
    facts(record.user, record.fingerprint, kept),
    h('p', { class: 'hint' }, t('fingerprintNote')),
    h('div', { class: 'actions' }, lock, deleteButton()),
  );
}
