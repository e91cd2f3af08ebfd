// The service worker of a served page: the page opens without the network, and takes a shared mail without telling the server.
// `mailsudo page --served` puts a hash of the page in the place of the version; a new page is stored beside the old one, then used.
const VERSION = '@VERSION@';
const FILES = ['./', './manifest.webmanifest', './icon.svg'];

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  const stale = (names) => Promise.all(names.filter((name) => name !== VERSION).map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(stale).then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  const isShare = request.method === 'POST' && new URL(request.url).pathname.endsWith('/share');
  if (isShare) event.respondWith(shared(request));
  else if (request.method === 'GET') event.respondWith(stored(request));
});

// Only the page's own files are answered here; anything else is an error, and no request leaves for it.
async function stored(request) {
  const cache = await caches.open(VERSION);
  return (await cache.match(request, { ignoreSearch: true })) ?? (request.mode === 'navigate' ? cache.match('./') : Response.error());
}

// The text goes behind the address, which no server sees (RFC 3986, section 3.5).
async function shared(request) {
  const text = (await request.formData()).get('text');
  const bytes = new TextEncoder().encode(typeof text === 'string' ? text : '');
  const digits = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  return Response.redirect(`./#mail=${encodeURIComponent(digits)}`, 303);
}
