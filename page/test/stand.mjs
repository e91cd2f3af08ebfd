// What the browser tests stand on: a gateway that the built program makes, browsers that are ended, a web server on loopback. A
// violation of the page's policy, or anything else that the browser reports, fails the test. Set MAILSUDO_PICTURES to write docs/images.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from './browser.mjs';
import { Gateway } from './gateway.mjs';
import { serveFolder } from './serve.mjs';
import { addKey as addKeyOf, signRestart as signRestartAt } from './steps.mjs';

export const repository = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));

/** @type {Gateway} */
export let gateway;
before(() => {
  gateway = new Gateway();
});
after(() => gateway?.remove());

let profiles = 0;
export const newProfile = () => gateway.path(`profile-${(profiles += 1)}`);
export const fileUrl = (name) => `file://${gateway.path(name)}`;

/** A test with browsers, which are ended however it ends. */
export function browserTest(name, steps) {
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

export const addKey = (browser, passphrase = '', name = 'alice.key') => addKeyOf(browser, gateway, passphrase, name);

export const signRestart = (browser, service) => signRestartAt(browser, gateway, service);

export const serve = (folder) => serveFolder(gateway.path(folder));

/** The mail that the page saves. */
export async function savedMail(browser, block) {
  const id = createHash('sha256').update(Buffer.from(/mac: ([0-9a-f]{64})/.exec(block)[1], 'hex')).digest('hex').slice(0, 12);
  await browser.press('Save mail (.eml)');
  const path = gateway.path(`downloads/mailsudo-${id}.eml`);
  return browser.until(path, async () => existsSync(path) && readFileSync(path, 'latin1'));
}

/** Pictures of the page as it is, at the size of a phone and of a desktop. */
export async function pictures(browser, name) {
  mkdirSync(repository('docs/images'), { recursive: true });
  await browser.run('scrollTo(0, 0)');
  await browser.screenshot(repository(`docs/images/page-${name}-phone.png`), 390, 844);
  await browser.screenshot(repository(`docs/images/page-${name}-desktop.png`), 1000, 800);
}
