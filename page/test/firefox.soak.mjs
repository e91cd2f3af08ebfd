// The page in Firefox, from a file: `make soak`. What Chromium is asked in page.test.mjs, as far as another engine may answer otherwise.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { firefox } from './firefox.mjs';
import { Gateway } from './gateway.mjs';
import { addKey, HOSTILE, signRestart } from './steps.mjs';

const repository = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** @type {Gateway} */
let gateway;
before(() => {
  gateway = new Gateway();
});
after(() => gateway?.remove());

test('in Firefox: add the key, sign, restart, sign again; the mail runs', async () => {
  const profile = gateway.path('firefox');
  let browser = await firefox({ profile });
  try {
    await browser.go(`file://${gateway.path('alice.html')}`);
    assert.equal(await addKey(browser, gateway), gateway.fingerprint);
    const block = await signRestart(browser, gateway, 'nginx');
    const ran = gateway.deliver(`From: alice@example.com\nTo: ops@example.com\n\n${block}`);
    assert.match(ran.reply, /^restarted nginx 3$/m, ran.log);
    await browser.assertQuiet();
    await browser.end();

    browser = await firefox({ profile });
    await browser.go(`file://${gateway.path('alice.html')}`);
    await browser.waitText('Sign a request');
    assert.match(await signRestart(browser, gateway, 'php-fpm'), /^arg: service=php-fpm$/m);
    await browser.press('Check');
    await browser.paste('Text of the reply', ran.reply);
    await browser.waitText('It answers your request: restart level=3 service=nginx');
    await browser.assertQuiet();
    // docs/page-security.md: all files share one store in Firefox too.
    gateway.write('other.html', '<!doctype html>');
    await browser.go(`file://${gateway.path('other.html')}`);
    assert.deepEqual(await browser.runAsync('const done = arguments[0]; indexedDB.databases().then((all) => done(all.map((one) => one.name)))'), ['mailsudo']);
  } finally {
    await browser.end();
  }
});

test('in Firefox: a passphrase, every reply of tests/replies, hostile texts', async () => {
  gateway.write('any.html', gateway.run('page'));
  gateway.write('berlin.key', readFileSync(repository('tests/replies/berlin.key'), 'utf8'));
  const browser = await firefox({ profile: gateway.path('firefox-2') });
  try {
    await browser.go(`file://${gateway.path('any.html')}`);
    await addKey(browser, gateway, 'a long passphrase', 'berlin.key');
    await browser.press('Check');
    const good = ['genuine', 'wrapped', 'quoted-printable', 'base64', 'flowed', 'html-of-the-same'];
    const names = readdirSync(repository('tests/replies')).filter((name) => name.endsWith('.eml')).map((name) => name.replace('.eml', ''));
    for (const name of names) {
      await browser.paste('Text of the reply', '');
      await browser.upload('.drop input[type=file]', repository(`tests/replies/${name}.eml`));
      const kind = await browser.until(name, () => browser.run('return document.querySelector("[data-verdict]")?.dataset.verdict ?? null'));
      assert.equal(kind === 'good', good.includes(name), name);
    }
    for (const text of HOSTILE) {
      await browser.paste('Text of the reply', text);
      await browser.waitText('Not genuine');
    }
    await browser.go(`file://${gateway.path('any.html')}`);
    await browser.waitText('Unlock the key');
    await browser.fill('Passphrase', 'a long passphrase');
    await browser.click('main button.primary');
    await browser.waitText('Sign a request');
    await browser.assertQuiet();
  } finally {
    await browser.end();
  }
});
