// The page in a real Chromium, from a file: keys, requests, what is typed into it, and how a request goes out.
import assert from 'node:assert/strict';
import { addKey, browserTest, fileUrl, gateway, newProfile, pictures, savedMail, signRestart } from './stand.mjs';
import { HOSTILE } from './steps.mjs';

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
