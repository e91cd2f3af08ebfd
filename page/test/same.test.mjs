// The page and `mailsudo verify` say the same of a message, however mail systems, or an attacker, have changed it. Each is asked about
// each of these messages; the program's word counts.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;

const { utf8 } = await import('../src/bytes.js');
const { importKey, readKeyFile } = await import('../src/keyfile.js');
const { verify } = await import('../src/verify.js');

const repository = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const program = process.env.MAILSUDO ?? repository('target/debug/mailsudo');

/** The program's finding, in the page's words. */
const WORDS = {
  'genuine:': 'genuine',
  'not genuine as a whole:': 'with-more',
  'genuine block, but its text was altered:': 'altered',
  'not verified: the message is encrypted.': 'encrypted',
  'not verified:': 'older-than-key',
  'not genuine:': 'not-genuine',
};

async function byProgram(raw, keyFile) {
  if (!existsSync(program)) throw new Error(`${program} is missing: cargo build, or name it in MAILSUDO`);
  const child = spawn(program, ['verify', '--key', keyFile], { stdio: ['pipe', 'pipe', 'pipe'] });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => { out += data; });
  child.stderr.on('data', (data) => { err += data; });
  child.stdin.on('error', () => undefined);
  child.stdin.end(raw);
  await new Promise((resolve) => child.on('close', resolve));
  const begin = Object.keys(WORDS).find((words) => out.startsWith(words));
  if (!begin) throw new Error(`mailsudo verify said: ${out}${err}`);
  const text = out.split('\nThe authenticated text:\n\n')[1] ?? '';
  return { finding: WORDS[begin], remarks: (out.match(/^not from the gateway:/gm) ?? []).length, hasText: text !== '' };
}

/** A copy of a key file with the mode that the program wants. */
const folder = mkdtempSync(join(tmpdir(), 'mailsudo-same-'));
after(() => rmSync(folder, { recursive: true }));
function keyFileOf(path) {
  const copy = join(folder, path.split('/').pop());
  copyFileSync(repository(path), copy);
  chmodSync(copy, 0o600);
  return copy;
}

async function keyOf(path) {
  const { gateway, user, raw } = readKeyFile(readFileSync(path, 'utf8'));
  // The program takes the time of the copy.
  return { gateway, user, key: await importKey(raw), written: Date.now() / 1000 };
}

const genuine = readFileSync(repository('tests/replies/genuine.eml'), 'latin1');
const [HEAD, TEXT] = [genuine.slice(0, genuine.indexOf('\n\n')), genuine.slice(genuine.indexOf('\n\n') + 2)];
/** The header without what says how the body is encoded. */
const BARE = HEAD.split(/\n(?![ \t])/).filter((line) => !/^(?:content-|mime-)/i.test(line)).join('\n');

const wrap = (text, width) => text.match(new RegExp(`[^]{1,${width}}`, 'g')).join('\n');
const base64 = (text) => Buffer.from(text, 'latin1').toString('base64');
const utf7 = (text) => text.replace(/[^A-Za-z0-9 \n:./-]/g, (c) => `+${Buffer.from(c, 'utf16le').swap16().toString('base64').replace(/=+$/, '')}-`);
const quoted = (text) => text.replace(/[=!-]/g, (c) => `=${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
const mail = (fields, body) => `${BARE}\n${fields}\n\n${body}`;
const multipart = (kind, parts, more = '') => mail(`MIME-Version: 1.0\nContent-Type: multipart/${kind}; boundary=b1${more}`, parts.map((part) => `--b1\n${part}\n`).join('') + '--b1--\n');
const PLAIN = `Content-Type: text/plain\n\n${TEXT}`;

/** A boundary that begins the other one, nested multiparts, and so on. */
function nested(depth) {
  let inner = PLAIN;
  for (let at = 0; at < depth; at += 1) inner = `Content-Type: multipart/mixed; boundary=n${at}\n\n--n${at}\n${inner}\n--n${at}--\n`;
  return `${BARE}\n${inner}`;
}

/** CMS of a content type, by the last bytes of its object identifier (RFC 5652, RFC 5083), as far as it is looked at. */
const cms = (...end) => Buffer.from([0x30, 0x80, 0x06, 7 + end.length, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, ...end, 0xa0, 0x80, ...Array(99).fill(0x31)]);
const [ENVELOPED, AUTHENTICATED, SIGNED] = [cms(0x07, 0x03), cms(0x09, 0x10, 0x01, 0x17), cms(0x07, 0x02)];
const smime = (bytes, encoding = 'base64', type = 'application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m') => mail(`Content-Type: ${type}\nContent-Transfer-Encoding: ${encoding}`, wrap(encoding === 'base64' ? bytes.toString('base64') : bytes.toString('latin1'), 64));
const armor = '-----BEGIN PGP MESSAGE-----\n\nyW5vdGhpbmc=\n-----END PGP MESSAGE-----\n';
const pgp = (parts, kind = 'encrypted') => multipart(kind, parts, '; protocol="application/pgp-encrypted"');
const [CONTROL, OPAQUE] = ['Content-Type: application/pgp-encrypted\n\nVersion: 1\n', `Content-Type: application/octet-stream; name=encrypted.asc\n\n${armor}`];

const CASES = {
  'PGP/MIME': pgp([CONTROL, OPAQUE]),
  'PGP/MIME, with the text beside it': pgp([CONTROL, OPAQUE, PLAIN]),
  'PGP/MIME without the encrypted part': pgp([CONTROL, PLAIN]),
  'PGP/MIME that says to be mixed': pgp([CONTROL, OPAQUE], 'mixed'),
  'PGP/MIME within a part': multipart('mixed', [pgp([CONTROL, OPAQUE]).slice(BARE.length + 1)]),
  'OpenPGP, pasted': armor,
  'OpenPGP, pasted below blanks': ` \n\t${armor}`,
  'OpenPGP, pasted below words': `Hello\n${armor}`,
  'S/MIME': smime(ENVELOPED),
  'S/MIME in capitals': smime(ENVELOPED, 'base64', 'Application/X-PKCS7-MIME'),
  'S/MIME, authenticated': smime(AUTHENTICATED),
  'S/MIME in binary': smime(ENVELOPED, 'binary'),
  'S/MIME with an attachment\'s disposition': smime(ENVELOPED).replace('\nContent-Type', '\nContent-Disposition: attachment; filename=smime.p7m\nContent-Type'),
  'S/MIME, signed only': smime(SIGNED),
  'S/MIME, a type twice': smime(ENVELOPED).replace('\nContent-Type', '\nContent-Type: text/plain\nContent-Type'),
  'S/MIME that holds a text': mail('Content-Type: application/pkcs7-mime', TEXT),
  plain: genuine,
  crlf: genuine.replace(/\n/g, '\r\n'),
  'pasted, without a header': TEXT,
  'pasted with a BOM': `\xef\xbb\xbf${TEXT}`,
  quoted: mail('Content-Transfer-Encoding: quoted-printable', quoted(TEXT)),
  'quoted with blanks at line ends': mail('Content-Transfer-Encoding: quoted-printable', quoted(TEXT).replace(/\n/g, '  \n')),
  'labelled quoted, and is not': mail('Content-Transfer-Encoding: quoted-printable', `${TEXT}`),
  'labelled quoted, and hashed with =3D': mail('Content-Transfer-Encoding: quoted-printable', TEXT.replace('t=abc', 't=3Dabc')),
  'quoted, one = after another': mail('Content-Transfer-Encoding: quoted-printable', quoted(TEXT).replace('=3D', '==3D')),
  'quoted, cut within an escape': mail('Content-Transfer-Encoding: quoted-printable', quoted(TEXT).replace('=2D', '=2\n=2D')),
  'quoted with a bad escape': mail('Content-Transfer-Encoding: quoted-printable', quoted(TEXT).replace('=2D', '=2x')),
  base64: mail('Content-Transfer-Encoding: base64', wrap(base64(TEXT), 76)),
  'base64 in one line': mail('Content-Transfer-Encoding: BASE64', base64(TEXT)),
  'base64 with a comment': mail('Content-Transfer-Encoding: (a comment) base64', wrap(base64(TEXT), 76)),
  'base64 in two padded runs': mail('Content-Transfer-Encoding: base64', `${base64(TEXT.slice(0, 100))}\n${base64(TEXT.slice(100))}`),
  'base64 with a banner': mail('Content-Transfer-Encoding: base64', `[EXTERNAL] Be careful.\n\n${wrap(base64(TEXT), 76)}`),
  'base64 with a footer': mail('Content-Transfer-Encoding: base64', `${wrap(base64(TEXT), 76)}\n______\nA list, for all.\n`),
  'base64 with both': mail('Content-Transfer-Encoding: base64', `Be careful!\n${wrap(base64(TEXT), 76)}\n--\nA list.\n`),
  'base64 with a BOM and a banner': mail('Content-Transfer-Encoding: base64', `Be careful!\n${wrap(base64(`\xef\xbb\xbf${TEXT}`), 76)}`),
  'base64 with a footer like base64': mail('Content-Transfer-Encoding: base64', `${wrap(base64(TEXT), 76)}\nabcd\nefgh\n`),
  'labelled base64, and is not': mail('Content-Transfer-Encoding: base64', TEXT),
  'base64 with a banner that looks like it': mail('Content-Transfer-Encoding: base64', `EXTERNAL\n\n${wrap(base64(TEXT), 76)}`),
  'base64 with such a banner right above': mail('Content-Transfer-Encoding: base64', `EXTERNAL\n${wrap(base64(TEXT), 76)}\nBest\n`),
  'utf-7 by its alias': mail('Content-Type: text/plain; charset=csUTF7', utf7(TEXT)),
  'base64 that is cut': mail('Content-Transfer-Encoding: base64', wrap(base64(TEXT), 76).slice(0, -9)),
  'utf-7': mail('Content-Type: text/plain; charset=utf-7', utf7(TEXT)),
  'utf-7 by its old name': mail('Content-Type: text/plain; charset="UNICODE-1-1-UTF-7"', utf7(TEXT)),
  'utf-7 in base64': mail('Content-Type: text/plain; charset=utf-7\nContent-Transfer-Encoding: base64', wrap(base64(utf7(TEXT)), 76)),
  'utf-7, altered': mail('Content-Type: text/plain; charset=utf-7', utf7(TEXT.replace('hi abc', 'hi abd'))),
  'utf-7 that ends a line': mail('Content-Type: text/plain; charset=utf-7', utf7(TEXT).replace(/-\n/g, '\n')),
  'labelled utf-7, with a byte of 8 bits': mail('Content-Type: text/plain; charset=utf-7', `${utf7(TEXT)}\xe9`),
  'utf-16': mail('Content-Type: text/plain; charset=utf-16le\nContent-Transfer-Encoding: base64', Buffer.from(TEXT, 'utf16le').toString('base64')),
  ...Object.fromEntries(['us-ascii', 'iso-8859-1', 'iso-8859-15', 'windows-1252', 'koi8-r', 'utf8', 'shift_jis', 'gb18030', 'nonsense', ''].map((name) => [`charset ${name}`, mail(`Content-Type: text/plain; charset=${name}`, TEXT)])),
  'a charset folded after its sign': mail('Content-Type: text/plain; charset=\n utf-8', TEXT),
  'a charset in quotes, with an escape': mail('Content-Type: text/plain; charset="utf\\-8"', TEXT),
  'a comment in the type': mail('Content-Type: text/plain (a comment; charset=utf-7); charset=utf-8', TEXT),
  'a type that is only text': mail('Content-Type: text', TEXT),
  'a type that is nothing': mail('Content-Type: ', TEXT),
  'another type': mail('Content-Type: text/calendar', TEXT),
  enriched: mail('Content-Type: text/enriched', TEXT),
  'an application': mail('Content-Type: application/octet-stream', TEXT),
  flowed: mail('Content-Type: text/plain; format=flowed; delsp=yes', TEXT.replace(/ /g, ' \n')),
  'a type twice': mail('Content-Type: text/plain\nContent-Type: text/html', TEXT),
  'an encoding twice': mail('Content-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64', TEXT),
  'inline by its disposition': mail('Content-Disposition: INLINE; filename=x', TEXT),
  'attached by its disposition': mail('Content-Disposition: attachment', TEXT),
  'of an unknown disposition': mail('Content-Disposition: whatever', TEXT),
  'an empty disposition': mail('Content-Disposition: ', TEXT),
  'text below': `${genuine}\nPS: call me\n`,
  'blanks below': `${genuine}\n \t\n\xc2\xa0\n`,
  'text above': mail('Content-Type: text/plain', `Read this first.\n\n${TEXT}`),
  'one letter changed': genuine.replace('hi abc', 'hi abd'),
  'a zero-width space in it': genuine.replace('hi abc', 'hi \xe2\x80\x8babc'),
  'a no-break space for a space': genuine.replace('hi abc', 'hi\xc2\xa0abc'),
  'a BOM in it': genuine.replace('hi abc', 'hi \xef\xbb\xbfabc'),
  'an Ogham space mark in it': genuine.replace('hi abc', 'hi\xe1\x9a\x80abc'),
  'a Mongolian vowel separator in it': genuine.replace('hi abc', 'hi\xe1\xa0\x8eabc'),
  'a next-line control in it': genuine.replace('hi abc', 'hi\xc2\x85abc'),
  'an information separator in it': genuine.replace('hi abc', 'hi\x1cabc'),
  'wrapped at 40': mail('Content-Type: text/plain', TEXT.split('\n').map((line) => (/^(?:mac|output|request|mailsudo|gateway|user|time|result)/.test(line) ? line : line.replace(/(.{20}) /g, '$1\n'))).join('\n')),
  'marked as a citation': mail('Content-Type: text/plain', TEXT.replace(/^/gm, '> ')),
  'the result changed': genuine.replace(/^result: .*$/m, 'result: exit-0'),
  'the mac in capitals': genuine.replace(/^mac: (.*)$/m, (_, mac) => `MAC: ${mac.toUpperCase()}`),
  'blanks around the colons': genuine.replace(/^(gateway|user|time|result|output|mac): /gm, '$1 :\t'),
  'blank lines in the block': genuine.replace(/^(result|output|mac): /gm, '\n$1: '),
  'a line too many in the block': genuine.replace(/^result: /m, 'more: x\nresult: '),
  'a head that the mac does not cover': genuine.replace(/^mac: /m, `head: ${'ab'.repeat(32)}\nmac: `),
  'a line of the block missing': genuine.replace(/^output: .*\n/m, ''),
  'a version too high': genuine.replace('mailsudo-reply: 1', 'mailsudo-reply: 2'),
  'a version with a zero': genuine.replace('mailsudo-reply: 1', 'mailsudo-reply: 01'),
  'the block twice': `${genuine}\n${TEXT.slice(TEXT.indexOf('mailsudo-reply'))}`,
  'an imitation below': `${genuine}\nmailsudo-reply: 1\ngateway: berlin\nmac: ${'0'.repeat(64)}\n`,
  'an imitation above': mail('Content-Type: text/plain', `mailsudo-reply: 1\ngateway: berlin\nmac: ${'0'.repeat(64)}\n\n${TEXT}`),
  'another subject': genuine.replace(/^Subject: .*$/m, 'Subject: [berlin] echo: ok'),
  'no subject': genuine.replace(/^Subject: .*\n/m, ''),
  'two subjects': genuine.replace(/^Subject: (.*)$/m, 'Subject: $1\nSubject: also this'),
  'the same subject twice': genuine.replace(/^Subject: (.*)$/m, 'Subject: $1\nSubject: $1'),
  'an answer to it': genuine.replace(/^Subject: /m, 'Subject: Re: '),
  'a folded subject': genuine.replace(/^Subject: (\S+) /m, 'Subject: $1\n '),
  'a subject in an encoded word': genuine.replace(/^Subject: (.*)$/m, (_, subject) => `Subject: =?utf-8?B?${Buffer.from(subject).toString('base64')}?=`),
  'a subject in two encoded words': genuine.replace(/^Subject: (.*)$/m, (_, subject) => `Subject: =?utf-8?Q?${quoted(subject.slice(0, 9)).replace(/ /g, '_')}?=\n =?us-ascii*en?b?${Buffer.from(subject.slice(9)).toString('base64')}?=`),
  'no From field': genuine.replace(/^From: .*\n/m, ''),
  'From twice': genuine.replace(/^From: (.*)$/m, 'From: $1\nFrom: eve@example.com'),
  'blanks before the colons of fields': genuine.replace(/^(From|Subject): /gm, '$1 : '),
  'mixed, one part': multipart('mixed', [PLAIN]),
  'mixed, a boundary in pieces and a whole one': multipart('mixed', [PLAIN]).replace('boundary=b1', 'boundary*0=b1; boundary*1=x; boundary=b1'),
  'mixed, a boundary in pieces': multipart('mixed', [PLAIN]).replace('boundary=b1', 'boundary*0=b; boundary*1=1'),
  'alternative, the same twice': multipart('alternative', [PLAIN, PLAIN]),
  'alternative, HTML of the same': multipart('alternative', [PLAIN, `Content-Type: text/html\n\n<html><body><pre>${TEXT.replace(/&/g, '&amp;').replace(/</g, '&lt;')}</pre></body></html>`]),
  'alternative, other HTML': multipart('alternative', [PLAIN, 'Content-Type: text/html\n\n<p>ok: echo</p>']),
  'a style beside the text': multipart('alternative', [PLAIN, 'Content-Type: text/html\n\n<style>p{color:red}</style>']),
  'an empty part beside it': multipart('mixed', [PLAIN, 'Content-Type: text/plain\n\n \n']),
  'an attachment beside it': multipart('mixed', [PLAIN, 'Content-Type: text/plain\nContent-Disposition: attachment\n\nx']),
  'a picture beside it': multipart('related', [PLAIN, 'Content-Type: image/png\n\nx']),
  'a message beside it': multipart('mixed', [PLAIN, 'Content-Type: message/rfc822\n\nFrom: a\n\nb']),
  'the reply inside a message': multipart('mixed', [`Content-Type: message/rfc822\n\n${genuine}`]),
  'a digest of it': multipart('digest', [`\n${TEXT}`]),
  'a digest with a stated type': multipart('digest', [PLAIN]),
  'a part without a header': multipart('mixed', [`\n${TEXT}`]),
  'text before the first boundary': mail('Content-Type: multipart/mixed; boundary=b1', `seen by old programs\n--b1\n${PLAIN}\n--b1--\nand this\n`),
  'the reply before the first boundary': mail('Content-Type: multipart/mixed; boundary=b1', `${TEXT}\n--b1\nContent-Type: text/plain\n\n\n--b1--\n`),
  'a boundary that another begins with': mail('Content-Type: multipart/mixed; boundary=b1', `--b1\n${PLAIN}\n--b1x\nnot a part\n--b1--\n`),
  'a boundary with blanks behind it': mail('Content-Type: multipart/mixed; boundary="b1 "', `--b1 \t\n${PLAIN}\n--b1-- \n`),
  'a boundary that never comes': mail('Content-Type: multipart/mixed; boundary=b1', TEXT),
  'no boundary': mail('Content-Type: multipart/mixed', TEXT),
  'no closing boundary': mail('Content-Type: multipart/mixed; boundary=b1', `--b1\n${PLAIN}`),
  'multipart with an encoding': multipart('mixed', [PLAIN], '\nContent-Transfer-Encoding: base64'),
  'nested 32 deep': nested(32),
  'nested 33 deep': nested(33),
  'parts, 999 of them': multipart('mixed', [PLAIN, ...Array(998).fill('\n')]),
  'parts, 1000 of them': multipart('mixed', [PLAIN, ...Array(999).fill('\n')]),
  'multiparts, many and empty': multipart('mixed', [PLAIN, ...Array(1000).fill('Content-Type: multipart/mixed; boundary=q\n\n')]),
  'a field of 9,000 bytes': mail(`Content-Type: text/plain; x=${'y'.repeat(9000)}`, TEXT),
  'HTML alone': mail('Content-Type: text/html', `<pre>${TEXT.replace(/</g, '&lt;')}</pre>`),
  'HTML with a link': mail('Content-Type: text/html', `<pre>${TEXT.replace(/</g, '&lt;')}</pre><a href="x"></a>`),
  'HTML of lines': mail('Content-Type: text/html', TEXT.replace(/</g, '&lt;').replace(/\n/g, '<br>\n')),
  'a line in the header that is no field': mail('Run this: now\nContent-Type: text/plain', TEXT),
  'a blank line of the header, with a blank': mail('Content-Type: text/plain\n \nX: y', TEXT),
  'a carriage return in a field': mail('X: a\rSubject: forged', TEXT),
  'a file name': mail('Content-Disposition: inline; filename="run this"', TEXT),
  'a file name of RFC 2231': mail("Content-Type: text/plain; name*=utf-8''run%20this", TEXT),
  'a description': mail('Content-Description: run this', TEXT),
  'an unknown encoding': mail('Content-Transfer-Encoding: x-uuencode', TEXT),
  'two types in parentheses': mail('Content-Type: text/plain(html)', TEXT),
  'a charset twice': mail('Content-Type: text/plain; charset=utf-8; charset=utf-16', TEXT),
  'a boundary that is too long': mail(`Content-Type: multipart/mixed; boundary=${'b'.repeat(71)}`, `--${'b'.repeat(71)}\n${PLAIN}`),
  'a line that begins as the boundary does': multipart('mixed', [PLAIN]).replace('--b1', '--b1x\n\nforged\n--b1'),
  'a part with a subject': multipart('mixed', [`Subject: forged\n${PLAIN}`]),
  'a multipart without its boundary beside it': multipart('mixed', [PLAIN, 'Content-Type: multipart/mixed; boundary=q\n\nforged']),
  'closed, and more': `${multipart('mixed', [PLAIN])}\n--b1\n\nforged\n`,
  'a banner of 70 lines': mail('Content-Type: text/plain', `${'x\n'.repeat(70)}${TEXT}`),
  'the command without its arguments in the subject': genuine.replace(/^Subject: .*$/m, 'Subject: [berlin] echo: ok'),
  'HTML of the same, with a style': multipart('alternative', [PLAIN, `Content-Type: text/html\n\n<style>p{}</style><pre>${TEXT.replace(/</g, '&lt;')}</pre>`]),
  'empty': '',
  'only a header': BARE,
};

test('of each message the page says what mailsudo verify says', async () => {
  const keyFile = keyFileOf('tests/replies/berlin.key');
  const key = await keyOf(keyFile);
  const found = new Map();
  for (const [name, raw] of Object.entries(CASES)) {
    const bytes = Buffer.from(raw, 'latin1');
    const [page, wanted] = [await verify(new Uint8Array(bytes), key, ['mailsudo-reply', 'mailsudo-notice']), await byProgram(bytes, keyFile)];
    const said = { finding: page.finding, remarks: page.outside.length, hasText: page.text !== null };
    assert.deepEqual(said, wanted, name);
    found.set(page.finding, (found.get(page.finding) ?? 0) + 1);
  }
  // The messages are of all kinds: a test in which all of them are not genuine would say little.
  for (const [finding, least] of Object.entries({ genuine: 30, 'with-more': 15, altered: 5, encrypted: 8, 'not-genuine': 15 })) assert.ok((found.get(finding) ?? 0) >= least, `${finding}: ${found.get(finding)}`);
});

test('of the programs of tests/cases too', async () => {
  const keyFile = keyFileOf('tests/cases/verify.key');
  const key = await keyOf(keyFile);
  const names = readdirSync(repository('tests/cases')).filter((name) => name.startsWith('verify') && name.endsWith('.eml'));
  assert.ok(names.length >= 4);
  for (const name of names) {
    const raw = readFileSync(repository(`tests/cases/${name}`));
    const page = await verify(new Uint8Array(raw), key, ['mailsudo-reply', 'mailsudo-notice']);
    assert.equal(page.finding, (await byProgram(raw, keyFile)).finding, name);
  }
  assert.equal((await verify(utf8(''), key, ['mailsudo-reply'])).finding, 'not-genuine');
});
