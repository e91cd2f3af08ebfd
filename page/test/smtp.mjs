// A mail server on loopback that takes each mail and keeps it.
import { createServer } from 'node:net';

export async function smtpServer() {
  const mails = [];
  const server = createServer((socket) => {
    let [rest, lines] = ['', null];
    const say = (text) => socket.write(`${text}\r\n`);
    say('220 test');
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      rest += data.toString('latin1');
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        if (lines) {
          if (line === '.') { mails.push(lines.join('\n') + '\n'); lines = null; say('250 taken'); } else lines.push(line.replace(/^\./, ''));
        } else if (/^DATA/i.test(line)) { lines = []; say('354 go on'); } else if (/^QUIT/i.test(line)) { say('221 bye'); socket.end(); } else say('250 test');
      }
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, mails, end: () => server.close() };
}
