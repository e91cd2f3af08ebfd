// What the page cannot do itself, it says, with what to do: encrypted mail, secret values, SSH signatures.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { notices } from './notices.mjs';
import { addKey, browserTest, fileUrl, gateway, newProfile } from './stand.mjs';

const ARMOR = '-----BEGIN PGP MESSAGE-----\n\nyW5vdGhpbmc=\n-----END PGP MESSAGE-----\n';
const PGP = `From: a@example.com\nSubject: ...\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=x\n\n--x\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--x\nContent-Type: application/octet-stream\n\n${ARMOR}--x--\n`;
const CMS = Buffer.from([0x30, 0x80, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03, 0xa0, 0x80]);
const SMIME = `From: a@example.com\nSubject: ...\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data\nContent-Transfer-Encoding: base64\n\n${CMS.toString('base64')}\n`;
const LOGIN = 'summary = "Set a password"\nrun_as = "nobody"\nargv = ["/bin/echo", "{password}", "{pin}"]\n[parameters.password]\npattern = "^[A-Za-z0-9_-]+$"\nmax_length = 40\nsecret = true\n[parameters.pin]\ninteger = { min = 0, max = 9999 }\ndefault = 0\n[allow.web]\n';

const block = (browser) => browser.run('return document.querySelector("pre.block").textContent');

browserTest('an encrypted mail, pasted or dropped, says what to do', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  const drop = 'const data = new DataTransfer(); data.items.add(new File([arguments[0]], "mail.eml")); document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }))';
  for (const [view, label] of [['Check', 'Text of the reply'], ['Approve', 'Text of the notice']]) {
    await browser.press(view);
    for (const mail of [PGP, SMIME, ARMOR]) {
      for (const give of [() => browser.paste(label, mail), () => browser.run(drop, mail)]) {
        await give();
        await browser.waitText('The mail is encrypted. Decrypt it in your mail program');
        await browser.paste(label, 'anything else');
        await browser.waitText('Not genuine');
        assert.ok(!(await browser.text('main')).includes('encrypted'));
      }
    }
  }
});

browserTest('a secret value is hidden while it is typed, can be shown, and is not kept', async (open) => {
  gateway.write('commands.d/login.toml', LOGIN);
  gateway.write('login.html', gateway.run('page', '--user', 'alice'));
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('login.html'));
  await addKey(browser);
  await browser.press('login');
  await browser.waitText('Giving it in a file is safer');
  const type = () => browser.run('return [...document.querySelectorAll("main label")].filter((one) => ["password", "pin"].includes(one.textContent)).map((one) => one.control.type)');
  assert.deepEqual(await type(), ['password', 'text']);
  await browser.fill('password', 'correct horse');
  await browser.waitText('This is not permitted here.');
  await browser.fill('password', 'hunter2-hunter2');
  assert.equal(await browser.run('return document.querySelector("[aria-pressed]").getAttribute("aria-label")'), 'Show: password');
  for (const [shown, pressed] of [['text', 'true'], ['password', 'false']]) {
    await browser.press('Show');
    assert.deepEqual([(await type())[0], await browser.run('return document.querySelector("[aria-pressed]").getAttribute("aria-pressed")')], [shown, pressed]);
  }
  const records = 'const done = arguments[0]; indexedDB.open("mailsudo").onsuccess = (e) => { e.target.result.transaction("records").objectStore("records").getAll().onsuccess = (f) => done(JSON.stringify(f.target.result)); }';
  const sign = async () => {
    await browser.fill('Code from your authenticator', gateway.code());
    await browser.click('main button.primary');
    await browser.wait('[data-view=outcome]');
    assert.match(await block(browser), /^arg: password=hunter2-hunter2$/m);
    const kept = await browser.runAsync(records);
    assert.ok(kept.includes('login') && !kept.includes('hunter2'), kept);
  };
  await sign();
  assert.equal(await browser.text('.title'), 'login password=[secret] pin=0');
  // Typed by hand: as a command that the page knows, and as one whose arguments it does not know.
  for (const [page, title] of [['login.html', 'login password=[secret]'], ['alice.html', 'login password=hunter2-hunter2']]) {
    await browser.go(fileUrl(page));
    await browser.press('Another command');
    await browser.fill('Name of the command', 'login');
    await browser.fill('Arguments', 'password=hunter2-hunter2');
    await sign();
    assert.equal(await browser.text('.title'), title);
  }
});

browserTest('what needs an SSH signature is named, with the line that signs it', async (open) => {
  const { fresh, keyFile } = notices();
  const command = 'summary = "Restart a service"\nrun_as = "nobody"\nrequire_signature = true\nargv = ["/bin/echo", "{service}"]\n[parameters.service]\npattern = "^[a-z]+$"\nmax_length = 9\n';
  gateway.write('commands.d/restart.toml', `${command}[approval]\nby = ["carol"]\n[allow.web]\n`);
  gateway.write('signed.html', gateway.run('page', '--user', 'alice'));
  gateway.write('carol.key', keyFile);
  gateway.write('carol.html', gateway.run('page', '--user', 'carol'));
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('signed.html'));
  await addKey(browser);
  await browser.waitText('restart: Needs an SSH signature, which no browser can make.');
  await browser.waitText('mailsudo sign --ssh-key KEY.pub COMMAND');
  await browser.press('Another command');
  await browser.fill('Name of the command', 'restart');
  await browser.fill('Code from your authenticator', gateway.code());
  await browser.click('main button.primary');
  await browser.waitText('Needs an SSH signature', '.wrong:not(:empty)');
  assert.equal(await browser.run('return document.querySelector("[data-view=outcome]")'), null);

  // An approver gets the line with id and digest; a denial needs no signature.
  const answer = async () => {
    await browser.press('Approve');
    await browser.paste('Text of the notice', fresh);
    await browser.waitText('alice asks for restart');
    const [id, digest] = ['request', 'digest'].map((name) => new RegExp(`^${name}: (.*)$`, 'm').exec(fresh)[1]);
    assert.ok((await browser.text('main')).includes(`mailsudo sign --ssh-key KEY.pub approve id=${id} digest=${digest}`));
    assert.ok(!(await browser.text('main')).includes('Yes, run it'));
  };
  await browser.go(fileUrl('carol.html'));
  await addKey(browser, '', 'carol.key');
  await answer();
  await browser.press('No, do not run it');
  await browser.fill('Reason', 'not on Friday');
  await browser.fill('Code from your authenticator', '123456');
  await browser.click('main button.primary');
  await browser.wait('[data-view=outcome]');
  assert.match(await block(browser), /^command: deny$/m);

  // A user whose every request needs a signature can check replies, and sign nothing.
  const user = readFileSync(gateway.path('users.d/carol.toml'), 'utf8');
  gateway.write('users.d/carol.toml', `${user}ssh_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBKv+nwN53YYSBIwZuyeYYwdaJCA28HOCYkC0zOIEsWN"]\nrequire_signature = true\n`);
  gateway.write('carol.html', gateway.run('page', '--user', 'carol'));
  await browser.go(fileUrl('carol.html'));
  await browser.waitText('mailsudo sign --ssh-key KEY.pub COMMAND');
  assert.equal(await browser.run('return document.querySelectorAll("main input, main form").length'), 0);
  await answer();
  assert.ok(!(await browser.text('main')).includes('No, do not run it'));
  await browser.press('Check');
  await browser.paste('Text of the reply', fresh);
  await browser.waitText('Genuine');
});
