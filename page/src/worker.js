/**
 * Where the page is served with a manifest, its service worker lets it open without the network.
 */

const NAME = 'sw.js';

export function registerWorker() {
  if (!document.querySelector('link[rel=manifest]') || !('serviceWorker' in navigator)) return;
  // The page's policy allows one script address, by this name (Trusted Types).
  const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy('mailsudo-worker', {
    createScriptURL: (/** @type {string} */ name) => {
      if (name !== NAME) throw new TypeError(name);
      return name;
    },
  });
  navigator.serviceWorker.register(policy ? policy.createScriptURL(NAME) : NAME).catch(() => undefined);
}
