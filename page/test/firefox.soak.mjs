// The page in Firefox, from a file: `make soak`. What Chromium is asked in page.test.mjs, as far as another engine may answer otherwise.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { firefox } from './firefox.mjs';
import { Gateway } from './gateway.mjs';
import { notices } from './notices.mjs';
import { serveFolder } from './serve.mjs';
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

test('in Firefox: a notice is answered, an encrypted mail is explained, a hostile text in any field is a text', async () => {
  const { genuine, altered, forged, fresh, keyFile } = notices();
  gateway.write('any.html', gateway.run('page', '--role', 'web'));
  gateway.write('carol.key', keyFile);
  const browser = await firefox({ profile: gateway.path('firefox-3') });
  try {
    await browser.go(`file://${gateway.path('any.html')}`);
    await addKey(browser, gateway, '', 'carol.key');
    await browser.press('Approve');
    for (const [text, words] of [[forged, 'Not genuine'], [altered, 'Altered'], [genuine, 'The time to approve is over.'], ['-----BEGIN PGP MESSAGE-----\n', 'The mail is encrypted.'], [fresh, 'alice asks for restart']]) {
      await browser.paste('Text of the notice', text);
      await browser.waitText(words);
    }
    await browser.press('No, do not run it');
    const count = () => browser.run('return document.querySelectorAll("img, iframe, object, script, svg, [onerror], [onfocus]").length');
    for (const text of HOSTILE) {
      await browser.paste('Reason', text);
      await browser.paste('Code from your authenticator', text);
      await browser.click('main button.primary');
      await browser.waitText('A code is 6 to 8 digits.');
      assert.equal(await count(), 2, text);
    }
    await browser.paste('Reason', 'not on Friday');
    await browser.paste('Code from your authenticator', '123456');
    await browser.click('main button.primary');
    await browser.wait('[data-view=outcome]');
    assert.match(await browser.run('return document.querySelector("pre.block").textContent'), /^command: deny$/m);
    for (const [command, field] of [['say', 'what'], ['Another command', 'Name of the command'], ['Another command', 'Arguments']]) {
      await browser.press('Sign');
      await browser.press(command);
      for (const text of HOSTILE) {
        await browser.paste(field, text);
        await browser.paste('Code from your authenticator', '123456');
        await browser.click('main button.primary');
        await browser.wait('.wrong:not(:empty)');
        assert.equal(await count(), 2, text);
      }
    }
    await browser.assertQuiet();
  } finally {
    await browser.end();
  }
});

test('in Firefox: served on localhost, add the key, sign, restart, sign again', async () => {
  mkdirSync(gateway.path('www'), { recursive: true });
  gateway.run('page', '--user', 'alice', '--served', 'www');
  const server = await serveFolder(gateway.path('www'));
  try {
    for (const service of ['nginx', 'php-fpm']) {
      const browser = await firefox({ profile: gateway.path('firefox-4') });
      try {
        await browser.go(server.url);
        if (service === 'nginx') await addKey(browser, gateway);
        await browser.waitText('Sign a request');
        assert.match(await signRestart(browser, gateway, service), new RegExp(`^arg: service=${service}$`, 'm'));
        await browser.assertQuiet();
      } finally {
        await browser.end();
      }
    }
  } finally {
    server.end();
  }
});
