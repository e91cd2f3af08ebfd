// Drives Firefox, and Thunderbird, by Marionette, their own remote protocol, which geckodriver translates to: Debian has no geckodriver, and npm's package
// downloads one. In and out: as Browser in browser.mjs.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Browser, DriverError, needed } from './browser.mjs';

/** How long a program has to start, in milliseconds. */
const PATIENCE = 60000;

/** The commands of Marionette for those of WebDriver (remote/marionette/driver.sys.mjs in Firefox). */
const COMMANDS = [
  [/^\/url$/, 'Navigate'],
  [/^\/execute\/sync$/, 'ExecuteScript'],
  [/^\/execute\/async$/, 'ExecuteAsyncScript'],
  [/^\/element$/, 'FindElement'],
  [/^\/element\/(.*)\/click$/, 'ElementClick'],
  [/^\/element\/(.*)\/clear$/, 'ElementClear'],
  [/^\/element\/(.*)\/value$/, 'ElementSendKeys'],
];

/** Firefox with a profile folder. */
export async function firefox({ profile }) {
  const prefs = { 'browser.shell.checkDefaultBrowser': false, 'intl.accept_languages': 'en' };
  const { program, call } = await marionette(needed('/usr/bin/firefox-esr', 'firefox-esr'), profile, prefs);
  const browser = new Browser(async (method, path, body) => {
    for (const [form, name] of COMMANDS) {
      const found = form.exec(path);
      if (found) return (await call(`WebDriver:${name}`, { ...body, ...(found[1] ? { id: found[1] } : {}) })).value;
    }
    throw new Error(`${method} ${path} has no command here`);
  });
  // What Firefox itself noted: a violation of the page's policy is among it.
  browser.assertQuiet = async () => {
    if (browser.isOver) return;
    await call('Marionette:SetContext', { value: 'chrome' });
    const script = 'return Services.console.getMessageArray().map((one) => one.message ?? String(one)).filter((one) => /Content-Security-Policy|built\\.html|\\.html/.test(one))';
    const { value } = await call('WebDriver:ExecuteScript', { script, args: [] });
    await call('Marionette:SetContext', { value: 'content' });
    assert.deepEqual(value, []);
  };
  browser.end = async () => {
    if (browser.isOver) return;
    browser.isOver = true;
    const ended = once(program, 'exit');
    await call('Marionette:Quit', { flags: ['eForceQuit'] }).catch(() => program.kill());
    await ended;
  };
  return browser;
}

/** Starts a program of Mozilla's with a profile folder, and has a session with it. */
export async function marionette(path, profile, prefs, words = []) {
  if (!existsSync(profile)) mkdirSync(profile);
  const port = join(profile, 'MarionetteActivePort');
  writeFileSync(port, '');
  const lines = Object.entries({ 'marionette.port': 0, 'app.update.auto': false, 'datareporting.policy.dataSubmissionEnabled': false, ...prefs });
  writeFileSync(join(profile, 'user.js'), lines.map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});\n`).join(''));
  const options = ['--headless', '--no-remote', '--marionette', '--remote-allow-system-access', '--profile', profile, ...words];
  const program = spawn(path, options, { stdio: 'ignore', env: { ...process.env, HOME: profile } });
  const end = Date.now() + PATIENCE;
  while (!/^\d+/.test(readFileSync(port, 'utf8'))) {
    if (Date.now() > end || program.exitCode !== null) throw new Error(`${path} does not start`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const call = await session(Number(readFileSync(port, 'utf8')));
  await call('WebDriver:NewSession', { capabilities: { alwaysMatch: { unhandledPromptBehavior: 'dismiss' } } });
  return { program, call };
}

/** A connection: messages are JSON behind their length in bytes and a colon. */
async function session(port) {
  const socket = connect(port, '127.0.0.1');
  const waiting = new Map();
  let [id, bytes] = [0, Buffer.alloc(0)];
  const greeted = new Promise((resolve) => waiting.set('hello', resolve));
  socket.on('data', (more) => {
    bytes = Buffer.concat([bytes, more]);
    for (let colon = bytes.indexOf(':'); colon > 0; colon = bytes.indexOf(':')) {
      const size = Number(bytes.subarray(0, colon));
      if (bytes.length < colon + 1 + size) return;
      const message = JSON.parse(bytes.subarray(colon + 1, colon + 1 + size));
      bytes = bytes.subarray(colon + 1 + size);
      waiting.get(Array.isArray(message) ? message[1] : 'hello')?.(message);
    }
  });
  socket.on('error', () => undefined);
  socket.on('close', () => waiting.forEach((answer) => answer([1, 0, { error: 'closed', message: 'Firefox ended' }])));
  await greeted;
  return (name, parameters) => new Promise((resolve, reject) => {
    id += 1;
    const own = id;
    waiting.set(own, ([, , error, result]) => waiting.delete(own) && (error ? reject(new DriverError(`${error.error}: ${error.message}`)) : resolve(result ?? {})));
    const text = JSON.stringify([0, id, name, parameters]);
    socket.write(`${Buffer.byteLength(text)}:${text}`);
  });
}
