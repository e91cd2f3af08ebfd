// The page's rules without a browser: every worked example of the protocol, every tampered reply, and what a phone may get to see.
// Run by `make test-page`; one file alone: node --test page/test/core.test.mjs
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { createHmac, webcrypto } from 'node:crypto';

globalThis.crypto ??= webcrypto;

const { hex, sha256, unhex, utf8, binary, unbinary } = await import('../src/bytes.js');
const { argumentsOf, isSignedBy, readRequest, requestId, signRequest } = await import('../src/request.js');
const { checkText } = await import('../src/reply.js');
const { verify } = await import('../src/verify.js');
const { readKeyFile, importKey, fingerprintOf, wrapKey, unwrapKey } = await import('../src/keyfile.js');
const { mailtoLink, message, MAILTO_LIMIT } = await import('../src/outgoing.js');
const { accepts, choices, permitted, readPageData } = await import('../src/commands.js');
const { visible, encodeValue, decodeValue } = await import('../src/value.js');
const { readHtml } = await import('../src/html.js');
const { readMail } = await import('../src/mail.js');
const { parseTime } = await import('../src/names.js');
const { clockError, codeLeft } = await import('../src/clock.js');

const file = (path) => readFileSync(new URL(`../../${path}`, import.meta.url));
const vectors = JSON.parse(file('tests/vectors.json').toString());
const next = JSON.parse(file('tests/vectors-next.json').toString());
const keyOf = (digits) => importKey(unhex(digits));
const alice = await keyOf(vectors.hmac_key);

/** The verdict in the vectors' words, as far as it needs neither a clock nor a code. */
async function verdictOn(text, key) {
  try {
    const request = readRequest([text]);
    if (!(await isSignedBy(request, key))) return { verdict: 'bad-mac' };
    return { verdict: 'authentic', request, args: argumentsOf(request) };
  } catch (fault) {
    return { verdict: fault.word };
  }
}

test('every request of vectors.json is read as its maker reads it', async () => {
  assert.equal(vectors.vectors.length, 57);
  const later = ['wrong-gateway', 'stale', 'future', 'bad-code'];
  for (const vector of vectors.vectors) {
    const found = await verdictOn(vector.text, alice);
    assert.equal(found.verdict, later.includes(vector.verdict) ? 'authentic' : vector.verdict, vector.name);
    if (!vector.args) continue;
    assert.deepEqual(found.args, vector.args, vector.name);
    assert.equal(found.request.command, vector.command, vector.name);
    assert.equal(await requestId(found.request.mac), vector.request, vector.name);
  }
});

test('requests with a payload line, and with signatures, are read', async () => {
  for (const vector of [...next.payload, ...next.ssh]) {
    const found = await verdictOn(vector.text, alice);
    assert.equal(found.verdict, 'authentic', vector.name);
    assert.equal(await requestId(found.request.mac), vector.request, vector.name);
  }
  for (const vector of next.malformed) assert.equal((await verdictOn(vector.text, alice)).verdict, 'malformed', vector.name);
});

test('a payload is named by the digest of its bytes, and comes back from the mail that is made', async () => {
  for (const vector of next.payload.filter(({ verdict, leaves }) => verdict === 'authentic' && leaves.length === 1)) {
    const bytes = unhex(vector.stdin_hex);
    const payload = hex(await sha256(bytes));
    const { request } = await verdictOn(vector.text, alice);
    const { block, id } = await signRequest({ ...request, args: argumentsOf(request), payload }, alice);
    assert.equal(block, vector.text, vector.name);
    assert.equal(id, vector.request, vector.name);
    const parts = { to: 'ops@example.com', from: null, subject: 's', time: request.time, block, attachment: { name: 'a/"ü', bytes } };
    const [, encoded] = /filename="[A-Za-z0-9._-]+"\r\n\r\n([^]*?)\r?\n?--mailsudo-[0-9a-f]+--/.exec(message(parts)) ?? [];
    assert.equal(Buffer.from(encoded, 'base64').toString('hex'), vector.stdin_hex, vector.name);
  }
});

test('what is signed here is byte for byte what the vectors have', async () => {
  const again = vectors.vectors.filter(({ name, verdict }) => verdict === 'authentic' && name.length > 0);
  let same = 0;
  for (const vector of again) {
    const { request, args } = await verdictOn(vector.text, alice);
    const { block } = await signRequest({ ...request, args, payload: null }, alice);
    const read = await verdictOn(block, alice);
    assert.deepEqual(read.args, args, vector.name);
    same += block === vector.text ? 1 : 0;
    assert.ok(block.split('\n').every((line) => line.length <= 70 || line.startsWith('mac: ')), vector.name);
  }
  assert.ok(same >= 8, `${same} vectors are written as this page writes`);
});

test('every notice of vectors-next.json has its verdict', async () => {
  const carol = await keyOf(next.carol_hmac_key);
  for (const vector of next.notice) {
    const { verdict } = await checkText(vector.text, carol, 'mailsudo-notice');
    assert.equal(verdict.replace('-', ' '), vector.verdict);
    assert.equal((await checkText(vector.text, alice, 'mailsudo-notice')).verdict, 'not-genuine');
  }
});

/** The table of tests/integration/verify.rs. */
const REPLIES = {
  genuine: ['genuine'],
  wrapped: ['genuine'],
  'quoted-printable': ['genuine'],
  base64: ['genuine'],
  flowed: ['genuine'],
  'html-of-the-same': ['genuine'],
  'html-beside': ['with-more', 'another-html', 'failed (exit 1): echo'],
  'text-below': ['with-more', 'below', 'PS from the gateway'],
  'hidden-copy': ['with-more', 'another-plain', 'failed (exit 1): echo'],
  'subject-altered': ['with-more', 'subject', 'failed (exit 1)'],
  'subject-of-another-request': ['with-more', 'subject', ''],
  'footer-part': ['with-more', 'another-plain', '_______'],
  attachment: ['with-more', 'attachment', ''],
  'image-only-html': ['with-more', 'html-empty', ''],
  'message-inside': ['with-more', 'message', ''],
  'content-type-twice': ['not-genuine'],
  'text-altered': ['altered'],
};

async function berlin(written = 0) {
  const { gateway, user, raw } = readKeyFile(file('tests/replies/berlin.key').toString());
  return { gateway, user, key: await importKey(raw), written };
}

test('every reply of tests/replies has the verdict that mailsudo verify gives', async () => {
  const names = readdirSync(new URL('../../tests/replies', import.meta.url)).filter((name) => name.endsWith('.eml'));
  assert.deepEqual(names.map((name) => name.replace('.eml', '')).sort(), Object.keys(REPLIES).sort());
  const key = await berlin();
  for (const [name, [finding, what, words]] of Object.entries(REPLIES)) {
    const checked = await verify(file(`tests/replies/${name}.eml`), key, ['mailsudo-reply', 'mailsudo-notice']);
    assert.equal(checked.finding, finding, name);
    if (what) assert.ok(checked.outside.some((remark) => remark.what === what && remark.text.includes(words)), name);
    assert.equal((checked.text ?? '').includes('hi abc'), ['genuine', 'with-more'].includes(finding), name);
  }
});

test('a reply for another user, or from before the key, is not genuine', async () => {
  const raw = file('tests/replies/genuine.eml');
  const key = await berlin();
  assert.equal((await verify(raw, { ...key, user: 'bob' }, ['mailsudo-reply'])).finding, 'not-genuine');
  assert.equal((await verify(raw, { ...key, gateway: 'paris' }, ['mailsudo-reply'])).finding, 'not-genuine');
  const later = { ...key, key: await keyOf('ab'.repeat(32)), written: parseTime('2026-11-27T00:00:00Z') };
  assert.equal((await verify(raw, later, ['mailsudo-reply'])).finding, 'older-than-key');
  assert.equal((await verify(utf8(''), key, ['mailsudo-reply'])).finding, 'not-genuine');
  const bytes = crypto.getRandomValues(new Uint8Array(4096));
  assert.equal((await verify(bytes, key, ['mailsudo-reply'])).finding, 'not-genuine');
});

test('what is not clear is not genuine', async () => {
  const key = await berlin();
  const raw = file('tests/replies/html-of-the-same.eml').toString();
  const finding = async (text) => (await verify(utf8(text), key, ['mailsudo-reply'])).finding;
  assert.equal(await finding(raw), 'genuine');
  assert.equal(await finding(raw.replace('<pre>', '<pre style="color:red">')), 'with-more', 'the same text in HTML that shows more');
  const plain = file('tests/replies/genuine.eml').toString();
  const twice = plain.replace('MIME-Version: 1.0', 'MIME-Version: 1.0\nContent-Transfer-Encoding: 7bit');
  assert.equal(await finding(twice), 'not-genuine', 'a field twice');
  const long = vectors.vectors.find(({ name }) => name === 'one-long-line').text;
  assert.equal((await verdictOn(long.replace(/y+/, 'y'.repeat(999)), alice)).verdict, 'malformed', 'a line of more than 998 octets');
});

test('a reply with the head of the audit chain is genuine, and only in its place', async () => {
  const key = await berlin();
  const raw = Buffer.from(/hmac_key = "([0-9a-f]{64})"/.exec(file('tests/replies/berlin.key').toString())[1], 'hex');
  const plain = file('tests/replies/genuine.eml').toString();
  const block = plain.slice(plain.indexOf('mailsudo-reply:'), plain.indexOf('mac: '));
  const signed = (lines) => plain.replace(/mailsudo-reply:[^]*$/, () => `${lines}mac: ${createHmac('sha256', raw).update(lines).digest('hex')}\n`);
  const finding = async (lines) => (await verify(utf8(signed(lines)), key, ['mailsudo-reply', 'mailsudo-notice'])).finding;
  const head = `head: ${'5a'.repeat(32)}\n`;
  assert.equal(await finding(block), 'genuine');
  assert.equal(await finding(block + head), 'genuine');
  assert.equal((await verify(utf8(signed(block + head).replace('5a5a', '5b5a')), key, ['mailsudo-reply'])).finding, 'not-genuine', 'the mac covers it');
  for (const lines of [block + head + head, block.replace('output:', `${head}output:`), block + 'head: 5a\n', block + head.toUpperCase().replace('HEAD', 'head'), `${block}tail: ${'5a'.repeat(32)}\n`]) {
    assert.equal(await finding(lines), 'not-genuine', lines);
  }
});

test('a pasted reply is checked without its headers', async () => {
  const raw = file('tests/replies/genuine.eml').toString();
  const text = raw.slice(raw.indexOf('\n\n') + 2);
  assert.equal((await verify(utf8(text), await berlin(), ['mailsudo-reply'])).finding, 'genuine');
  assert.equal((await verify(utf8(text.replace('hi abc', 'hi abd')), await berlin(), ['mailsudo-reply'])).finding, 'altered');
});

test('hostile mail costs time in its length only', async () => {
  const key = await berlin();
  const size = 256 * 1024;
  const head = 'From: a\nContent-Type: text/html\n\n';
  const texts = [
    head + '<a "" '.repeat(size / 6), head + '<div>'.repeat(size / 5), head + '<!'.repeat(size / 2), head + '&'.repeat(size),
    'From: a\nContent-Transfer-Encoding: quoted-printable\n\n' + ' '.repeat(size) + 'x', 'a:' + ' '.repeat(size) + 'b',
    'mailsudo-reply: 1\n'.repeat(size / 18), 'From: a\nSubject: ' + '=?'.repeat(size / 2) + '\n\n', '\n'.repeat(size), '('.repeat(size),
    'From: a\nContent-Type: multipart/mixed; boundary=x\n\n' + '--x\n\n'.repeat(size / 5),
  ];
  for (const text of texts) assert.equal((await verify(utf8(text), key, ['mailsudo-reply'])).finding, 'not-genuine');
});

test('only HTML that can show nothing but its text is bare', () => {
  for (const html of ['a', '<html><body><p>a<br>b</p></body></html>', '<pre>a &lt; b</pre>', '<!DOCTYPE html><div>a</div>', 'a < b']) {
    assert.ok(readHtml(html).isBare, html);
  }
  for (const html of ['<img src=x>', '<p hidden>a</p>', '<!-- a -->', '<style>p{}</style>', '<a href=x>a</a>', '<?x?>', '</ x>', '<p', '<title>x</title>']) {
    assert.ok(!readHtml(html).isBare, html);
  }
  assert.equal(readHtml('<p>a\n b</p>c<br>d&nbsp;&eacute;&#x41;').text, 'a b\nc\nd\u{a0}éA');
  assert.equal(readHtml('<style>x</style><pre>a\n b</pre>').text, 'a\n b\n');
});

test('encoded words, transfer encodings and charsets are read', () => {
  const mail = (head, body) => readMail(unbinary(`From: a\n${head}\n\n${body}`));
  assert.equal(mail('Subject: =?utf-8?q?a=C3=A9_?=\n =?utf-8?B?w6k=?=', '').subject, 'aé é');
  assert.deepEqual(mail('Content-Type: text/plain; charset=iso-8859-1', 'é').parts, [{ kind: 'plain', text: 'é' }]);
  assert.deepEqual(mail('Content-Transfer-Encoding: base64', 'w6k=').parts, [{ kind: 'plain', text: 'é' }]);
  assert.deepEqual(mail('Content-Transfer-Encoding: Quoted-Printable', 'a=\nb=C3=A9  \nc').parts, [{ kind: 'plain', text: 'abé\nc' }]);
  assert.deepEqual(mail('Content-Type: text/plain; charset=utf-7', 'A+ImIDkQ. +- +2D3eDQ-\nHi +Jjo').parts, [{ kind: 'plain', text: 'A\u2262\u0391. + \u{1f60d}\nHi \u263a' }], 'RFC 2152');
  assert.deepEqual(mail('Content-Transfer-Encoding: base64', 'EXTERNAL mail\nw6k=\n--\nfooter').parts, [{ kind: 'plain', text: 'EXTERNAL mail\n\né\n--\nfooter' }]);
  assert.deepEqual(mail('Content-Type: text/plain; charset=nonsense', binary(utf8('é'))).parts, [{ kind: 'plain', text: 'é' }]);
  assert.deepEqual(mail('Content-Disposition: attachment', 'x').parts, [{ kind: 'other', what: 'attachment' }]);
  assert.equal(readMail(utf8('no mail at all')), null);
});

test('a key file is read strictly, and a fault repeats nothing of it', async () => {
  const text = file('tests/replies/berlin.key').toString();
  const { gateway, address, user, raw } = readKeyFile(text);
  assert.deepEqual([gateway, address, user], ['berlin', 'ops@example.com', 'alice']);
  const expected = hex(await sha256(Buffer.concat([Buffer.from('mailsudo-key-1\n'), raw]))).slice(0, 16);
  assert.equal(await fingerprintOf(raw), expected);
  assert.equal(expected, 'e31c9efb5878ce34', 'tests/integration/page.rs expects the same');
  const key = await importKey(raw);
  assert.equal(key.extractable, false);
  await assert.rejects(crypto.subtle.exportKey('raw', key));
  const digits = hex(raw);
  for (const bad of ['', text + text, text.replace('hmac_key', 'key'), text.replace(digits, digits.slice(2)), text + 'x = "y"\n', text.replace('"berlin"', 'berlin'),
    text.replace('alice', 'Alice'), text.replace('ops@', 'ops'), '<script>alert(1)</script>', '\0'.repeat(1000)]) {
    assert.throws(() => readKeyFile(bad), (fault) => fault.word === 'bad-key-file' && !fault.message.includes(digits.slice(0, 8)), bad);
  }
});

test('a wrapped key opens with its passphrase only, and for its owner only', async () => {
  const raw = unhex(vectors.hmac_key);
  const wrapped = await wrapKey(raw, 'correct horse', 'berlin alice');
  assert.ok(wrapped.iterations >= 600000);
  const key = await unwrapKey(wrapped, 'correct horse', 'berlin alice');
  assert.equal(key.extractable, false);
  const sign = async (by) => hex(new Uint8Array(await crypto.subtle.sign('HMAC', by, utf8('x'))));
  assert.equal(await sign(key), await sign(alice));
  const bad = (fault) => fault.word === 'bad-passphrase';
  await assert.rejects(unwrapKey(wrapped, 'Correct horse', 'berlin alice'), bad);
  await assert.rejects(unwrapKey(wrapped, 'correct horse', 'berlin bob'), bad);
  await assert.rejects(unwrapKey({ ...wrapped, data: wrapped.data.map((byte, at) => byte ^ (at === 0 ? 1 : 0)) }, 'correct horse', 'berlin alice'), bad);
});

const draft = { gateway: 'berlin', user: 'alice', time: 1795428900, code: '556712', command: 'deploy', args: [], payload: null };

test('a link is offered below its limit only, and carries the block whole', async () => {
  let offered = 0;
  for (const length of [0, 1, 10, 100, 400, 600, 700, 750, 800, 850, 900, 1000, 2000, 4000]) {
    const { block } = await signRequest({ ...draft, args: [['note', 'x'.repeat(length)]] }, alice);
    const link = mailtoLink('ops+x@example.com', 'mailsudo request', block);
    if (link === null) {
      assert.ok(length > 400, `${length} characters fit`);
      continue;
    }
    offered += 1;
    assert.ok(link.length < MAILTO_LIMIT && link.startsWith('mailto:ops%2Bx@example.com?subject=mailsudo%20request&body='));
    assert.equal(decodeURIComponent(link.split('&body=')[1]), block.replace(/\n/g, '\r\n'));
  }
  assert.ok(offered >= 5, `${offered} lengths are offered as a link`);
});

test('no request is signed that a gateway would refuse', async () => {
  const refused = [
    { args: [['a', '1'], ['a', '2']] }, { args: [['a', 'x\ny']] }, { args: [['a', '\u{202e}']] }, { args: [['a', '\u{d800}']] }, { args: [['A', 'x']] },
    { args: [['a', 'x'.repeat(4097)]] }, { args: Array.from({ length: 33 }, (_, n) => [`a${n}`, '']) }, { code: '12345' },
    { code: '12345６' }, { command: 'a b' }, { command: '' }, { gateway: 'x\nuser: bob' }, { user: '../x' }, { payload: 'AB' },
  ];
  for (const change of refused) await assert.rejects(signRequest({ ...draft, ...change }, alice), (fault) => ['bad-request', 'bad-value'].includes(fault.word));
  await assert.rejects(signRequest({ ...draft, args: [['a', '1'], ['a', '2']] }, alice), (fault) => fault.word === 'bad-request');
  await signRequest({ ...draft, args: [['a', 'x'.repeat(4096)]] }, alice);
});

test('values come back as they were typed', () => {
  for (const value of ['', '--v', 'http://x/y', 'zoë 🙂', 'a=b~c%20', '-', '<script>&"\'']) assert.equal(decodeValue(encodeValue(value).join('')), value);
  assert.equal(visible('a\u{202e}b\u{1b}[31m\tc\r\nd'), 'a<U+202E>b^[[31m\tc\nd');
});

test('parameters are checked as the gateway checks them', () => {
  const integer = { name: 'n', kind: 'integer', min: '-5', max: '9223372036854775807' };
  for (const good of ['0', '-5', '65535', '9223372036854775807']) assert.ok(accepts(integer, good), good);
  for (const bad of ['', '00', '+1', '-0', '-6', '9223372036854775808', '1e3', ' 1', '٣', '99999999999999999999']) assert.ok(!accepts(integer, bad), bad);
  const pattern = { name: 'p', kind: 'pattern', pattern: '^[a-z]+$', test: '(?:[\\x61-\\x7a]){1,}', max_length: 3 };
  assert.ok(accepts(pattern, 'abc'));
  for (const bad of ['', 'abcd', 'a\n', 'A']) assert.ok(!accepts(pattern, bad), bad);
  assert.ok(accepts({ ...pattern, test: null }, 'A'), 'the gateway decides');
  const service = { name: 'service', kind: 'one_of', values: ['nginx', 'mysql', 'x'] };
  const command = { name: 'c', summary: '', parameters: [service], permits: [{ service: ['nginx'] }, { service: ['mysql', 'nginx'], env: ['a'] }] };
  assert.deepEqual(choices(command, service), ['nginx', 'mysql']);
  assert.deepEqual(choices({ ...command, permits: [...command.permits, {}] }, service), ['nginx', 'mysql', 'x']);
  assert.ok(permitted(command, new Map([['service', 'mysql'], ['env', 'a']])));
  assert.ok(!permitted(command, new Map([['service', 'mysql'], ['env', 'b']])));
  assert.equal(readPageData('{'), null);
  assert.equal(readPageData('{"version":2}'), null);
});

test('a genuine reply tells how far the clock is wrong at least', () => {
  assert.equal(clockError(1000, 1020, 990), 0, 'signed, answered, read');
  assert.equal(clockError(1000, 900, null), -100, 'answered after it was read: behind');
  assert.equal(clockError(1000, 980, null), 0, 'within what does no harm');
  assert.equal(clockError(1000, 2000, 1500), 500, 'answered before it was asked: ahead');
  assert.equal(clockError(1000, 100000, null), 0, 'an old reply tells nothing');
  assert.deepEqual(codeLeft(60), { left: 30, isEnding: false });
  assert.deepEqual(codeLeft(86), { left: 4, isEnding: true });
});
