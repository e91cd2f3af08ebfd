// Mails in the page in a real Chromium: replies are checked, notices are answered, what waits is cancelled.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { notices } from './notices.mjs';
import { addKey, browserTest, fileUrl, gateway, newProfile, pictures, repository, savedMail } from './stand.mjs';
import { HOSTILE, KINDS } from './steps.mjs';

browserTest('every reply of tests/replies has its verdict on the page, and what is not genuine is not shown', async (open) => {
  const browser = await open({ profile: newProfile() });
  gateway.write('replies.html', gateway.run('page'));
  await browser.go(fileUrl('replies.html'));
  gateway.write('berlin.key', readFileSync(repository('tests/replies/berlin.key'), 'utf8'));
  await addKey(browser, '', 'berlin.key');
  await browser.press('Check');
  const names = readdirSync(repository('tests/replies')).filter((name) => name.endsWith('.eml')).map((name) => name.replace('.eml', ''));
  assert.equal(names.length, 17);
  for (const name of names) {
    await browser.paste('Text of the reply', '');
    await browser.upload('.drop input[type=file]', repository(`tests/replies/${name}.eml`));
    const kind = await browser.until(name, () => browser.run('return document.querySelector("[data-verdict]")?.dataset.verdict ?? null'));
    assert.equal(kind, KINDS[name] ?? 'warn', name);
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
  const { genuine, altered, forged, fresh, keyFile, telling } = notices();
  gateway.write('carol.key', keyFile);
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
  for (const outcome of ['RAN WITHOUT APPROVAL', 'lapsed', 'to approve']) {
    await browser.paste('Text of the notice', telling(`${outcome}: restart service=nginx\n\nhost     vm\n\n`));
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
