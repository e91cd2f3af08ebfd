// Who can use the page: by keyboard alone, on a small screen, in each language and colour scheme, from right to left.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { notices } from './notices.mjs';
import { addKey, browserTest, fileUrl, gateway, newProfile } from './stand.mjs';

/** Controls without a name for a screen reader. */
const UNLABELLED = 'return [...document.querySelectorAll("input, select, textarea, button, a, summary")].filter((one) => one.checkVisibility() && !one.labels?.length && !one.getAttribute("aria-label") && !(one.matches("button, a, summary") && one.textContent.trim())).map((one) => one.outerHTML)';
/** In CSS pixels. A phone's browser makes its own window wider for a page that is wider, so this is not asked of the browser. */
const WIDTH = 320;
/** What is wider than the window. */
const WIDE = `return document.documentElement.scrollWidth > ${WIDTH} ? ["page", ...[...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().width > ${WIDTH}).map((one) => one.outerHTML.slice(0, 80))] : []`;
/** Texts whose contrast against what is behind them is below 4.5 to 1, and controls whose edge has less than 3 to 1 (WCAG 2.2, 1.4.3 and 1.4.11). */
const PALE = `
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((one) => one / 255).map((one) => one <= .04045 ? one / 12.92 : ((one + .055) / 1.055) ** 2.4).reduce((sum, one, at) => sum + one * [.2126, .7152, .0722][at], 0);
  const ground = (one) => { for (let at = one; at; at = at.parentElement) { const rgb = parse(getComputedStyle(at).backgroundColor); if (rgb.length < 4 || rgb[3] > 0) return rgb; } return [255, 255, 255]; };
  const ratio = (a, b) => (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  const shown = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility());
  const texts = shown.filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())).flatMap((one) => {
    const found = ratio(light(parse(getComputedStyle(one).color)), light(ground(one)));
    return found < 4.5 ? [one.tagName + " " + one.textContent.slice(0, 30) + " " + found.toFixed(2)] : [];
  });
  const edges = shown.filter((one) => one.matches("input:not([type=radio], .behind), select, textarea")).flatMap((one) => {
    const found = ratio(light(parse(getComputedStyle(one).borderTopColor)), light(ground(one.parentElement)));
    return found < 3 ? [one.outerHTML + " " + found.toFixed(2)] : [];
  });
  return [...texts, ...edges]`;
const LANGUAGES = ['en', 'de', 'fr', 'es'];
const GIVE = 'const [css, text] = arguments; const one = document.querySelector(css); one.value = text; one.dispatchEvent(new Event("input", { bubbles: true }))';

/** Each screen of the page, reached without a word of its language. */
const SCREENS = {
  'the commands': (browser) => browser.click('nav button:nth-child(1)'),
  'a form with what is wrong': async (browser) => {
    await browser.click('nav button:nth-child(1)');
    await browser.click('input[value=shout]');
    await browser.run(GIVE, 'main input.code', 'x');
    await browser.click('main button.primary');
    await browser.wait('.wrong:not(:empty)');
  },
  'another command': async (browser) => {
    await browser.click('nav button:nth-child(1)');
    await browser.click('input[value=""]');
    await browser.click('main button.primary');
    await browser.wait('.wrong:not(:empty)');
  },
  'a signed request': async (browser) => {
    await browser.click('nav button:nth-child(1)');
    await browser.click('input[value=shout]');
    await browser.run(GIVE, 'main .field input', 'a-value-without-any-blank-'.repeat(10));
    await browser.run(GIVE, 'main input.code', '123456');
    await browser.click('main button.primary');
    await browser.click('[data-view=outcome] summary');
  },
  'a notice': async (browser, { fresh }) => {
    await browser.click('nav button:nth-child(2)');
    await browser.run(GIVE, 'main textarea', fresh);
    await browser.click('input[value=deny]');
    await browser.click('main button.primary');
    await browser.wait('.wrong:not(:empty)');
  },
  'a forged reply': async (browser) => {
    await browser.click('nav button:nth-child(3)');
    await browser.run(GIVE, 'main textarea', 'x');
    await browser.wait('[data-verdict=bad]');
  },
  'a genuine text': async (browser, { fresh }) => {
    await browser.click('nav button:nth-child(3)');
    await browser.run(GIVE, 'main textarea', fresh);
    await browser.wait('[data-verdict=good]');
  },
  'a text with more': async (browser, { fresh }) => {
    await browser.click('nav button:nth-child(3)');
    await browser.run(GIVE, 'main textarea', `${fresh}more: ${'x'.repeat(300)}\n`);
    await browser.wait('[data-verdict=warn]');
  },
  'the key': async (browser) => {
    await browser.click('nav button:nth-child(4)');
    await browser.click('main .confirm button');
    await browser.wait('main button.danger');
  },
};

async function choose(browser, language) {
  await browser.run('const select = document.querySelector("footer select"); select.value = arguments[0]; select.dispatchEvent(new Event("change"))', language);
  await browser.until(language, () => browser.run('return document.documentElement.lang === arguments[0]', language));
}

/** Looks at what is on the screen, from left to right and from right to left, in light and dark. */
async function judge(browser, what) {
  assert.deepEqual(await browser.run(UNLABELLED), [], `${what}: no label`);
  assert.ok(!/\{[a-z]+\}|undefined/.test(await browser.text()), what);
  for (const direction of ['rtl', 'ltr']) {
    await browser.run('document.documentElement.dir = arguments[0]', direction);
    assert.deepEqual(await browser.run(WIDE), [], `${what}, ${direction}: wider than 320 pixels`);
  }
  for (const scheme of ['light', 'dark']) {
    await browser.cdp('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value: scheme }] });
    assert.deepEqual(await browser.run(PALE), [], `${what}, ${scheme}: contrast`);
  }
}

browserTest('at 320 pixels, in each language, in the dark, and from right to left', async (open) => {
  const notice = notices();
  gateway.write('carol.key', notice.keyFile);
  gateway.write('any.html', gateway.run('page', '--role', 'web'));
  const browser = await open({ profile: newProfile() });
  await browser.size(WIDTH, 640);
  await browser.go(fileUrl('any.html'));
  await browser.wait('main label.primary');
  for (const language of LANGUAGES) {
    await choose(browser, language);
    await judge(browser, `${language}, no key`);
    await browser.upload('input[type=file]', gateway.path('carol.key'));
    await browser.click('input[value=passphrase]');
    await browser.click('main button.primary');
    await browser.wait('.wrong:not(:empty)');
    await judge(browser, `${language}, a new key`);
    await browser.click('main .actions button:not(.primary)');
    await browser.wait('main label.primary');
  }
  await choose(browser, 'en');
  await addKey(browser, 'a long passphrase', 'carol.key');
  for (const language of LANGUAGES) {
    await choose(browser, language);
    for (const [what, reach] of Object.entries(SCREENS)) {
      await reach(browser, notice);
      await judge(browser, `${language}, ${what}`);
    }
  }
  await browser.go(fileUrl('any.html'));
  await browser.wait('main input[type=password]');
  await judge(browser, 'a locked key');
});

test('each language has all texts, with the same places for values', async () => {
  const { EN } = await import('../src/texts-en.js');
  const places = (text) => [...text.matchAll(/\{[a-z]+\}/g)].map(([place]) => place).sort();
  for (const name of ['DE', 'FR', 'ES']) {
    const texts = (await import(`../src/texts-${name.toLowerCase()}.js`))[name];
    assert.deepEqual(Object.keys(texts).sort(), Object.keys(EN).sort(), name);
    for (const [key, text] of Object.entries(texts)) {
      assert.deepEqual(places(text), places(EN[key]), `${name} ${key}`);
      assert.ok(text.trim() !== '' && (text !== EN[key] || text.length < 16), `${name} ${key} is not translated: ${text}`);
    }
  }
});

const [TAB, SPACE, ENTER, UP, DOWN] = ['\ue004', ' ', '\ue007', '\ue013', '\ue015'];

browserTest('by keyboard alone: add the key, sign, check, approve', async (open) => {
  const { fresh, keyFile } = notices();
  gateway.write('any.html', gateway.run('page', '--role', 'web'));
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('any.html'));
  await browser.waitText('Your key');
  const keys = (text) => browser.call('POST', '/actions', { actions: [{ type: 'key', id: 'k', actions: [...text].flatMap((value) => [{ type: 'keyDown', value }, { type: 'keyUp', value }]) }] });
  const FOCUSED = 'const one = document.activeElement; const style = getComputedStyle(one.matches(".behind") ? one.parentElement : one); return { words: (one.labels?.[0] ?? one).textContent.trim(), isMarked: style.outlineStyle !== "none" }';
  /** Goes on by Tab until what has the focus begins with `words`. What has it can be seen. */
  const reach = async (words) => {
    for (let at = 0; at < 40; at += 1) {
      await keys(TAB);
      const found = await browser.run(FOCUSED);
      assert.ok(found.isMarked || found.words === '' || (await browser.run('return document.activeElement === document.body')), `the focus on "${found.words}" cannot be seen`);
      if (found.words.startsWith(words)) return;
    }
    assert.fail(`"${words}" is not reached by Tab`);
  };
  await reach('Open key file');
  await reach('Paste it instead');
  await keys(ENTER);
  await reach('Text of the key file');
  await keys(keyFile.replace(/\n/g, ENTER));
  await reach('Use this key');
  await keys(SPACE);
  await browser.waitText('Fingerprint');
  await reach('Use this key');
  await keys(ENTER);
  await browser.waitText('Sign a request');

  await reach('load');
  await keys(SPACE + DOWN + DOWN + UP);
  await browser.waitText('service');
  assert.equal(await browser.run('return document.querySelector("input:checked").value'), 'restart');
  await reach('nginx');
  await keys(SPACE);
  await reach('Code from your authenticator');
  await keys(gateway.code() + ENTER);
  await browser.wait('[data-view=outcome]');
  assert.ok((await browser.run('return document.querySelector("pre.block").textContent')).includes('arg: service=nginx'));
  await reach('Open in mail program');
  await reach('Copy text');
  await keys(ENTER);
  await browser.waitText('Copied.');

  await reach('Check');
  await keys(ENTER);
  await browser.waitText('Check a reply');
  await reach('Text of the reply');
  await keys('nonsense');
  await browser.waitText('Not genuine');

  await browser.run('location.hash = arguments[0]', `mail=${encodeURIComponent(Buffer.from(fresh).toString('base64'))}`);
  await browser.waitText('alice asks for restart');
  await reach('Yes, run it');
  await keys(SPACE);
  await reach('Code from your authenticator');
  await keys(`123456${ENTER}`);
  await browser.wait('[data-view=outcome]');
  assert.match(await browser.run('return document.querySelector("pre.block").textContent'), /^command: approve$/m);
});
