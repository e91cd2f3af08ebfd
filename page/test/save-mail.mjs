// save-mail.mjs PAGE KEY PHONE FOLDER COMMAND [FIELD=VALUE...] [@FILE] - opens a page in Chromium, adds the key, fills in the form of a command,
// saves the mail into FOLDER, and prints its path. PHONE is a file with the otpauth URL. With --approve NOTICE in the place of COMMAND
// it answers a notice with yes. tests/system/approval.rs sends these mails through Postfix.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { chromium } from './browser.mjs';
import { addKey } from './steps.mjs';
import { totp } from './totp.mjs';

const [page, key, phone, folder, command, ...values] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const code = () => totp(/secret=([A-Z2-7]+)/.exec(readFileSync(phone, 'utf8'))[1], Date.now() / 1000);
const options = ['--disable-dev-shm-usage'];
const browser = await chromium({ profile: `${folder}/profile-${process.pid}`, downloads: folder, options });
try {
  await browser.go(`file://${page}`);
  await addKey(browser, { path: (name) => name }, '', key);
  if (command === '--approve') {
    await browser.press('Approve');
    await browser.paste('Text of the notice', readFileSync(values[0], 'utf8'));
    await browser.press('Yes, run it');
  } else {
    await browser.press(command);
    for (const file of values.filter((value) => value.startsWith('@'))) await browser.upload('main input[type=file]', file.slice(1));
    for (const value of values.filter((one) => !one.startsWith('@'))) await browser.fill(value.slice(0, value.indexOf('=')), value.slice(value.indexOf('=') + 1));
  }
  await browser.fill('Code from your authenticator', code());
  await browser.click('main button.primary');
  await browser.wait('[data-view=outcome]');
  const block = await browser.run('return document.querySelector("pre.block").textContent');
  const id = createHash('sha256').update(Buffer.from(/mac: ([0-9a-f]{64})/.exec(block)[1], 'hex')).digest('hex').slice(0, 12);
  await browser.press('Save mail (.eml)');
  const path = `${folder}/mailsudo-${id}.eml`;
  await browser.until(path, async () => existsSync(path));
  await browser.assertQuiet();
  process.stdout.write(`${path}\n`);
} finally {
  await browser.end();
}
