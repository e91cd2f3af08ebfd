/**
 * A request: a command, its values, a code. In: what the user types. Out: a signed block, to be sent.
 */
import { app, faultText, now, remember, t } from './app.js';
import { hex, sha256 } from './bytes.js';
import { codeLeft } from './clock.js';
import { accepts, choices, permitted } from './commands.js';
import { clockNotice, isThere } from './view-check.js';
import { button, field, h, notice, radios } from './dom.js';
import { isCode, isWord } from './names.js';
import { signRequest } from './request.js';
import { outcomeView } from './view-outcome.js';

/**
 * @typedef {import('./commands.js').Command} Command
 * @typedef {import('./commands.js').Parameter} Parameter
 * @typedef {import('./outgoing.js').Attachment} Attachment
 * @typedef {{ command: string, args: [string, string][], attachment: Attachment | null, secrets: string[] | null }} Asked
 *   `secrets`: the names of arguments that are kept nowhere; null for a command whose parameters the page does not know
 */

const OTHER = '';
/** From this number of commands on there is a field to find one. */
const MANY = 12;
/** Up to this number of values they are shown at once. */
const FEW = 4;

export function signView() {
  const { commands, ssh } = app.data;
  if (ssh?.always) return h('section', {}, h('h1', {}, t('signTitle')), sshNotice([]));
  /** @type {() => Promise<Asked | null>} */
  let read = async () => null;
  const form = h('div', {});
  const choose = (/** @type {string} */ name) => {
    const command = commands.find((known) => known.name === name);
    const parts = command ? commandForm(command) : otherForm();
    read = parts.read;
    form.replaceChildren(...parts.elements);
    rest.hidden = false;
    // Arrow keys go on through the list, so it closes for a pointer only.
    if (byPointer) show(true);
  };
  // Of a chosen command only its row stays, so that the fields come next.
  const show = (/** @type {boolean} */ isChosen) => {
    for (const row of list.querySelectorAll('label')) row.hidden = isChosen && !row.querySelector('input')?.checked;
    change.hidden = !isChosen;
    if (filter) filter.hidden = isChosen;
  };
  const change = button(t('change'), () => show(false));
  change.hidden = true;
  const code = codeField();
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const rest = h('div', { hidden: true }, form, code.element, wrong, h('div', { class: 'actions' }, h('button', { class: 'primary' }, t('doSign'))));
  const options = [...commands.map(({ name, summary }) => ({ value: name, label: name, note: summary })), { value: OTHER, label: t('other'), note: t('otherNote') }];
  const list = radios(t('command'), 'command', options, '-', choose);
  let byPointer = false;
  list.addEventListener('pointerdown', () => { byPointer = true; });
  list.addEventListener('keydown', () => { byPointer = false; });
  const filter = commands.length >= MANY ? filterField(list) : null;
  const view = h('form', {
    onsubmit: async (/** @type {Event} */ event) => {
      event.preventDefault();
      wrong.textContent = '';
      const asked = await read();
      const digits = code.read();
      if (!asked || !digits) return;
      try {
        view.replaceWith(await signedView(asked, digits));
      } catch (fault) {
        wrong.textContent = faultText(fault);
      }
    },
  }, h('h1', {}, t('signTitle')), clockNotice(), filter, list, change, rest, ssh?.commands.length ? sshNotice(ssh.commands) : null);
  return view;
}

/**
 * Signs at this moment, which is the one that the code belongs to, and shows what to do with it.
 * @param {Asked} asked @param {string} code
 */
export async function signedView({ command, args, attachment, secrets }, code) {
  if (!app.record || !app.key) throw new Error('no key');
  const time = now();
  const payload = attachment ? hex(await sha256(attachment.bytes)) : null;
  const { gateway, user } = app.record;
  const { block, id } = await signRequest({ gateway, user, time, code, command, args, payload }, app.key);
  const title = [command, ...args.map(([name, value]) => `${name}=${secrets?.includes(name) ? '[secret]' : value}`)].join(' ');
  // Which arguments of an unknown command are secret is not known either.
  await remember({ id, time, title: secrets ? title.slice(0, 200) : command });
  document.querySelector('.message')?.replaceChildren();
  return outcomeView({ block, id, title, time, attachment });
}

/**
 * The line for a computer with an SSH key.
 * @param {string} request
 */
export function sshLine(request) {
  return `mailsudo sign --ssh-key KEY.pub ${request}`;
}

/**
 * What the page cannot sign, and what signs it.
 * @param {string[]} names none for all that the user signs
 */
function sshNotice(names) {
  return notice('note', h('p', { dir: 'auto' }, names.length > 0 ? `${names.join(', ')}: ` : '', t('needsSsh')), h('pre', { dir: 'ltr', tabindex: 0 }, sshLine('COMMAND NAME=VALUE')));
}

/**
 * Hides the commands without the typed words.
 * @param {HTMLElement} list
 */
function filterField(list) {
  const input = h('input', {
    type: 'search',
    oninput: () => {
      for (const row of list.querySelectorAll('label')) row.hidden = !row.textContent?.toLowerCase().includes(input.value.trim().toLowerCase());
    },
  });
  return field(t('filter'), input).element;
}

/** The code, with how long it lasts. */
export function codeField() {
  const input = h('input', { type: 'text', inputmode: 'numeric', autocomplete: 'one-time-code', maxlength: 12, class: 'code', dir: 'ltr' });
  const { element, say } = field(t('code'), input);
  const bar = h('progress', { max: 30, value: 30, 'aria-hidden': 'true' });
  // Said once when it ends, and not each second.
  const left = h('p', { class: 'hint', 'aria-hidden': 'true' });
  const ending = h('p', { class: 'ending', role: 'status' });
  element.append(bar, left, ending);
  const tick = () => {
    const { left: seconds, isEnding } = codeLeft(Date.now() / 1000);
    bar.value = Math.ceil(seconds);
    left.textContent = isEnding ? '' : t('codeLeft', { seconds: Math.ceil(seconds) });
    if (ending.textContent !== (isEnding ? t('codeEnding') : '')) ending.textContent = isEnding ? t('codeEnding') : '';
    if (element.isConnected) setTimeout(tick, 500);
  };
  setTimeout(tick);
  return {
    element,
    /** The digits, as authenticators show them with spaces between; null if there is no code. */
    read: () => {
      const digits = input.value.replace(/\s/g, '');
      say(isCode(digits) ? '' : t('badCode'));
      if (!isCode(digits)) input.focus();
      return isCode(digits) ? digits : null;
    },
  };
}

/** @param {Command} command */
function commandForm(command) {
  const fields = command.parameters.map((parameter) => parameterField(command, parameter));
  const together = h('p', { class: 'wrong', role: 'alert' });
  const file = command.payload ? fileField(command.payload.required, command.payload.max) : null;
  const { approval } = command;
  const why = approval ? reasonField(approval.reason) : null;
  const elements = [approval?.by ? notice('note', t('needsApproval', { by: approval.by })) : null, ...fields.map(({ element }) => element), together, file?.element ?? null, why?.element ?? null];
  return {
    elements: elements.filter(isThere),
    read: async () => {
      /** @type {[string, string][]} */
      const args = [];
      let isFine = true;
      fields.forEach(({ read }, at) => {
        const value = read();
        if (value === null) isFine = false;
        else if (value !== undefined) args.push([command.parameters[at].name, value]);
      });
      const isPermitted = permitted(command, new Map(args));
      const reason = why ? why.read() : '';
      if (reason === null) isFine = false;
      else if (reason !== '') args.push(['reason', reason]);
      together.textContent = isFine && !isPermitted ? t('badTogether') : '';
      const attachment = file ? await file.read() : null;
      const secrets = command.parameters.filter(({ secret }) => secret).map(({ name }) => name);
      return isFine && isPermitted && attachment !== undefined ? { command: command.name, args, attachment, secrets } : null;
    },
  };
}

/**
 * A field whose `read` gives the value; undefined if it was left out, as it may be; null if it is wrong.
 * @param {Command} command @param {Parameter} parameter
 * @returns {{ element: HTMLElement, read: () => string | undefined | null }}
 */
function parameterField(command, parameter) {
  const given = choices(command, parameter);
  let value = parameter.default ?? '';
  if (given && given.length <= FEW) {
    if (given.length === 1) value = given[0];
    const wrong = h('p', { class: 'wrong', role: 'alert' });
    const list = radios(parameter.name, 'parameter', given.map((each) => ({ value: each, label: each === '' ? '""' : each })), given.includes(value) ? value : '-', (chosen) => { value = chosen; });
    list.append(wrong);
    return { element: list, read: () => checked(parameter, given, value, (text) => { wrong.textContent = text; }) };
  }
  if (given) {
    const select = h('select', { dir: 'auto' }, h('option', { value: '' }, '–'), given.map((each) => h('option', { value: each, selected: each === value }, each)));
    const { element, say } = field(parameter.name, select);
    return { element, read: () => checked(parameter, given, select.value, say) };
  }
  const isNumber = parameter.kind === 'integer';
  const { secret } = parameter;
  const hint = parameter.kind === 'integer' ? t('wholeNumber', { min: parameter.min, max: parameter.max })
    : parameter.kind === 'pattern' ? t('matching', { pattern: parameter.pattern, longest: parameter.max_length }) : '';
  /** @type {HTMLInputElement} */
  const input = h('input', {
    type: secret ? 'password' : 'text', value, dir: 'auto', inputmode: isNumber ? 'numeric' : null, autocapitalize: 'off', autocomplete: 'off', spellcheck: 'false',
    oninput: () => say(input.value === '' || accepts(parameter, input.value) ? '' : t('badParameter')),
  });
  const { element, say } = field(parameter.name, input, [hint, secret && t('secretHint'), parameter.optional && t('optional')].filter(Boolean).join('. '));
  if (secret) {
    const show = button(t('show'), () => {
      const isHidden = input.type === 'password';
      input.type = isHidden ? 'text' : 'password';
      show.setAttribute('aria-pressed', String(isHidden));
    });
    show.setAttribute('aria-pressed', 'false');
    show.setAttribute('aria-label', `${t('show')}: ${parameter.name}`);
    input.after(show);
  }
  return { element, read: () => checked(parameter, null, input.value, say) };
}

/** @param {Parameter} parameter @param {string[] | null} given @param {string} value @param {(text: string) => void} say */
function checked(parameter, given, value, say) {
  if (value === '' && parameter.optional) return undefined;
  const isFine = given ? given.includes(value) : accepts(parameter, value);
  say(isFine ? '' : given ? t('oneOf') : t('badParameter'));
  return isFine ? value : null;
}

/**
 * Why the approvers should agree. `read` gives null where it is missing.
 * @param {boolean} isRequired
 */
function reasonField(isRequired) {
  const input = h('input', { type: 'text', dir: 'auto', maxlength: 500 });
  const { element, say } = field(t('reason'), input, `${t('approversHint')}${isRequired ? '' : ` ${t('optional')}`}`);
  return {
    element,
    read: () => {
      const text = input.value.trim();
      const isMissing = isRequired && text === '';
      say(isMissing ? t('reasonNeeded') : '');
      return isMissing ? null : text;
    },
  };
}

/**
 * A file that is attached. `read` gives null for none, and undefined if it cannot be taken.
 * @param {boolean} isRequired @param {number} max
 */
function fileField(isRequired, max) {
  const input = h('input', { type: 'file' });
  const { element, say } = field(t('file'), input, t('fileOptional'));
  return {
    element,
    read: async () => {
      const file = input.files?.[0];
      const largest = Math.min(max, app.data.max_file);
      const words = !file ? (isRequired ? t('fileMissing') : '') : file.size > largest ? t('fileTooLarge', { max: largest }) : '';
      say(words);
      if (words) return undefined;
      return file ? { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) } : null;
    },
  };
}

/** A command that the page does not know. */
function otherForm() {
  const plain = { autocapitalize: 'off', autocomplete: 'off', spellcheck: 'false', dir: 'auto' };
  const name = h('input', { type: 'text', maxlength: 60, ...plain });
  const lines = h('textarea', { rows: 3, ...plain });
  const [command, values] = [field(t('otherName'), name), field(t('otherArgs'), lines, t('otherArgsHint'))];
  const file = fileField(false, app.data.max_file);
  return {
    elements: [notice('note', t('otherNote')), command.element, values.element, file.element],
    read: async () => {
      const args = lines.value.split('\n').filter((line) => line.trim() !== '').map((line) => /** @type {[string, string]} */ ([line.slice(0, Math.max(0, line.indexOf('='))).trim(), line.slice(line.indexOf('=') + 1)]));
      const isNamed = isWord(name.value.trim());
      const areFine = args.every(([each], at) => isWord(each) && args.findIndex(([other]) => other === each) === at);
      const isSigned = app.data.ssh?.commands.includes(name.value.trim()) ?? false;
      command.say(!isNamed ? t('badName') : isSigned ? t('needsSsh') : '');
      values.say(areFine ? '' : t('badArgs'));
      const attachment = await file.read();
      const known = app.data.commands.find((one) => one.name === name.value.trim());
      const secrets = known ? known.parameters.filter(({ secret }) => secret).map((one) => one.name) : null;
      return isNamed && !isSigned && areFine && attachment !== undefined ? { command: name.value.trim(), args, attachment, secrets } : null;
    },
  };
}
