// A web server of static files on loopback, which notes what it is asked.
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

/** Serves a folder on loopback. */
export async function serveFolder(folder) {
  const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', webmanifest: 'application/manifest+json', svg: 'image/svg+xml' };
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    const name = request.url.split('?')[0].replace(/\/$/, '/index.html').slice(1);
    const path = join(folder, name);
    if (!/^[a-z.-]+$/i.test(name) || !existsSync(path)) return response.writeHead(404).end();
    return response.writeHead(200, { 'content-type': types[name.split('.').pop()] ?? 'text/plain' }).end(readFileSync(path));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://localhost:${server.address().port}/`, asked, end: () => { server.closeAllConnections?.(); server.close(); } };
}
