/**
 * Makes elements. In: names, attributes, text. Out: elements whose text is text: this page has no other way to show anything, and
 * no string becomes HTML anywhere.
 */

/** @typedef {string | Node | null | false | undefined | (string | Node | null | false | undefined)[]} Child */

/**
 * An element with attributes (`onclick` and the like are listeners; null and false leave one out) and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} [attributes] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat().filter(isShown));
  return element;
}

/** @param {string | Node | null | false | undefined} child @returns {child is string | Node} */
function isShown(child) {
  return child !== null && child !== undefined && child !== false;
}

let serial = 0;

/**
 * A labelled control with a hint and a place for what is wrong with it.
 * @param {string} label @param {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control @param {string} [hint]
 */
export function field(label, control, hint = '') {
  serial += 1;
  const id = `f${serial}`;
  control.id = id;
  const about = hint ? h('p', { class: 'hint', id: `${id}h` }, hint) : null;
  const wrong = h('p', { class: 'wrong', id: `${id}e`, role: 'alert' });
  control.setAttribute('aria-describedby', `${about ? `${id}h ` : ''}${id}e`);
  const element = h('div', { class: 'field' }, h('label', { for: id }, label), about, control, wrong);
  /** @param {string} text */
  const say = (text) => {
    wrong.textContent = text;
    if (text) control.setAttribute('aria-invalid', 'true');
    else control.removeAttribute('aria-invalid');
  };
  return { element, say };
}

/**
 * A choice of a few.
 * @param {string} legend @param {string} name @param {{ value: string, label: string, note?: string }[]} options @param {string} chosen
 * @param {(value: string) => void} onchange
 */
export function radios(legend, name, options, chosen, onchange) {
  serial += 1;
  const group = `${name}${serial}`;
  const rows = options.map(({ value, label, note }) => {
    const input = h('input', { type: 'radio', name: group, value, checked: value === chosen, onchange: () => onchange(value) });
    return h('label', { class: 'choice' }, input, h('span', { class: 'name', dir: 'auto' }, label), note ? h('span', { class: 'note', dir: 'auto' }, note) : null);
  });
  return h('fieldset', {}, h('legend', {}, legend), h('div', { class: 'choices' }, rows));
}

/**
 * A button; `kind` is `primary` once on a screen.
 * @param {string} text @param {() => void} onclick @param {string} [kind]
 */
export function button(text, onclick, kind = '') {
  return h('button', { type: 'button', class: kind, onclick }, text);
}

/** @param {string} kind @param {Child[]} children */
export function notice(kind, ...children) {
  return h('div', { class: `box ${kind}` }, ...children);
}
