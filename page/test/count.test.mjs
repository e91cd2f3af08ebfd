// How many taps and fields it takes: docs/page.md has these numbers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { notices } from './notices.mjs';
import { addKey, browserTest, fileUrl, gateway, newProfile, repository } from './stand.mjs';

/** The one button or link of a screen that goes on. */
const ON = 'main .primary';

/** Counts what a user does. `steps` gets the functions that stand for a tap, on a text or on what goes on, and for a field. */
async function counted(browser, steps) {
  const done = { taps: 0, fields: 0 };
  const tap = async (words) => {
    done.taps += 1;
    await (words === ON ? browser.click(words) : browser.press(words));
  };
  const fill = async (label, text) => {
    done.fields += 1;
    await browser.fill(label, text);
  };
  await steps(tap, fill);
  return done;
}

const CODE = 'Code from your authenticator';

browserTest('a request and an approval take as many taps and fields as docs/page.md says', async (open) => {
  const { fresh, keyFile } = notices();
  gateway.write('carol.key', keyFile);
  gateway.write('carol.html', gateway.run('page', '--user', 'carol'));
  const browser = await open({ profile: newProfile() });
  await browser.size(390, 844);
  await browser.go(fileUrl('alice.html'));
  await addKey(browser);
  const found = {};
  // From the open page to the draft in the mail program. A tap on the link is counted, and the link is not followed.
  const mail = async (tap) => {
    await browser.wait('main a.primary');
    await browser.run('document.querySelector("main a.primary").addEventListener("click", (event) => event.preventDefault())');
    await tap(ON);
  };
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('Sign a request');
  found['a request without values (`status`)'] = await counted(browser, async (tap, fill) => {
    await tap('status');
    await fill(CODE, gateway.code());
    await tap(ON);
    await mail(tap);
  });
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('Sign a request');
  found['a request with one choice (`restart service=nginx`)'] = await counted(browser, async (tap, fill) => {
    await tap('restart');
    await tap('nginx');
    await fill(CODE, gateway.code());
    await tap(ON);
    await mail(tap);
  });
  await browser.go(fileUrl('carol.html'));
  await addKey(browser, '', 'carol.key');
  await browser.go(`${fileUrl('carol.html')}?shared#mail=${encodeURIComponent(Buffer.from(fresh).toString('base64'))}`);
  const answer = async (tap, fill) => {
    await tap('Yes, run it');
    await fill(CODE, gateway.code());
    await tap(ON);
    await mail(tap);
  };
  await browser.waitText('alice asks for restart');
  found['an approval of a notice that was shared to the page'] = await counted(browser, answer);
  await browser.go(fileUrl('carol.html'));
  await browser.waitText('Sign a request');
  found['an approval of a notice that is pasted'] = await counted(browser, async (tap, fill) => {
    await tap('Approve');
    await fill('Text of the notice', ' ');
    await browser.paste('Text of the notice', fresh);
    await browser.waitText('alice asks for restart');
    await answer(tap, fill);
  });
  const docs = readFileSync(repository('docs/page.md'), 'utf8');
  const rows = Object.entries(found).map(([what, { taps, fields }]) => `| ${what} | ${taps} | ${fields} |`);
  assert.deepEqual(rows.filter((row) => !docs.includes(row)), [], 'docs/page.md has other numbers');
});
