#!/usr/bin/env node
// Writes page/built.html: page.html with style.css and all modules of src/ in it, and a policy with their hashes.
//
//     node page/build.mjs            writes it
//     node page/build.mjs --print    prints it
//
// Each module is taken once, after what it imports. Its imports and the word `export` go, so no name at the top of a module may be at
// the top of another. So do comments, indentation, the blanks around signs, and line ends where a line cannot end a statement. The
// texts of other languages than English are written without their names, in the order of the English ones. It has no other dependency
// than node, and the same input gives the same bytes.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';

const LIMIT = 100 * 1024;
const { EN } = await import('./src/texts-en.js');
/** The texts of a module that has nothing else: its constant, and its texts by name. */
const TEXTS = new Map();
for (const name of ['DE', 'FR', 'ES']) TEXTS.set(`texts-${name.toLowerCase()}.js`, [name, (await import(`./src/texts-${name.toLowerCase()}.js`))[name]]);
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
    if (TEXTS.has(name)) {
      texts.push(withoutNames(...TEXTS.get(name)));
      continue;
    }
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
    texts.push(code.split('\n').map(withoutBlanks).join('\n'));
  }
  const code = texts.join('\n');
  if (code.includes('</')) fail('</ ends the script');
  return `\n${joined(code)}\n`;
}

/** The texts of a language in the order of the English ones, which their type holds them to. */
function withoutNames(constant, texts) {
  return `const ${constant}={};${JSON.stringify(Object.keys(EN).map((name) => texts[name]))}.forEach((text,at)=>${constant}[Object.keys(EN)[at]]=text);`;
}

/** Without the line ends that are behind or before a sign at which no statement can end: each statement here ends with a semicolon. */
function joined(code) {
  return code.replace(/,?\n(?=[)\]}])/g, '').replace(/;\n?(?=})/g, '').replace(/([{([,;]|=>|&&|\|\|)\n/g, '$1').replace(/\n(?=[.?:]|&&|\|\|)/g, '');
}

/** A line without the blanks around signs; not one that may hold a template or a regular expression. Strings stay as they are. */
function withoutBlanks(line) {
  if (/[`/]/.test(line)) return line;
  const pieces = line.split(/('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")/);
  return pieces.map((piece, at) => (at % 2 ? piece : piece.replace(/ *(=>|[=!]==|&&|\|\||[=,;:?{}()<>|]) */g, '$1'))).join('');
}

function style() {
  return `\n${read('style.css').replace(/\/\*[^]*?\*\//g, '').replace(/\s+/g, ' ').replace(/ ?([{};,]) ?|(:) /g, '$1$2').replace(/;}/g, '}').trim()}\n`;
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
