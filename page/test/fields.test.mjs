// What is said while a user types: bounds of numbers, the end of a code, a wrong clock; and hostile texts in the fields that no mail and
// no value of a command has.
import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { addKey, browserTest, fileUrl, gateway, newProfile, signRestart } from './stand.mjs';
import { HOSTILE } from './steps.mjs';

const ELEMENTS = 'return document.querySelectorAll("img, iframe, object, script, svg, [onerror], [onfocus]").length';

browserTest('a number has its bounds, and is checked as it is typed', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  await browser.press('restart');
  await browser.waitText('A whole number from 1 to 9');
  const said = () => browser.run('return [...document.querySelectorAll("main label")].find((one) => one.textContent === "level").parentElement.querySelector(".wrong").textContent');
  for (const [value, isFine] of [['9', true], ['10', false], ['1', true], ['0', false], ['-1', false], ['1.5', false], ['01', false], ['1e0', false], ['９', false]]) {
    await browser.paste('level', value);
    assert.equal(await said(), isFine ? '' : 'This is not permitted here.', value);
  }
  assert.deepEqual(await browser.run('return [...document.querySelectorAll("input[type=radio]")].map((one) => one.value).filter((one) => ["nginx", "php-fpm", "mysql"].includes(one))'), ['nginx', 'php-fpm'], 'what the role permits');
});

/** A reply of the gateway to alice, signed at this moment of its clock, in seconds. */
function reply(request, time) {
  const text = 'ok: restart level=3 service=nginx\n\nhost     vm\nrun as   nobody\n\n';
  const output = createHash('sha256').update(text.replace(/\s/g, '')).digest('hex');
  const block = `mailsudo-reply: 1\ngateway: berlin\nuser: alice\nrequest: ${request}\ntime: ${new Date(time * 1000).toISOString().replace(/\.\d+/, '')}\nresult: exit-0\noutput: ${output}\n`;
  const key = Buffer.from(/hmac_key = "([0-9a-f]{64})"/.exec(gateway.key)[1], 'hex');
  return `${text}${block}mac: ${createHmac('sha256', key).update(block).digest('hex')}\n`;
}

browserTest('a reply tells when the clock of the device is wrong, and it is said before the next request', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  const block = await signRestart(browser, 'nginx');
  const mac = /^mac: ([0-9a-f]{64})$/m.exec(block)[1];
  const request = createHash('sha256').update(Buffer.from(mac, 'hex')).digest('hex');
  const now = Math.floor(Date.now() / 1000);
  for (const [away, words] of [[3 * 3600 + 60, 'is behind by at least'], [-7260, 'is ahead by at least'], [0, null]]) {
    await browser.press('Check');
    await browser.paste('Text of the reply', reply(request, now + away));
    await browser.waitText('Genuine');
    for (const view of ['Check', 'Sign']) {
      if (words) await browser.waitText(`The clock of this device ${words}`);
      else assert.ok(!(await browser.text('main')).includes('The clock of this device'), view);
      await browser.press('Sign');
      await browser.waitText('Sign a request');
    }
  }
});

browserTest('a code that is about to end is said', async (open) => {
  const browser = await open({ profile: newProfile() });
  // The device's clock, as the page reads it: the seconds of a step pass as a test wants.
  await browser.cdp('Page.addScriptToEvaluateOnNewDocument', { source: 'window.at = 10; Date.now = () => (1795428900 + window.at) * 1000;' });
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  await browser.press('restart');
  await browser.waitText('The code changes in 20 s.');
  await browser.run('window.at = 26');
  await browser.waitText('The code is about to change. Wait for the next one.', '[role=status].ending');
  await browser.run('window.at = 31');
  await browser.waitText('The code changes in 29 s.');
  assert.equal(await browser.text('.ending'), '');
});

browserTest('hostile texts in the passphrase and in the search for a command are texts', async (open) => {
  for (let at = 0; at < 12; at += 1) gateway.write(`commands.d/c${at}.toml`, `summary = "Command ${at}"\nrun_as = "nobody"\nargv = ["/bin/true"]\n[allow.web]\n`);
  gateway.write('many.html', gateway.run('page', '--user', 'alice'));
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('many.html'));
  await browser.upload('input[type=file]', gateway.path('alice.key'));
  await browser.press('With a passphrase');
  for (const text of HOSTILE) {
    await browser.paste('Passphrase', text);
    await browser.paste('The same again', `${text}.`);
    await browser.click('main button.primary');
    await browser.until(text, () => browser.run('return [...document.querySelectorAll(".wrong")].some((one) => one.textContent !== "")'));
    assert.equal(await browser.run(ELEMENTS), 2, text);
  }
  const [passphrase] = HOSTILE;
  for (const label of ['Passphrase', 'The same again']) await browser.paste(label, passphrase);
  await browser.click('main button.primary');
  await browser.waitText('Sign a request');
  await browser.press('Key');
  await browser.press('Lock');
  for (const text of HOSTILE.filter((one) => one !== passphrase)) {
    await browser.paste('Passphrase', text);
    await browser.click('main button.primary');
    await browser.waitText('This is not the passphrase.');
    assert.equal(await browser.run(ELEMENTS), 2, text);
  }
  await browser.paste('Passphrase', passphrase);
  await browser.click('main button.primary');
  await browser.press('Sign');
  const shown = () => browser.run('return [...document.querySelectorAll("main .choice")].filter((one) => one.checkVisibility()).length');
  await browser.wait('main input[type=search]');
  assert.ok((await shown()) > 12);
  for (const text of HOSTILE) {
    await browser.paste('Find a command', text);
    // One command has such a summary.
    assert.equal(await shown(), text === '</script><script>alert(1)</script>' ? 1 : 0, text);
    assert.equal(await browser.run(ELEMENTS), 2, text);
  }
  await browser.paste('Find a command', 'COMMAND 11');
  assert.equal(await shown(), 1);
});
