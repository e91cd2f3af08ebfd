// The page where something is different: without a store, without data, inside a page, served, under a passkey, with a camera.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { addKey, browserTest, fileUrl, gateway, newProfile, repository, serve, signRestart } from './stand.mjs';

browserTest('where a page may keep nothing, it says so and works as long as it is open', async (open) => {
  const browser = await open({ profile: newProfile() });
  // As in browsers that give a file no store: a page from a data: address has none.
  await browser.go('about:blank');
  await browser.cdp('Page.addScriptToEvaluateOnNewDocument', { source: 'Object.defineProperty(window, "indexedDB", { get() { throw new DOMException("no", "SecurityError"); } });' });
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('until this page is closed');
  await addKey(browser);
  assert.match(await signRestart(browser, 'nginx'), /^mailsudo: 1\n/);
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('First, add the key file');
});

browserTest('a page without data, and a page inside another one, do nothing', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(`file://${repository('page/built.html')}`);
  await browser.waitText('This file belongs to no gateway.');
  gateway.write('frame.html', '<!doctype html><iframe src="alice.html"></iframe>');
  await browser.go(fileUrl('frame.html'));
  await browser.call('POST', '/frame', { id: 0 });
  await browser.waitText('This page does not work inside another page.');
});

browserTest('served on localhost: installs, opens without the network, takes a shared mail, and the server learns nothing of it', async (open) => {
  mkdirSync(gateway.path('www'), { recursive: true });
  gateway.run('page', '--user', 'alice', '--served', 'www');
  gateway.write('www/share.html', '<!doctype html><form method=post action=share enctype=multipart/form-data><textarea name=text></textarea><button>go</button></form>');
  const server = await serve('www');
  const profile = newProfile();
  try {
    let browser = await open({ profile });
    await browser.go(server.url);
    await addKey(browser);
    await browser.until('the service worker', () => browser.run('return navigator.serviceWorker.controller !== null'));
    const { errors } = await browser.cdp('Page.getAppManifest');
    assert.deepEqual(errors, []);
    const reply = readFileSync(repository('tests/replies/text-altered.eml'), 'utf8');
    const before = server.asked.length;
    await browser.run('location.href = "share.html"');
    await browser.end();
    // Without a server the installed page opens, signs and takes a mail.
    server.end();
    browser = await open({ profile });
    await browser.go(server.url);
    await browser.waitText('Sign a request');
    assert.match(await signRestart(browser, 'nginx'), /^mailsudo: 1\n/);
    assert.deepEqual(server.asked.slice(before).filter((line) => /POST|mail=/.test(line)), []);
    // As the share sheet does it: a form that no page of this server has.
    const form = `<form method=post action="${server.url}share" enctype="multipart/form-data"><textarea name=text></textarea></form>`;
    await browser.go('data:text/html,' + encodeURIComponent(form));
    await browser.run('document.querySelector("textarea").value = arguments[0]; document.querySelector("form").submit()', reply);
    await browser.waitText('Check a reply');
    await browser.wait('[data-verdict]');
    assert.equal(await browser.run('return location.pathname + location.search + location.hash'), '/');
  } finally {
    server.end();
  }
});

browserTest('a key under a passkey opens with the device only', async (open) => {
  mkdirSync(gateway.path('www'), { recursive: true });
  gateway.run('page', '--user', 'alice', '--served', 'www');
  const server = await serve('www');
  try {
    const browser = await open({ profile: newProfile() });
    await browser.cdp('WebAuthn.enable');
    const options = { protocol: 'ctap2', ctap2Version: 'ctap2_1', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, hasPrf: true, automaticPresenceSimulation: true };
    const { authenticatorId } = await browser.cdp('WebAuthn.addVirtualAuthenticator', { options });
    await browser.go(server.url);
    await browser.waitText('Your key');
    await browser.upload('input[type=file]', gateway.path('alice.key'));
    await browser.press('With the lock of this device');
    await browser.click('main button.primary');
    await browser.waitText('Sign a request');
    await browser.go(`${server.url}?again`);
    await browser.waitText('Unlock the key');
    await browser.click('main button.primary');
    await browser.waitText('Sign a request');
    assert.match(await signRestart(browser, 'nginx'), /^mailsudo: 1\n/);
    await browser.press('Key');
    await browser.press('Lock');
    await browser.cdp('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    await browser.click('main button.primary');
    await browser.waitText('has no passkey that can protect the key');
  } finally {
    server.end();
  }
});

browserTest('a QR code is read by the camera, where the browser can', async (open) => {
  const browser = await open({ profile: newProfile(), options: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'] });
  // Chromium on Linux has no BarcodeDetector: this one finds the key file in the third picture.
  const source = `let looks = 0; window.BarcodeDetector = class { async detect(video) { looks += 1; return video.videoWidth > 0 && looks > 2 ? [{ rawValue: ${JSON.stringify(gateway.key)} }] : []; } };`;
  await browser.cdp('Page.addScriptToEvaluateOnNewDocument', { source });
  await browser.go(fileUrl('alice.html'));
  await browser.press('Scan QR code');
  await browser.waitText(gateway.fingerprint);
  await browser.click('main button.primary');
  await browser.waitText('Sign a request');
});
