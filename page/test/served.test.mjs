// The page where something is different: without a store, without data, inside a page, served, under a passkey, with a camera.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { notices } from './notices.mjs';
import { readQr, video } from './qr.mjs';
import { addKey, browserTest, fileUrl, gateway, newProfile, repository, serve, signRestart } from './stand.mjs';
import { HOSTILE, KINDS } from './steps.mjs';

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

browserTest('a violation of the policy is reported, and fails the test in which it happens', async (open) => {
  const browser = await open({ profile: newProfile() });
  await browser.go(fileUrl('alice.html'));
  await browser.waitText('Your key');
  await browser.assertQuiet();
  const violations = [
    'const image = new Image(); image.src = "http://127.0.0.1:9/x.png"; document.body.append(image);',
    'const style = document.createElement("style"); style.textContent = "p { color: red }"; document.head.append(style);',
    'const script = document.createElement("script"); document.head.append(script); try { script.textContent = "1"; } catch {}',
    'fetch("http://127.0.0.1:9/").catch(() => undefined);',
    'try { document.body.innerHTML = "<b>x</b>"; } catch {}',
  ];
  for (const violation of violations) {
    await browser.run(violation);
    await browser.until(violation, () => browser.assertQuiet().then(() => false, (error) => /Content Security Policy|TrustedHTML|TrustedScript/.test(error.message)));
  }
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

browserTest('from localhost: replies and notices are judged as from a file, and hostile texts are texts', async (open) => {
  mkdirSync(gateway.path('www'), { recursive: true });
  gateway.run('page', '--role', 'web', '--served', 'www');
  const { fresh, forged, altered, keyFile } = notices();
  gateway.write('carol.key', keyFile);
  gateway.write('berlin.key', readFileSync(repository('tests/replies/berlin.key'), 'utf8'));
  const server = await serve('www');
  try {
    const browser = await open({ profile: newProfile() });
    await browser.go(server.url);
    await addKey(browser, '', 'berlin.key');
    await browser.press('Check');
    for (const name of readdirSync(repository('tests/replies')).filter((one) => one.endsWith('.eml'))) {
      await browser.paste('Text of the reply', '');
      await browser.upload('.drop input[type=file]', repository(`tests/replies/${name}`));
      const kind = await browser.until(name, () => browser.run('return document.querySelector("[data-verdict]")?.dataset.verdict ?? null'));
      assert.equal(kind, KINDS[name.replace('.eml', '')] ?? 'warn', name);
    }
    await browser.press('Key');
    await browser.press('Delete the key');
    await browser.click('button.danger');
    await addKey(browser, '', 'carol.key');
    await browser.press('Approve');
    for (const [text, words] of [[forged, 'Not genuine'], [altered, 'Altered'], ...HOSTILE.map((one) => [one, 'Not genuine']), [fresh, 'alice asks for restart']]) {
      await browser.paste('Text of the notice', text);
      await browser.waitText(words);
    }
    await browser.press('Yes, run it');
    await browser.fill('Code from your authenticator', '123456');
    await browser.click('main button.primary');
    await browser.wait('[data-view=outcome]');
    assert.match(await browser.run('return document.querySelector("pre.block").textContent'), /^command: approve$/m);
    assert.ok(server.asked.every((line) => /^GET \/(?:|index\.html|manifest\.webmanifest|sw\.js|icon\.svg)$/.test(line)), server.asked.join('\n'));
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

browserTest('a QR code of the terminal is read by the camera, where the browser can', async (open) => {
  const shown = gateway.run('key', '--qr', '--key', 'alice.key');
  writeFileSync(gateway.path('camera.y4m'), video(shown));
  const camera = `--use-file-for-fake-video-capture=${gateway.path('camera.y4m')}`;
  const browser = await open({ profile: newProfile(), options: ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream', camera] });
  // Chromium on Linux has no BarcodeDetector. This one gives the camera's picture to zbar.
  const source = `window.BarcodeDetector = class { async detect(video) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    if (canvas.width > 0) canvas.getContext("2d").drawImage(video, 0, 0);
    window.picture = canvas.width > 0 ? canvas.toDataURL("image/png") : null;
    return window.read ? [{ rawValue: window.read }] : [];
  } };`;
  await browser.cdp('Page.addScriptToEvaluateOnNewDocument', { source });
  await browser.go(fileUrl('alice.html'));
  await browser.press('Scan QR code');
  const read = await browser.until('a QR code in the picture', async () => {
    const picture = await browser.run('return window.picture ?? null');
    if (!picture) return null;
    writeFileSync(gateway.path('picture.png'), Buffer.from(picture.split(',')[1], 'base64'));
    return readQr(gateway.path('picture.png'));
  });
  assert.equal(read.trim(), gateway.key.trim());
  await browser.run('window.read = arguments[0]', read);
  await browser.waitText(gateway.fingerprint);
  assert.equal(await browser.run('return document.querySelector("video")'), null, 'the camera is released');
  await browser.click('main button.primary');
  await browser.waitText('Sign a request');
});
