// A throw-away gateway, made with the built program: berlin, with alice (role web).
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { totp } from './totp.mjs';

const program = process.env.MAILSUDO ?? fileURLToPath(new URL('../../target/debug/mailsudo', import.meta.url));

export class Gateway {
  constructor() {
    if (!existsSync(program)) throw new Error(`${program} is missing: cargo build, or name it in MAILSUDO`);
    this.folder = mkdtempSync(join(tmpdir(), 'mailsudo-page-'));
    for (const [name, mode] of [['users.d', 0o755], ['commands.d', 0o755], ['secrets.d', 0o700], ['ledger', 0o700], ['downloads', 0o700]]) mkdirSync(this.path(name), { mode });
    this.write('mailsudo.toml', `gateway = "berlin"\naddress = "ops@example.com"\n[execution]\nrun_via = "direct"\n[ledger]\nurl = "sqlite:${this.folder}/ledger/ledger.db"\n[syslog]\nto = "stderr"\n`);
    this.write('commands.d/restart.toml', 'summary = "Restart a web service"\nrun_as = "nobody"\nargv = ["/bin/echo", "restarted", "{service}", "{level}"]\n[parameters.service]\none_of = ["nginx", "php-fpm", "mysql"]\n[parameters.level]\ninteger = { min = 1, max = 9 }\ndefault = 3\n[allow.web]\nservice = ["nginx", "php-fpm"]\n[allow.oncall]\n');
    this.write('commands.d/say.toml', 'summary = "Say it </script><script>alert(1)</script> & <b>loud</b>"\nrun_as = "nobody"\nargv = ["/bin/echo", "heard: {what}"]\n[parameters.what]\npattern = "^[a-z]+$"\nmax_length = 20\n[allow.web]\n');
    this.write('commands.d/shout.toml', 'summary = "Any text"\nrun_as = "nobody"\nargv = ["/bin/echo", "heard: {what}"]\n[parameters.what]\npattern = "^.+$"\nmax_length = 2000\n[allow.web]\n');
    this.write('commands.d/load.toml', 'summary = "Load a list"\nrun_as = "nobody"\nargv = ["/usr/bin/sha256sum"]\n[payload]\nrequired = true\nmax = "1KiB"\n[allow.web]\n');
    this.write('commands.d/secret.toml', 'summary = "Not for alice"\nrun_as = "nobody"\nargv = ["/bin/true"]\n[allow.oncall]\n');
    this.write('commands.d/wipe.toml', 'summary = "Wipe a disk"\nrun_as = "nobody"\nargv = ["/bin/echo", "wiped", "{disk}"]\n[parameters.disk]\none_of = ["sda", "sdb"]\n[approval]\nby = ["carol"]\nreason = true\n[allow.web]\n');
    this.run('user', 'add', 'carol', '--address', 'carol@example.com', '--key-file', 'carol-2.key');
    const said = this.run('user', 'add', 'alice', '--address', 'alice@example.com', '--role', 'web', '--key-file', 'alice.key', '--page', 'alice.html');
    this.secret = /secret=([A-Z2-7]+)/.exec(said)[1];
    this.key = readFileSync(this.path('alice.key'), 'utf8');
    this.fingerprint = /fingerprint ([0-9a-f ]{19})/.exec(said)[1];
  }

  path(name) {
    return join(this.folder, name);
  }

  write(name, content) {
    writeFileSync(this.path(name), content);
    chmodSync(this.path(name), 0o644);
  }

  run(...words) {
    return execFileSync(program, [...words, '--config', '.'], { cwd: this.folder, encoding: 'utf8' });
  }

  /** What a delivery of `mail` logs, and the reply. */
  deliver(mail) {
    const { stdout, stderr, status } = spawnSync(program, ['deliver', '--config', '.'], { cwd: this.folder, input: mail, encoding: 'utf8' });
    return { reply: stdout, log: stderr, status };
  }

  /** The code at this moment. */
  code(time = Date.now() / 1000) {
    return totp(this.secret, time);
  }

  /** Begins with an empty ledger. */
  forget() {
    rmSync(this.path('ledger'), { recursive: true });
    mkdirSync(this.path('ledger'), { mode: 0o700 });
  }

  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
