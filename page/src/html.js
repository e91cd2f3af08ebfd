/**
 * HTML of a mail as text, and whether it can show anything else. In: any text. Out: text. Nothing here makes an element: what a
 * mail holds is never given to the browser as HTML.
 */

/** Elements that show nothing but their text: src/intake/html.rs has the same. */
const BARE = new Set('html head body p br div span pre tt code'.split(' '));
const SILENT = new Set('script style title template textarea'.split(' '));
const BLOCKS = new Set(
  ('address article aside blockquote body center dd details dialog dir div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 ' +
    'h5 h6 header hr li main nav ol p pre section summary table tr ul').split(' '),
);
/** The names of U+00A0 to U+00FF in their order, and some more that mail programs write. */
const NAMES = (
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot ' +
  'cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml ' +
  'Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig ' +
  'agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ' +
  'ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml'
).split(' ');
const MORE_NAMES = { amp: 38, lt: 60, gt: 62, quot: 34, apos: 39, hellip: 0x2026, ndash: 0x2013, mdash: 0x2014, lsquo: 0x2018, rsquo: 0x2019,
  ldquo: 0x201c, rdquo: 0x201d, bull: 0x2022, euro: 0x20ac };
/** @type {Map<string, number>} */
const REFERENCES = new Map([
  ...NAMES.map((name, at) => /** @type {[string, number]} */ ([name, 0xa0 + at])),
  ...Object.entries(MORE_NAMES),
]);

/**
 * The text, with block elements and `<br>` as line breaks. It `isBare` where it can show nothing but that text: no attribute, no
 * comment, no element but the plain ones. Time is linear in the input.
 * @param {string} html
 */
export function readHtml(html) {
  let [text, isBare, preformatted, silent] = ['', true, 0, ''];
  const breakLine = () => {
    if (text !== '' && !text.endsWith('\n')) text += '\n';
  };
  for (const token of tokensOf(html)) {
    const { name, isEnd } = token;
    if (name === null) {
      const value = silent ? '' : references(token.text);
      const after = /[ \t\n\r\f]$/.test(text) ? '' : ' ';
      text += preformatted > 0 ? value : value.replace(/[ \t\n\r\f]+/g, ' ').replace(/^ /, after);
      continue;
    }
    isBare &&= name === '!doctype' || (BARE.has(name) && /^[\s/]*$/.test(token.text));
    if (silent) {
      if (isEnd && name === silent) silent = '';
    } else if (isEnd) {
      if (name === 'pre') preformatted = Math.max(0, preformatted - 1);
      if (BLOCKS.has(name)) breakLine();
    } else if (name === 'br') {
      text += '\n';
    } else if (name === 'td' || name === 'th') {
      text += ' ';
    } else if (BLOCKS.has(name)) {
      breakLine();
      if (name === 'pre') preformatted += 1;
    } else if (SILENT.has(name)) {
      silent = name;
    }
  }
  return { text, isBare };
}

/**
 * Texts (`name` is null) and tags, whose `text` is what follows the name; a comment's name is `!`.
 * @param {string} html
 */
function* tokensOf(html) {
  let [start, at] = [0, html.indexOf('<')];
  while (at >= 0) {
    const next = html[at + 1] ?? '';
    const isEnd = next === '/' && /[A-Za-z]/.test(html[at + 2] ?? '');
    if (!isEnd && !/[A-Za-z!?/]/.test(next)) {
      at = html.indexOf('<', at + 1);
      continue;
    }
    yield { name: null, isEnd: false, text: html.slice(start, at) };
    const isTag = isEnd || /[A-Za-z]/.test(next);
    const isComment = html.startsWith('<!--', at);
    const end = isTag ? endOfTag(html, at) : html.indexOf(isComment ? '-->' : '>', at);
    const inner = html.slice(at + (isEnd ? 2 : 1), end < 0 ? html.length : end);
    const name = isTag || /^!doctype\b/i.test(inner) ? /^[^\s/>]*/.exec(inner)?.[0] ?? '' : '!';
    yield { name: end < 0 ? '!' : name.toLowerCase(), isEnd, text: inner.slice(name.length) };
    start = end < 0 ? html.length : end + (isComment ? 3 : 1);
    at = html.indexOf('<', start);
  }
  yield { name: null, isEnd: false, text: html.slice(start) };
}

/**
 * Where the tag at `at` ends: at the first `>` outside quotes.
 * @param {string} html @param {number} at
 */
function endOfTag(html, at) {
  let quote = '';
  for (let end = at; end < html.length; end += 1) {
    const c = html[end];
    if (quote) {
      if (c === quote) quote = '';
    } else if (c === '>') {
      return end;
    } else if (c === '"' || c === "'") {
      quote = c;
    }
  }
  return -1;
}

/**
 * Character references; an unknown one stays as it is, and then is not what was signed.
 * @param {string} text
 */
function references(text) {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([A-Za-z0-9]+));?/g, (whole, decimal, digits, name) => {
    const code = name ? REFERENCES.get(name) : parseInt(decimal ?? digits, decimal ? 10 : 16);
    return code === undefined || code > 0x10ffff ? whole : String.fromCodePoint(code);
  });
}
