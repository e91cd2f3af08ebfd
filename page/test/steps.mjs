// What a user does on the page, in any browser.

/** Texts that would do harm where a text became HTML, code or an address. */
export const HOSTILE = ['<img src=x onerror=alert(1)>', '"><script>alert(1)</script>', '</script><script>alert(1)</script>', '\u{202e}gnp.exe', 'javascript:alert(1)', '{{7*7}}${7*7}', "' onfocus='alert(1)", 'a\u{0}b', '\u{1f600}'.repeat(50), 'x'.repeat(5000)];

/** What the replies of tests/replies are; the others are genuine with something more. */
export const KINDS = { genuine: 'good', wrapped: 'good', 'quoted-printable': 'good', base64: 'good', flowed: 'good', 'html-of-the-same': 'good', 'text-altered': 'bad', 'content-type-twice': 'bad' };

/** Adds the key file by the file picker, and gives the fingerprint that the page shows. */
export async function addKey(browser, gateway, passphrase = '', name = 'alice.key') {
  await browser.waitText('Your key');
  await browser.upload('input[type=file]', gateway.path(name));
  await browser.waitText('Fingerprint');
  const shown = /[0-9a-f]{4}( [0-9a-f]{4}){3}/.exec(await browser.text('dl'))[0];
  if (passphrase) {
    await browser.press('With a passphrase');
    await browser.fill('Passphrase', passphrase);
    await browser.fill('The same again', passphrase);
  }
  await browser.click('main button.primary');
  await browser.waitText('Sign a request');
  return shown;
}

/** Signs, and gives the block. */
export async function signRestart(browser, gateway, service) {
  await browser.press('restart');
  await browser.press(service);
  await browser.fill('Code from your authenticator', gateway.code());
  await browser.click('main button.primary');
  await browser.wait('[data-view=outcome]');
  return browser.run('return document.querySelector("pre.block").textContent');
}
