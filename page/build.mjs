#!/usr/bin/env node
// Writes page/built.html: page.html with style.css and all modules of src/ in it, and a policy with their hashes.
//
//     node page/build.mjs            writes it
//     node page/build.mjs --print    prints it
//
// Each module is taken once, after what it imports. Its imports and the word `export` go, and comments, indentation and blanks that separate nothing; so no name
// at the top of a module may be at the top of another. It has no other dependency than node, and the same input gives the same bytes.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const LIMIT = 100 * 1024;
const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const fail = (words) => {
  throw new Error(words);
};

/** The modules in the order of their need. */
function modules(name, found = new Map()) {
  if (found.has(name)) return found;
  found.set(name, null);
  const text = read(`src/${name}`);
  for (const [, other] of text.matchAll(/^import [^;]*? from '\.\/([a-z0-9-]+\.js)';$/gm)) modules(other, found);
  found.delete(name);
  return found.set(name, text);
}

function bundle() {
  const names = new Map();
  const texts = [];
  for (const [name, text] of modules('main.js')) {
    if ((text.match(/`/g) ?? []).length % 2 !== 0 || text.split('\n').some((line) => (line.match(/`/g) ?? []).length % 2 !== 0 && !/^\s*(\/\/|\*|\/\*)/.test(line))) {
      fail(`src/${name}: a template literal must end on its line, because indentation is removed`);
    }
    const code = text
      .replace(/^import [^;]*? from '\.\/[a-z0-9-]+\.js';$/gm, '')
      .replace(/^export /gm, '')
      .replace(/^[ \t]*\/\*\*[^]*?\*\/[ \t]*$/gm, '')
      .replace(/^[ \t]*\/\/.*$/gm, '')
      .replace(/\/\*\* @type \{[^\n]*?\} \*\/ /g, '')
      .replace(/^[ \t]+/gm, '')
      .replace(/\n{2,}/g, '\n')
      .trim();
    if (/^(import|export)\b/m.test(code) || code.includes('</')) fail(`src/${name}: an import or export that this script does not read, or </`);
    for (const [, word] of text.matchAll(/^(?:export )?(?:async )?(?:function\*?|const|let|class) ([A-Za-z_$][\w$]*)/gm)) {
      if (names.has(word)) fail(`src/${name}: ${word} is also at the top of src/${names.get(word)}`);
      names.set(word, name);
    }
    texts.push(code.split('\n').map(squeezed).join('\n'));
  }
  return `\n${texts.join('\n')}\n`;
}

/**
 * A line of code without the blanks that separate nothing. Strings, templates and regular expressions stay as they are. Each of them
 * ends on its line.
 */
function squeezed(line) {
  const word = /[\w$]/;
  let out = '';
  for (let at = 0; at < line.length; at += 1) {
    const c = line[at];
    const last = out.at(-1) ?? '';
    // After a value a slash divides; anywhere else it begins a regular expression.
    const isRegex = c === '/' && (!/[\w$)\]}]/.test(last) || /\b(?:return|typeof|case|in|of)$/.test(out));
    if (c === "'" || c === '"' || c === '`' || isRegex) {
      const end = literalEnd(line, at);
      out += line.slice(at, end);
      at = end - 1;
    } else if (c === ' ') {
      const next = line[at + 1] ?? '';
      const joins = (word.test(last) && word.test(next)) || (/[+-]/.test(last) && last === next) || (word.test(last) && next === '#');
      if (joins || (last === '/' && next === '/')) out += c;
    } else out += c;
  }
  return out;
}

/** The place behind the string, template or regular expression that begins at `start`. */
function literalEnd(line, start) {
  const quote = line[start];
  let isInClass = false;
  for (let at = start + 1; at < line.length; at += 1) {
    if (line[at] === '\\') at += 1;
    else if (quote === '`' && line.startsWith('${', at)) at = holeEnd(line, at + 2);
    else if (quote === '/' && line[at] === '[') isInClass = true;
    else if (quote === '/' && line[at] === ']') isInClass = false;
    else if (line[at] === quote && !isInClass) return at + 1;
  }
  return fail(`no end of ${line.slice(start)}`);
}

/** The place of the brace that ends the expression in a template. */
function holeEnd(line, start) {
  let depth = 1;
  for (let at = start; at < line.length; at += 1) {
    if ("'\"`".includes(line[at])) at = literalEnd(line, at) - 1;
    else if (line[at] === '{') depth += 1;
    else if (line[at] === '}' && (depth -= 1) === 0) return at;
  }
  return fail(`no end of ${line.slice(start)}`);
}

function style() {
  return `\n${read('style.css').replace(/\/\*[^]*?\*\//g, '').replace(/^[ \t]+/gm, '').replace(/\n{2,}/g, '\n').trim()}\n`;
}

export function build() {
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const [js, css] = [bundle(), style()];
  const put = (page, mark, text) => (page.split(mark).length === 2 ? page.split(mark).join(text) : fail(`page.html has no single ${mark}`));
  let page = read('page.html');
  page = put(page, '@SCRIPT@', hash(js));
  page = put(page, '@STYLE@', hash(css));
  page = put(page, '@CSS@', css);
  page = put(page, '@JS@', js);
  if (Buffer.byteLength(page) > LIMIT) fail(`the page has ${Buffer.byteLength(page)} bytes, more than ${LIMIT}`);
  return page;
}

if (process.argv[1] && import.meta.url.endsWith(process.argv[1].split('/').pop())) {
  if (process.argv[2] === '--print') process.stdout.write(build());
  else writeFileSync(new URL('built.html', import.meta.url), build());
}
