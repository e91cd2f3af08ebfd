// Drives a browser by WebDriver (W3C), with nothing but node: Chromium through Debian's chromedriver. Every port is one that the
// system gives, on loopback; every process is ended by its id.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';
/** How long the browser has for what it does at once, in milliseconds. */
const PATIENCE = 20000;

/** A program that the tests need, or what to do about it. */
export function needed(program, packages) {
  if (!existsSync(program)) throw new Error(`${program} is missing: run tests/setup, or: apt-get install ${packages}`);
  return program;
}

/** The error of a command of WebDriver. */
export class DriverError extends Error {}

/** Chromium with a profile folder: a restart with the same folder is the same browser of the same user. */
export async function chromium({ profile, downloads = profile, options = [] }) {
  const driver = spawn(needed('/usr/bin/chromedriver', 'chromium chromium-driver'), ['--port=0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const port = await new Promise((resolve, reject) => {
    driver.once('exit', () => reject(new Error('chromedriver ended')));
    createInterface({ input: driver.stdout }).on('line', (line) => {
      const found = /started successfully on port (\d+)/.exec(line);
      if (found) resolve(found[1]);
    });
  });
  const call = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (value && value.error) throw new DriverError(`${value.error}: ${value.message}`);
    return value;
  };
  const args = ['--headless=new', '--no-first-run', '--disable-gpu', '--lang=en-GB', '--force-color-profile=srgb', `--user-data-dir=${profile}`, ...options];
  // Chromium's own sandbox does not work for root.
  if (process.getuid() === 0) args.push('--no-sandbox');
  const capabilities = {
    alwaysMatch: {
      browserName: 'chrome',
      'goog:loggingPrefs': { browser: 'ALL' },
      'goog:chromeOptions': { binary: needed('/usr/bin/chromium', 'chromium chromium-driver'), args, prefs: { 'download.default_directory': downloads, 'intl.accept_languages': 'en' } },
      unhandledPromptBehavior: 'dismiss',
    },
  };
  const { sessionId } = await call('POST', '/session', { capabilities });
  const browser = new Browser((method, path, body) => call(method, `/session/${sessionId}${path}`, body));
  browser.end = async () => {
    if (browser.isOver) return;
    browser.isOver = true;
    await call('DELETE', `/session/${sessionId}`).catch(() => undefined);
    driver.kill();
    await once(driver, 'exit');
  };
  return browser;
}

export class Browser {
  constructor(call) {
    this.call = call;
  }

  go(url) {
    return this.call('POST', '/url', { url });
  }

  /** Runs a function's body in the page. */
  run(script, ...args) {
    return this.call('POST', '/execute/sync', { script, args });
  }

  runAsync(script, ...args) {
    return this.call('POST', '/execute/async', { script, args });
  }

  async find(css) {
    const found = await this.call('POST', '/element', { using: 'css selector', value: css });
    return found[ELEMENT];
  }

  /** Asks again until `ask` gives something; fails with `what` after a while. */
  async until(what, ask) {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const found = await ask().catch((error) => {
        if (error instanceof DriverError) return undefined;
        throw error;
      });
      if (found) return found;
      if (Date.now() > end) throw new Error(`waited for ${what}; the page says:\n${await this.text()}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  wait(css) {
    return this.until(css, () => this.find(css));
  }

  /** The text that the page shows. */
  text(css = 'body') {
    return this.run('return document.querySelector(arguments[0])?.innerText ?? ""', css);
  }

  waitText(words, css = 'body') {
    return this.until(`"${words}" in ${css}`, async () => (await this.text(css)).includes(words));
  }

  async click(css) {
    const element = await this.wait(css);
    await this.call('POST', `/element/${element}/click`, {});
  }

  /** Clicks what has this text: a button, a link, a choice, a summary. */
  async press(words) {
    const script = `
      const all = [...document.querySelectorAll('button, a.button, label, summary')].filter((one) => one.checkVisibility());
      return all.find((one) => one.textContent.trim() === arguments[0]) ?? all.find((one) => one.textContent.includes(arguments[0])) ?? null`;
    const found = await this.until(words, () => this.run(script, words));
    await this.call('POST', `/element/${found[ELEMENT]}/click`, {});
  }

  async type(css, text) {
    const element = await this.wait(css);
    await this.call('POST', `/element/${element}/clear`, {});
    await this.call('POST', `/element/${element}/value`, { text });
  }

  /** The control with this label. */
  async labelled(words) {
    const script = 'const label = [...document.querySelectorAll("label")].find((one) => one.textContent === arguments[0] && one.control?.checkVisibility()); return label?.control ?? null';
    const found = await this.until(`the field "${words}"`, () => this.run(script, words));
    return found[ELEMENT];
  }

  async fill(label, text) {
    const element = await this.labelled(label);
    await this.call('POST', `/element/${element}/clear`, {});
    await this.call('POST', `/element/${element}/value`, { text });
  }

  /** As a paste does: all of it at once, and one input event. */
  async paste(label, text) {
    await this.run('arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event("input", { bubbles: true }))', { [ELEMENT]: await this.labelled(label) }, text);
  }

  async upload(css, path) {
    const element = await this.wait(css);
    await this.call('POST', `/element/${element}/value`, { text: path });
  }

  /** A PNG of the window at a size, as a file. */
  async screenshot(path, width, height) {
    await this.size(width, height);
    writeFileSync(path, Buffer.from(await this.call('GET', '/screenshot'), 'base64'));
  }

  async size(width, height) {
    const metrics = { width, height, deviceScaleFactor: 1, mobile: width < 600 };
    await this.call('POST', '/goog/cdp/execute', { cmd: 'Emulation.setDeviceMetricsOverride', params: metrics });
  }

  cdp(cmd, params = {}) {
    return this.call('POST', '/goog/cdp/execute', { cmd, params });
  }

  /** Fails if the browser has reported anything, such as a violation of the page's policy. What it says of its own pages is left out. */
  async assertQuiet() {
    if (this.isOver) return;
    const log = await this.call('POST', '/se/log', { type: 'browser' });
    assert.deepEqual(log.map(({ message }) => message).filter((message) => !message.startsWith('chrome://')), []);
  }
}
