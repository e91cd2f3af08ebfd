/**
 * Approves or denies a request. In: a notice of the gateway, and the user's answer. Out: a signed `approve` or `deny`. Nothing of a
 * notice is shown before its mac was verified.
 */
import { app, faultText, now, t, when } from './app.js';
import { field, h, notice, radios } from './dom.js';
import { authenticated, clockNotice, isThere, mailInput, remarks, verdict, verifyOwn } from './view-check.js';
import { codeField, signedView, sshLine } from './view-sign.js';

/** @typedef {import('./verify.js').Checked} Checked */

const MAX_NOTICE = 1024 * 1024;

export function approveView() {
  const result = h('div', { 'aria-live': 'polite' });
  const section = h('section', {});
  const input = mailInput(t('noticeText'), async (raw) => {
    if (raw.length === 0) return result.replaceChildren();
    if (raw.length > MAX_NOTICE) return result.replaceChildren(notice('bad', t('tooLarge')));
    const checked = await verifyOwn(raw, ['mailsudo-notice']);
    return result.replaceChildren(...judged(checked, section));
  });
  section.append(h('h1', {}, t('approveTitle')), h('p', {}, t('approvePaste')), input, result);
  return section;
}

/** @param {Checked} checked @param {HTMLElement} section */
function judged(checked, section) {
  const { finding, block, text, outside } = checked;
  if (finding === 'encrypted') return [verdict('warn', t('olderThanKey'), t('encrypted'))];
  if (finding === 'altered') return [verdict('bad', t('altered'), t('alteredNote'))];
  if (!block || text === null) return [verdict('bad', t('notGenuine'), t('notGenuineNotice'))];
  // Two kinds of notice ask nothing: they tell that a command ran without approval, or that a request has lapsed.
  const isOver = block.time < now();
  const isQuestion = !isOver && !/^\s*(?:(?:RAN|STARTED|NOT RUN,) WITHOUT APPROVAL|lapsed)\s*:/.test(text);
  const about = h('p', {}, isOver ? t('lapsed') : t('until', { time: when(block.time) }));
  const head = finding === 'genuine'
    ? verdict('good', t('genuine'), t('asks', { from: block.from, command: block.command }), about)
    : verdict('warn', t('withMore'), t('withMoreNote'), remarks(outside), about);
  return [head, clockNotice(), ...authenticated(text), isQuestion ? answerForm(block, section) : null].filter(isThere);
}

/**
 * Two answers, as far as this page can sign them: an approval may need an SSH signature, and a denial as well.
 * @param {import('./reply.js').GatewayBlock} block @param {HTMLElement} section
 */
function answerForm(block, section) {
  const always = app.data.ssh?.always ?? false;
  const isSigned = always || (app.data.ssh?.approvals.includes(block.command) ?? false);
  const ssh = isSigned ? notice('warn', h('p', {}, t('needsSsh')), h('pre', { dir: 'ltr', tabindex: 0 }, sshLine(`approve id=${block.request} digest=${block.digest}`))) : null;
  if (always && ssh) return ssh;
  let answer = '';
  const reason = h('input', { type: 'text', dir: 'auto', maxlength: 500 });
  const { element: reasonField, say } = field(t('reason'), reason, t('reasonHint'));
  const why = h('div', { hidden: true }, reasonField);
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const choice = radios(t('answer'), 'answer', [...(isSigned ? [] : [{ value: 'approve', label: t('yes') }]), { value: 'deny', label: t('no') }], answer, (value) => {
    answer = value;
    why.hidden = value !== 'deny';
  });
  const code = codeField();
  const sign = async () => {
    wrong.textContent = answer ? '' : t('chooseAnswer');
    const isUnexplained = answer === 'deny' && reason.value.trim() === '';
    say(isUnexplained ? t('reasonNeeded') : '');
    const digits = code.read();
    if (!answer || isUnexplained || !digits) return;
    /** @type {[string, string][]} */
    const args = [['id', block.request], ['digest', block.digest]];
    if (answer === 'deny') args.push(['reason', reason.value.trim()]);
    try {
      section.replaceWith(await signedView({ command: answer, args, attachment: null, secrets: [] }, digits));
    } catch (fault) {
      wrong.textContent = faultText(fault);
    }
  };
  return h('form', { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); void sign(); } },
    ssh, choice, why, code.element, wrong, h('div', { class: 'actions' }, h('button', { class: 'primary' }, t('signAnswer'))));
}
