// The page in a real Chromium, from a file and from a server on localhost, against a gateway that the built program makes. A violation
// of the page's policy, or anything else that the browser reports, fails the test. Set MAILSUDO_PICTURES to write docs/images.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from './browser.mjs';
import { Gateway } from './gateway.mjs';
import { addKey as addKeyOf, HOSTILE, signRestart as signRestartAt } from './steps.mjs';

const repository = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** @type {Gateway} */
let gateway;
before(() => {
  gateway = new Gateway();
});
after(() => gateway?.remove());

let profiles = 0;
const newProfile = () => gateway.path(`profile-${(profiles += 1)}`);
const fileUrl = (name) => `file://${gateway.path(name)}`;

/** A test with browsers, which are ended however it ends. */
function browserTest(name, steps) {
  test(name, async () => {
    const opened = [];
    const open = async (options) => {
      opened.push(await chromium(options));
      return opened.at(-1);
    };
    try {
      await steps(open);
      for (const browser of opened) await browser.assertQuiet();
    } finally {
      for (const browser of opened) await browser.end();
    }
  });
}

const addKey = (browser, passphrase = '', name = 'alice.key') => addKeyOf(browser, gateway, passphrase, name);
const signRestart = (browser, service) => signRestartAt(browser, gateway, service);

/** The mail that the page saves. */
async function savedMail(browser, block) {
  const id = createHash('sha256').update(Buffer.from(/mac: ([0-9a-f]{64})/.exec(block)[1], 'hex')).digest('hex').slice(0, 12);
  await browser.press('Save mail (.eml)');
  const path = gateway.path(`downloads/mailsudo-${id}.eml`);
  return browser.until(path, async () => existsSync(path) && readFileSync(path, 'latin1'));
}

/** Serves a folder on loopback. */
async function serve(folder) {
  const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', webmanifest: 'application/manifest+json', svg: 'image/svg+xml' };
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const name = request.url.split('?')[0].replace(/\/$/, '/index.html').slice(1);
    const path = gateway.path(`${folder}/${name}`);
    if (!/^[a-z.-]+$/i.test(name) || !existsSync(path)) return response.writeHead(404).end();
    return response.writeHead(200, { 'content-type': types[name.split('.').pop()] ?? 'text/plain' }).end(readFileSync(path));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://localhost:${server.address().port}/`, asked, end: () => { server.closeAllConnections?.(); server.close(); } };
}

browserTest('from a file: add the key, sign, restart the browser, sign again; the mail runs', async (open) => {
  const profile = newProfile();
  let browser = await open({ profile, downloads: gateway.path('downloads') });
  await browser.go(fileUrl('alice.html'));
  assert.equal(await addKey(browser), gateway.fingerprint);
  if (process.env.MAILSUDO_PICTURES) {
    await browser.press('restart');
    await browser.press('nginx');
    await browser.fill('Code from your authenticator', '214841');
    await pictures(browser, 'sign');
    await browser.press('Sign');
  }
  const first = await signRestart(browser, 'nginx');
  const mail = await savedMail(browser, first);
  await browser.assertQuiet();
  await browser.end();
  const ran = gateway.deliver(mail);
  assert.match(ran.reply, /^ok: restart level=3 service=nginx$/m, ran.log);
  assert.match(ran.reply, /^restarted nginx 3$/m);
  assert.equal(gateway.deliver(mail).reply, '', 'it runs once');

  browser = await open({ profile, downloads: gateway.path('downloads') });
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('Sign a request');
  const second = await signRestart(browser, 'php-fpm');
  assert.notEqual(first, second);
  // Its code was used: each step serves one request.
  assert.match(gateway.deliver(await savedMail(browser, second)).log, /reason=used-code|event=admitted/);

  // The reply, pasted, answers the request that the page remembers.
  await browser.press('Check');
  await browser.paste('Text of the reply', ran.reply);
  await browser.waitText('Genuine');
  assert.ok((await browser.text('main')).includes('It answers your request: restart level=3 service=nginx'));
  if (process.env.MAILSUDO_PICTURES) await pictures(browser, 'check');
  await browser.press('Key');
  await browser.press('Delete the key');
  await browser.waitText('Delete it?');
  await browser.click('button.danger');
  await browser.waitText('First, add the key file');
});

browserTest('a key under a passphrase opens with it only, and is not in the clear', async (open) => {
  const profile = newProfile();
  let browser = await open({ profile });
  await browser.go(fileUrl('alice.html'));
  await browser.upload('input[type=file]', gateway.path('alice.key'));
  await browser.press('With a passphrase');
  await browser.fill('Passphrase', 'short');
  await browser.fill('The same again', 'short');
  await browser.click('main button.primary');
  await browser.waitText('At least 12 characters.');
  await browser.fill('Passphrase', 'a long passphrase');
  await browser.fill('The same again', 'a long passphrasf');
  await browser.click('main button.primary');
  await browser.waitText('The two are not the same.');
  await browser.fill('The same again', 'a long passphrase');
  await browser.click('main button.primary');
  await browser.waitText('Sign a request');
  const record = await browser.runAsync('const done = arguments[0]; indexedDB.open("mailsudo").onsuccess = (e) => { e.target.result.transaction("records").objectStore("records").getAll().onsuccess = (f) => done(JSON.stringify(f.target.result, (k, v) => v instanceof CryptoKey ? "a key" : v)); }');
  assert.ok(!record.includes('a key') && record.includes('"iterations":600000'), record);
  await browser.end();
  browser = await open({ profile });
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('Unlock the key');
  await browser.fill('Passphrase', 'a wrong passphrase');
  await browser.click('main button.primary');
  await browser.waitText('This is not the passphrase.');
  await browser.fill('Passphrase', 'a long passphrase');
  await browser.click('main button.primary');
  await browser.waitText('Sign a request');
  await browser.press('Key');
  await browser.press('Lock');
  await browser.waitText('Unlock the key');
});

browserTest('a kept key cannot be read by a script', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  const said = await browser.runAsync(`const done = arguments[0];
    indexedDB.open("mailsudo").onsuccess = (e) => { e.target.result.transaction("records").objectStore("records").getAll().onsuccess = async (f) => {
      const record = f.target.result.find((one) => one.key);
      const raw = await crypto.subtle.exportKey("raw", record.key).then(() => "exported", (error) => error.name);
      done([record.key.extractable, raw, JSON.stringify(f.target.result)]);
    } }`);
  assert.equal(said[0], false);
  assert.equal(said[1], 'InvalidAccessError');
  const digits = /hmac_key = "([0-9a-f]{64})"/.exec(gateway.key)[1];
  assert.ok(!said[2].includes(digits) && !(await browser.run('return document.documentElement.outerHTML')).includes(digits));
  // docs/page-security.md: all files are one origin in Chromium, so another file can use the key, and not read it.
  gateway.write('other.html', '<!doctype html>');
  await browser.go(fileUrl('other.html'));
  const other = await browser.runAsync(`const done = arguments[0];
    indexedDB.open("mailsudo").onsuccess = (e) => { e.target.result.transaction("records").objectStore("records").getAll().onsuccess = async (f) => {
      const record = f.target.result.find((one) => one.key);
      const mac = await crypto.subtle.sign("HMAC", record.key, new Uint8Array(1));
      const raw = await crypto.subtle.exportKey("raw", record.key).then(() => "exported", (error) => error.name);
      done([mac.byteLength, raw]);
    } }`);
  assert.deepEqual(other, [32, 'InvalidAccessError']);
});

browserTest('every reply of tests/replies has its verdict on the page, and what is not genuine is not shown', async (open) => {
  const browser = await open({ profile: newProfile() });
  gateway.write('replies.html', gateway.run('page'));
  await browser.go(fileUrl('replies.html'));
  gateway.write('berlin.key', readFileSync(repository('tests/replies/berlin.key'), 'utf8'));
  await addKey(browser, '', 'berlin.key');
  await browser.press('Check');
  const kinds = { genuine: 'good', wrapped: 'good', 'quoted-printable': 'good', base64: 'good', flowed: 'good', 'html-of-the-same': 'good', 'text-altered': 'bad', 'content-type-twice': 'bad' };
  const names = readdirSync(repository('tests/replies')).filter((name) => name.endsWith('.eml')).map((name) => name.replace('.eml', ''));
  assert.equal(names.length, 17);
  for (const name of names) {
    await browser.paste('Text of the reply', '');
    await browser.upload('.drop input[type=file]', repository(`tests/replies/${name}.eml`));
    const kind = await browser.until(name, () => browser.run('return document.querySelector("[data-verdict]")?.dataset.verdict ?? null'));
    assert.equal(kind, kinds[name] ?? 'warn', name);
    const text = await browser.run('return document.querySelector("[data-text=authenticated]")?.textContent ?? ""');
    assert.equal(text.includes('hi abc'), !['text-altered', 'content-type-twice'].includes(name), name);
  }
  // A verdict is said in words too, and a request is no reply.
  await browser.paste('Text of the reply', 'mailsudo: 1\nnonsense');
  await browser.waitText('Not genuine');
  for (const text of HOSTILE) {
    await browser.paste('Text of the reply', text);
    await browser.waitText('Not genuine');
  }
  await browser.paste('Text of the reply', 'x'.repeat(1024 * 1024 + 1));
  await browser.waitText('This is more than 1 MiB.');
});

browserTest('hostile text in every field becomes no element, and every field has an answer', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('alice.html'));
  await browser.press('Paste it instead');
  for (const text of HOSTILE) {
    await browser.paste('Text of the key file', text);
    await browser.press('Use this key');
    await browser.waitText('This is not a key file of mailsudo.');
  }
  await browser.paste('Text of the key file', gateway.key.replace('berlin', 'paris'));
  await browser.press('Use this key');
  await browser.waitText('This key is for alice at paris. This page is for alice @ berlin.');
  await addKey(browser);
  assert.ok((await browser.text('main')).includes('Say it </script><script>alert(1)</script> & <b>loud</b>'), 'a summary is text');
  assert.ok(!(await browser.text('main')).includes('secret') && !(await browser.text('main')).includes('mysql'), 'what no role permits is not there');
  const count = () => browser.run('return document.querySelectorAll("img, iframe, object, script, svg, [onerror], [onfocus]").length');
  assert.equal(await count(), 2, 'the data and the program');

  await browser.press('say');
  for (const text of HOSTILE) {
    await browser.paste('what', text);
    await browser.waitText('This is not permitted here.');
    await browser.paste('Code from your authenticator', text);
    await browser.click('main button.primary');
    await browser.waitText('A code is 6 to 8 digits.');
    assert.equal(await count(), 2, text);
  }
  // With a right code too, a wrong value is not signed.
  await browser.paste('what', HOSTILE[0]);
  await browser.paste('Code from your authenticator', gateway.code());
  await browser.click('main button.primary');
  await browser.waitText('This is not permitted here.');
  assert.equal(await browser.run('return document.querySelector("[data-view=outcome]")'), null);
  await browser.press('Sign');
  await browser.press('Another command');
  for (const text of HOSTILE) {
    await browser.paste('Name of the command', text);
    await browser.paste('Arguments', text);
    await browser.paste('Code from your authenticator', '123456');
    await browser.click('main button.primary');
    await browser.waitText('A name is a-z');
    await browser.waitText('Each line is name=value');
    assert.equal(await count(), 2, text);
  }
  // What a value may hold is signed, and the gateway hears it; what it may not hold is refused before.
  for (const text of HOSTILE.filter((one) => one.length < 400)) {
    await browser.press('Sign');
    await browser.press('Another command');
    await browser.paste('Name of the command', 'shout');
    await browser.paste('Arguments', `what=${text}`);
    await browser.paste('Code from your authenticator', gateway.code());
    await browser.click('main button.primary');
    if (/[\u{0}\u{202e}]/u.test(text)) {
      await browser.waitText('It holds a character that is not allowed');
    } else {
      await browser.wait('[data-view=outcome]');
      const shown = await browser.text('.title');
      assert.ok(shown.includes(text.slice(0, 20)), shown);
    }
    assert.equal(await count(), 2, text);
  }
});

browserTest('a mail link, the clipboard and the share sheet carry the block', async (open) => {
  // A ledger of its own, so that the code of this moment is not used yet.
  gateway.forget();
  const browser = await open({ profile: newProfile(), downloads: gateway.path('downloads') });
  await browser.go(fileUrl('alice.html'));
  await browser.run('navigator.share = async (data) => { window.shared = data; }; navigator.canShare = () => true;');
  await addKey(browser);
  const block = await signRestart(browser, 'nginx');
  const link = await browser.run('return document.querySelector("main a.primary").href');
  assert.ok(link.length < 1500);
  assert.equal(decodeURIComponent(link.split('&body=')[1]), block.replace(/\n/g, '\r\n'));
  await browser.press('Share');
  assert.equal(await browser.run('return window.shared.text'), block);
  await browser.press('Copy text');
  await browser.waitText('Copied.');
  // A long value: no link, and the mail is the first way.
  await browser.press('Another request');
  await browser.press('shout');
  await browser.paste('what', 'long text, '.repeat(150));
  await browser.fill('Code from your authenticator', gateway.code());
  await browser.click('main button.primary');
  await browser.waitText('too long for a mail link');
  assert.equal(await browser.run('return document.querySelectorAll("main a").length'), 0);
  assert.equal(await browser.text('main .primary'), 'Save mail (.eml)');
  // With a file, the mail has it attached, and its digest is signed.
  await browser.press('Another request');
  await browser.press('Load a list');
  await browser.fill('Code from your authenticator', gateway.code());
  await browser.click('main button.primary');
  await browser.waitText('This command needs a file.');
  gateway.write('large.nft', 'x'.repeat(1025));
  await browser.upload('main input[type=file]', gateway.path('large.nft'));
  await browser.click('main button.primary');
  await browser.waitText('larger than 1024 bytes');
  gateway.write('rules.nft', 'table inet x {\r\n}\r\n');
  await browser.upload('main input[type=file]', gateway.path('rules.nft'));
  await browser.click('main button.primary');
  await browser.wait('[data-view=outcome]');
  const signed = await browser.run('return document.querySelector("pre.block").textContent');
  assert.match(signed, /^payload: [0-9a-f]{64}$/m);
  const mail = await savedMail(browser, signed);
  assert.match(mail, /filename="rules\.nft"\r\n\r\ndGFibGUgaW5ldCB4IHsNCn0NCg==\r\n/);
  const { reply, log } = gateway.deliver(mail);
  assert.ok(reply.includes(/^payload: (.*)$/m.exec(signed)[1]) && reply.startsWith('From: '), `sha256sum of the file: ${reply}${log}`);
});

browserTest('a command that needs approval asks for the reason; what waits is listed, and cancelled', async (open) => {
  gateway.forget();
  const browser = await open({ profile: newProfile(), downloads: gateway.path('downloads') });
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  await browser.press('wipe');
  await browser.press('sda');
  assert.ok((await browser.text('main')).includes('It runs after approval by 1 of carol.'));
  await browser.fill('Code from your authenticator', gateway.code());
  await browser.click('main button.primary');
  await browser.waitText('Say why.');
  for (const text of HOSTILE.filter((one) => one.length < 400 && !/[\u{0}\u{202e}]/u.test(one))) {
    await browser.paste('Reason', text);
    await browser.click('main button.primary');
    await browser.wait('[data-view=outcome]');
    const block = await browser.run('return document.querySelector("pre.block").textContent');
    assert.match(block, /^command: wipe\narg: disk=sda\narg: reason=./m);
    await browser.press('Another request');
    await browser.press('wipe');
    await browser.press('sda');
    await browser.fill('Code from your authenticator', gateway.code());
  }
  await browser.fill('Reason', 'it is sold');
  await browser.click('main button.primary');
  await browser.wait('[data-view=outcome]');
  const block = await browser.run('return document.querySelector("pre.block").textContent');
  const asked = gateway.deliver(await savedMail(browser, block));
  assert.match(asked.log, /event=pending .*command=wipe .*asked=carol/);
  const [, id] = /^To cancel it, sign: cancel id=([0-9a-f]{64})$/m.exec(asked.reply.replace(/=\r?\n/g, '').replace(/=3D/g, '='));
  for (const [name, mark] of [['pending', 'command: pending'], ['Take back', 'command: cancel']]) {
    await browser.press('Another request');
    await browser.press(name);
    if (name === 'Take back') {
      await browser.paste('id', id.slice(1));
      await browser.fill('Code from your authenticator', gateway.code());
      await browser.click('main button.primary');
      await browser.waitText('This is not permitted here.');
      await browser.paste('id', id);
    }
    await browser.fill('Code from your authenticator', gateway.code());
    await browser.click('main button.primary');
    await browser.wait('[data-view=outcome]');
    const signed = await browser.run('return document.querySelector("pre.block").textContent');
    assert.ok(signed.includes(mark), signed);
    // The step of this code is used; what the gateway answers in a later one is tested in tests/integration/approval.
    assert.match(gateway.deliver(await savedMail(browser, signed)).log, /event=(?:refused .*reason=used-code|admitted|voted)/);
  }
});

browserTest('a notice is shown after it was verified only, and the answer names its id and digest', async (open) => {
  const next = JSON.parse(readFileSync(repository('tests/vectors-next.json'), 'utf8'));
  const [genuine, altered, forged] = next.notice.map(({ text }) => text);
  // The vectors' notice has lapsed; this one has not.
  const key = Buffer.from(next.carol_hmac_key, 'hex');
  const body = genuine.replace(/^until: .*$/m, `until: ${new Date(Date.now() + 3600000).toISOString().replace(/\.\d+Z/, 'Z')}`).replace(/^mac: .*\n/m, '');
  const signed = body.slice(body.indexOf('mailsudo-notice:'));
  const fresh = `${body}mac: ${createHmac('sha256', key).update(signed).digest('hex')}\n`;
  gateway.write('carol.key', `gateway = "berlin"\naddress = "ops@example.com"\nuser = "carol"\nhmac_key = "${next.carol_hmac_key}"\n`);
  gateway.write('any.html', gateway.run('page'));
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('any.html'));
  await addKey(browser, '', 'carol.key');
  await browser.press('Approve');
  await browser.paste('Text of the notice', forged);
  await browser.waitText('Not genuine');
  assert.ok(!(await browser.text('[aria-live]')).includes('systemctl'), 'nothing of it is shown');
  await browser.paste('Text of the notice', altered);
  await browser.waitText('Altered');
  assert.ok(!(await browser.text('[aria-live]')).includes('mysql'));
  for (const text of HOSTILE) {
    await browser.paste('Text of the notice', text);
    await browser.waitText('Nothing of it is shown.');
  }
  await browser.paste('Text of the notice', genuine);
  await browser.waitText('The time to approve is over.');
  assert.ok(!(await browser.text('main')).includes('Yes, run it'));
  // A notice that asks nothing has no form.
  const lines = (above) => {
    const output = createHash('sha256').update(above.replace(/\s/g, '')).digest('hex');
    const block = signed.replace(/^output: .*$/m, `output: ${output}`);
    return `${above}${block}mac: ${createHmac('sha256', key).update(block).digest('hex')}\n`;
  };
  for (const outcome of ['RAN WITHOUT APPROVAL', 'lapsed', 'to approve']) {
    await browser.paste('Text of the notice', lines(`${outcome}: restart service=nginx\n\nhost     vm\n\n`));
    await browser.waitText(`${outcome}: restart`, '[data-text=authenticated]');
    assert.equal((await browser.text('main')).includes('Yes, run it'), outcome === 'to approve', outcome);
  }
  // The link of a shortcut: the text stands behind the address, and goes from there.
  await browser.go(`${fileUrl('any.html')}#mail=${encodeURIComponent(Buffer.from(fresh).toString('base64'))}`);
  await browser.waitText('alice asks for restart');
  assert.equal(await browser.run('return location.hash'), '');
  assert.ok((await browser.text('[data-text=authenticated]')).includes('/usr/bin/systemctl restart nginx'));
  await browser.fill('Code from your authenticator', '123456');
  await browser.click('main button.primary');
  await browser.waitText('Choose yes or no.');
  await browser.press('No, do not run it');
  await browser.click('main button.primary');
  await browser.waitText('Say why.');
  await browser.fill('Reason', 'not on Friday');
  if (process.env.MAILSUDO_PICTURES) await pictures(browser, 'approve');
  await browser.click('main button.primary');
  await browser.wait('[data-view=outcome]');
  const block = await browser.run('return document.querySelector("pre.block").textContent');
  const [, id] = /^request: (.*)$/m.exec(fresh);
  const [, digest] = /^digest: (.*)$/m.exec(fresh);
  assert.ok(block.includes(`command: deny\narg: id=${id.slice(0, 62)}`) && block.replace(/\nmore: /g, '').includes(`digest=${digest}`), block);
  assert.ok(block.includes('arg: reason=not~20on~20Friday\n'), block);
});

browserTest('by keyboard alone, at 320 pixels, in each language, in the dark, and from right to left', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.size(320, 640);
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  const unlabelled = 'return [...document.querySelectorAll("input, select, textarea, button, a")].filter((one) => !one.labels?.length && !one.getAttribute("aria-label") && !one.textContent.trim()).map((one) => one.outerHTML)';
  const wide = 'return document.documentElement.scrollWidth > innerWidth';
  for (const language of ['en', 'de', 'fr', 'es']) {
    await browser.run('const select = document.querySelector("footer select"); select.value = arguments[0]; select.dispatchEvent(new Event("change"))', language);
    await browser.until(language, () => browser.run('return document.documentElement.lang === arguments[0]', language));
    for (let at = 0; at < 4; at += 1) {
      await browser.run('document.querySelectorAll("nav button")[arguments[0]].click()', at);
      assert.deepEqual(await browser.run(unlabelled), [], `${language} ${at}`);
      assert.equal(await browser.run(wide), false, `${language} ${at} is wider than 320 pixels`);
      await browser.run('document.documentElement.dir = "rtl"');
      assert.equal(await browser.run(wide), false, `${language} ${at} from right to left`);
      await browser.run('document.documentElement.dir = ""');
    }
    assert.ok(!/\{[a-z]+\}/.test(await browser.text()), language);
  }
  // Contrast of each text against what is behind it, in light and dark (WCAG 2.2, 1.4.3).
  const contrast = `
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (rgb) => rgb.slice(0, 3).map((one) => one / 255).map((one) => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4).reduce((sum, one, at) => sum + one * [.2126, .7152, .0722][at], 0);
    const ground = (one) => { for (let at = one; at; at = at.parentElement) { const rgb = parse(getComputedStyle(at).backgroundColor); if (rgb.length < 4 || rgb[3] > 0) return rgb; } return [255, 255, 255]; };
    return [...document.querySelectorAll("main *, header *, footer *")].filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())).flatMap((one) => {
      const [a, b] = [light(parse(getComputedStyle(one).color)), light(ground(one))];
      const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
      return ratio < 4.5 ? [one.tagName + " " + one.textContent.slice(0, 30) + " " + ratio.toFixed(2)] : [];
    })`;
  for (const scheme of ['light', 'dark']) {
    await browser.cdp('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
    for (let at = 0; at < 4; at += 1) {
      await browser.run('document.querySelectorAll("nav button")[arguments[0]].click()', at);
      if (at === 2) {
        await browser.run('document.querySelector("textarea").value = "x"; document.querySelector("textarea").dispatchEvent(new Event("input"))');
        await browser.wait('[data-verdict]');
      }
      assert.deepEqual(await browser.run(contrast), [], `${scheme} ${at}`);
    }
  }
  // Keyboard: from the title, tab to the choice, choose by arrow, sign by Enter.
  await browser.run('const select = document.querySelector("footer select"); select.value = "en"; select.dispatchEvent(new Event("change"))');
  await browser.waitText('Your key');
  await browser.run('document.querySelectorAll("nav button")[0].click()');
  await browser.waitText('Sign a request');
  const keys = (text) => browser.call('POST', '/actions', { actions: [{ type: 'key', id: 'k', actions: [...text].flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }]) }] });
  const [TAB, SPACE, ENTER, UP, DOWN] = ['\ue004', ' ', '\ue007', '\ue013', '\ue015'];
  await keys(TAB + SPACE + DOWN + DOWN + UP);
  await browser.waitText('service');
  assert.equal(await browser.run('return document.querySelector("input:checked").value'), 'restart');
  await keys(TAB + TAB + SPACE + TAB + gateway.code() + ENTER);
  await browser.wait('[data-view=outcome]');
  assert.ok((await browser.run('return document.querySelector("pre.block").textContent')).includes('arg: service=nginx'));
});

browserTest('where a page may keep nothing, it says so and works as long as it is open', async (open) => {
  const browser = await open({ profile: newProfile() });
  // As in browsers that give a file no store: a page from a data: address has none.
  await browser.go('about:blank');
  await browser.cdp('Page.addScriptToEvaluateOnNewDocument', { source: 'Object.defineProperty(window, "indexedDB", { get() { throw new DOMException("no", "SecurityError"); } });' });
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('until this page is closed');
  await addKey(browser);
  assert.match(await signRestart(browser, 'nginx'), /^mailsudo: 1\n/);
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('First, add the key file');
});

browserTest('a page without data, and a page inside another one, do nothing', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(`file://${repository('page/built.html')}`);
  await browser.waitText('This file belongs to no gateway.');
  gateway.write('frame.html', '<!doctype html><iframe src="alice.html"></iframe>');
  await browser.go(fileUrl('frame.html'));
  await browser.call('POST', '/frame', { id: 0 });
  await browser.waitText('This page does not work inside another page.');
});

browserTest('served on localhost: installs, opens without the network, takes a shared mail, and the server learns nothing of it', async (open) => {
  mkdirSync(gateway.path('www'), { recursive: true });
  gateway.run('page', '--user', 'alice', '--served', 'www');
  gateway.write('www/share.html', '<!doctype html><form method=post action=share enctype=multipart/form-data><textarea name=text></textarea><button>go</button></form>');
  const server = await serve('www');
  const profile = newProfile();
  try {
    let browser = await open({ profile });
    await browser.go(server.url);
    await addKey(browser);
    await browser.until('the service worker', () => browser.run('return navigator.serviceWorker.controller !== null'));
    const { errors } = await browser.cdp('Page.getAppManifest');
    assert.deepEqual(errors, []);
    const reply = readFileSync(repository('tests/replies/text-altered.eml'), 'utf8');
    const before = server.asked.length;
    await browser.run('location.href = "share.html"');
    await browser.end();
    // Without a server the installed page opens, signs and takes a mail.
    server.end();
    browser = await open({ profile });
    await browser.go(server.url);
    await browser.waitText('Sign a request');
    assert.match(await signRestart(browser, 'nginx'), /^mailsudo: 1\n/);
    assert.deepEqual(server.asked.slice(before).filter((line) => /POST|mail=/.test(line)), []);
    // As the share sheet does it: a form that no page of this server has.
    const form = `<form method=post action="${server.url}share" enctype="multipart/form-data"><textarea name=text></textarea></form>`;
    await browser.go('data:text/html,' + encodeURIComponent(form));
    await browser.run('document.querySelector("textarea").value = arguments[0]; document.querySelector("form").submit()', reply);
    await browser.waitText('Check a reply');
    await browser.wait('[data-verdict]');
    assert.equal(await browser.run('return location.pathname + location.search + location.hash'), '/');
  } finally {
    server.end();
  }
});

browserTest('a key under a passkey opens with the device only', async (open) => {
  mkdirSync(gateway.path('www'), { recursive: true });
  gateway.run('page', '--user', 'alice', '--served', 'www');
  const server = await serve('www');
  try {
    const browser = await open({ profile: newProfile() });
    await browser.cdp('WebAuthn.enable');
    const options = { protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, hasPrf: true, automaticPresenceSimulation: true };
    const { authenticatorId } = await browser.cdp('WebAuthn.addVirtualAuthenticator', { options });
    await browser.go(server.url);
    await browser.waitText('Your key');
    await browser.upload('input[type=file]', gateway.path('alice.key'));
    await browser.press('With the lock of this device');
    await browser.click('main button.primary');
    await browser.waitText('Sign a request');
    await browser.go(`${server.url}?again`);
    await browser.waitText('Unlock the key');
    await browser.click('main button.primary');
    await browser.waitText('Sign a request');
    assert.match(await signRestart(browser, 'nginx'), /^mailsudo: 1\n/);
    await browser.press('Key');
    await browser.press('Lock');
    await browser.cdp('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await browser.click('main button.primary');
    await browser.waitText('has no passkey that can protect the key');
  } finally {
    server.end();
  }
});

browserTest('a QR code is read by the camera, where the browser can', async (open) => {
  const browser = await open({ profile: newProfile(), options: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] });
  // Chromium on Linux has no BarcodeDetector: this one finds the key file in the third picture.
  const source = `let looks = 0; window.BarcodeDetector = class { async detect(video) { looks += 1; return video.videoWidth > 0 && looks > 2 ? [{ rawValue: ${JSON.stringify(gateway.key)} }] : []; } };`;
  await browser.cdp('Page.addScriptToEvaluateOnNewDocument', { source });
  await browser.go(fileUrl('alice.html'));
  await browser.press('Scan QR code');
  await browser.waitText(gateway.fingerprint);
  await browser.click('main button.primary');
  await browser.waitText('Sign a request');
});

/** Pictures of the page as it is, at the size of a phone and of a desktop. */
async function pictures(browser, name) {
  mkdirSync(repository('docs/images'), { recursive: true });
  await browser.run('scrollTo(0, 0)');
  await browser.screenshot(repository(`docs/images/page-${name}-phone.png`), 390, 844);
  await browser.screenshot(repository(`docs/images/page-${name}-desktop.png`), 1000, 800);
}
