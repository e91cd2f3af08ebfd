/**
 * A signed request on its way out: a mail link, the text, the share sheet, a whole mail. In: a signed block. Nothing is sent from here.
 */
import { app, go, t } from './app.js';
import { button, h, notice } from './dom.js';
import { mailtoLink, messageBytes } from './outgoing.js';

const SUBJECT = 'mailsudo request';
/** How long the browser has to save a file, in milliseconds. */
const SAVING = 60000;

/** @param {{ block: string, id: string, title: string, time: number, attachment: import('./outgoing.js').Attachment | null }} signed */
export function outcomeView({ block, id, title, time, attachment }) {
  const to = app.data.address;
  const link = attachment ? null : mailtoLink(to, SUBJECT, block);
  const said = h('p', { class: 'hint', role: 'status' });
  const mail = () => messageBytes({ to, from: app.data.from, subject: SUBJECT, time, block, attachment });
  const name = `mailsudo-${id.slice(0, 12)}.eml`;
  const save = button(t('saveMail'), () => {
    const url = URL.createObjectURL(new Blob([mail()], { type: 'message/rfc822' }));
    h('a', { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), SAVING);
  }, link ? '' : 'primary');
  const text = h('pre', { dir: 'ltr', tabindex: 0, class: 'block' }, block);
  const copy = button(t('copy'), async () => {
    try {
      await navigator.clipboard.writeText(block);
      said.textContent = t('copied');
    } catch {
      getSelection()?.selectAllChildren(text);
      said.textContent = document.execCommand('copy') ? t('copied') : t('notCopied');
    }
  });
  const shared = attachment ? { files: [new File([mail()], name, { type: 'message/rfc822' })] } : { title: SUBJECT, text: block };
  const canShare = typeof navigator.share === 'function' && (navigator.canShare?.(shared) ?? true);
  // Closing the share sheet without a choice is no error.
  const share = canShare ? button(t('share'), () => void navigator.share(shared).catch(() => undefined)) : null;
  return h('section', { 'data-view': 'outcome' },
    h('h1', { tabindex: -1 }, t('sendTitle')),
    h('p', { class: 'title', dir: 'auto' }, title),
    h('p', {}, `${t('sendTo', { to })} ${app.data.from ? t('sendFrom', { from: app.data.from }) : ''}`),
    link ? null : notice('note', attachment ? t('withFile') : t('tooLong')),
    h('div', { class: 'actions' },
      link ? h('a', { class: 'button primary', href: link }, t('openMail')) : save,
      attachment ? null : copy, share, link ? save : null),
    said,
    h('p', { class: 'hint' }, t('sendSoon')),
    h('details', {}, h('summary', {}, t('signedText')), h('p', { class: 'hint' }, `${t('request')} ${id.slice(0, 12)}`), text),
    h('div', { class: 'actions' }, button(t('another'), () => go('sign'))),
  );
}
