// What the page hands out, in Thunderbird, as a user does it: the mail link and the saved mail open as drafts, are sent, and run. `make
// soak`. docs/page.md has what was found.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { webcrypto } from 'node:crypto';
import { needed } from './browser.mjs';
import { marionette } from './firefox.mjs';
import { Gateway } from './gateway.mjs';
import { smtpServer } from './smtp.mjs';

globalThis.crypto ??= webcrypto;

const { hex, sha256 } = await import('../src/bytes.js');
const { importKey, readKeyFile } = await import('../src/keyfile.js');
const { mailtoLink, messageBytes } = await import('../src/outgoing.js');
const { signRequest } = await import('../src/request.js');

/** How long Thunderbird has for what it does at once, in milliseconds. */
const PATIENCE = 60000;

/** @type {Gateway} */
let gateway;
before(() => {
  gateway = new Gateway();
});
after(() => gateway?.remove());

/** What Thunderbird sends of a draft that it opens from its command line: a link or a file. `isHtml`: it writes HTML, as it does at first. */
async function sent(what, isHtml) {
  const server = await smtpServer();
  const names = { 'mail.accountmanager': { accounts: 'account1', defaultaccount: 'account1' }, 'mail.account.account1': { identities: 'id1', server: 'server1' },
    'mail.server.server1': { type: 'pop3', hostname: '127.0.0.1', userName: 'alice', login_at_startup: false, check_new_mail: false },
    'mail.identity.id1': { useremail: 'alice@example.com', fullName: 'Alice', smtpServer: 'smtp1', compose_html: isHtml, valid: true, fcc: false },
    'mail.smtpserver.smtp1': { hostname: '127.0.0.1', port: server.port, authMethod: 1, try_ssl: 0 },
    mail: { smtpservers: 'smtp1', 'smtp.defaultserver': 'smtp1', 'provider.suppress_dialog_on_startup': true, 'shell.checkDefaultClient': false, 'rights.version': 1 },
    mailnews: { 'start_page.enabled': false } };
  const prefs = Object.fromEntries(Object.entries(names).flatMap(([above, below]) => Object.entries(below).map(([name, value]) => [`${above}.${name}`, value])));
  const profile = gateway.path(`thunderbird-${server.port}`);
  const { program, call } = await marionette(needed('/usr/bin/thunderbird', 'thunderbird'), profile, prefs, [what]);
  try {
    await call('Marionette:SetContext', { value: 'chrome' });
    const run = async (script) => (await call('WebDriver:ExecuteScript', { script, args: [] })).value;
    const until = async (words, ask) => {
      for (const end = Date.now() + PATIENCE; ; ) {
        const found = await ask();
        if (found) return found;
        if (Date.now() > end) throw new Error(`waited for ${words}: ${JSON.stringify(await run('return [...Services.wm.getEnumerator(null)].map((one) => one.document.documentURI)'))}`);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
    };
    const draft = await until('a draft', () => run(`const draft = Services.wm.getMostRecentWindow('msgcompose');
      const text = draft?.gMsgCompose && draft.GetCurrentEditor?.()?.outputToString('text/plain', 4);
      return text?.includes('mac:') ? { text, to: draft.gMsgCompose.compFields.to, isHtml: draft.gMsgCompose.composeHTML, files: draft.document.getElementById('attachmentBucket').itemCount } : null`));
    await run("Services.wm.getMostRecentWindow('msgcompose').goDoCommand('cmd_sendNow')");
    const mail = await until('a sent mail', async () => server.mails[0]);
    return { draft, mail };
  } finally {
    const ended = once(program, 'exit');
    await call('Marionette:Quit', { flags: ['eForceQuit'] }).catch(() => program.kill());
    await ended;
    server.end();
  }
}

async function signed(command, args, file = null) {
  gateway.forget();
  const { gateway: name, user, raw } = readKeyFile(gateway.key);
  const time = Math.floor(Date.now() / 1000);
  const payload = file && hex(await sha256(file));
  return { time, ...(await signRequest({ gateway: name, user, time, code: gateway.code(time), command, args, payload }, await importKey(raw))) };
}

for (const isHtml of [true, false]) {
  const kind = isHtml ? 'HTML' : 'plain text';
  test(`a mail link opens as a draft in Thunderbird, is sent as it writes ${kind}, and runs`, async () => {
    const { block } = await signed('restart', [['level', '3'], ['service', 'nginx']]);
    const { draft, mail } = await sent(mailtoLink('ops@example.com', 'mailsudo request', block), isHtml);
    assert.deepEqual([draft.to, draft.isHtml], ['ops@example.com', isHtml]);
    const { reply, log } = gateway.deliver(mail);
    assert.match(reply, /^restarted nginx 3$/m, `${log}\n${mail}`);
  });

  test(`a saved mail opens as a draft in Thunderbird, with its file, is sent as it writes ${kind}, and runs`, async () => {
    const bytes = Buffer.from('table inet x {\r\n}\n');
    const { block, time } = await signed('load', [], bytes);
    const path = gateway.path('request.eml');
    writeFileSync(path, messageBytes({ to: 'ops@example.com', from: 'alice@example.com', subject: 'mailsudo request', time, block, attachment: { name: 'rules.nft', bytes } }));
    const { draft, mail } = await sent(path, isHtml);
    assert.deepEqual([draft.to, draft.files], ['ops@example.com', 1]);
    const { reply, log } = gateway.deliver(mail);
    assert.ok(reply.includes(hex(await sha256(bytes))) && /^ok: load/m.test(reply), `${log}\n${mail}\n${reply}\n${readFileSync(path)}`);
  });
}
