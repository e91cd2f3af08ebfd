// The committed page is what its source makes, always the same, small, and has no way to make HTML of a text.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { build } from '../build.mjs';

const read = (name) => readFileSync(new URL(name, import.meta.url), 'utf8');
const committed = read('../built.html');
const sources = readdirSync(new URL('../src', import.meta.url)).map((name) => [name, read(`../src/${name}`)]);

test('two builds are equal, and equal to the committed page (`make page` writes it)', () => {
  assert.equal(build(), build());
  assert.ok(build() === committed, 'page/built.html is not what page/ makes: run `make page` and commit it');
});

test('the page is below 100 KiB', () => {
  assert.ok(Buffer.byteLength(committed) < 100 * 1024, `${Buffer.byteLength(committed)} bytes`);
});

test('the policy has the hashes of the script and the style, and lets nothing else in or out', () => {
  const policy = /Content-Security-Policy" content="([^"]*)"/.exec(committed)[1];
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const inner = (tag) => new RegExp(`<${tag}>([^]*?)</`).exec(committed)[1];
  assert.ok(policy.includes(`script-src ${hash(inner('script type="module"'))};`));
  assert.ok(policy.includes(`style-src ${hash(inner('style'))};`));
  for (const part of ["default-src 'none'", "connect-src 'none'", "form-action 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"]) assert.ok(policy.includes(part), part);
  assert.ok(!/unsafe|http|\*/.test(policy), policy);
});

test('no text becomes HTML or code, and nothing calls the network', () => {
  const banned = /\b(innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|setHTML|DOMParser|parseFromString|createContextualFragment|document\.write|srcdoc|fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|localStorage|sessionStorage)\b|\beval\(|\bFunction\(|setTimeout\(['"`]|javascript:|\bon[a-z]+="/;
  for (const [name, text] of sources) {
    text.split('\n').forEach((line, at) => assert.ok(!banned.test(line), `src/${name}:${at + 1}: ${line.trim()}`));
  }
  assert.ok(!/https?:\/\//.test(committed), 'no address of the network is in the page');
  assert.ok(sources.length > 15, 'the sources are found');
});

test('the style has no side that would be wrong from right to left', () => {
  const banned = /(?:^|[\s;{])(?:(?:margin|padding|border)-(?:left|right|top|bottom)|left|right|width|height|max-width|min-width|text-align: (?:left|right))\s*[:;]/;
  read('../style.css').split('\n').forEach((line, at) => {
    if (!line.startsWith('@media')) assert.ok(!banned.test(line), `style.css:${at + 1}: ${line.trim()}`);
  });
});
