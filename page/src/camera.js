/**
 * Reads a QR code by the camera, where the browser has a BarcodeDetector (Chrome on Android, macOS and ChromeOS). In: a place on the
 * page. Out: the code's text. The picture never leaves the page.
 */
import { t } from './app.js';
import { button, h } from './dom.js';

/** Between two looks at the picture, in milliseconds. */
const PAUSE = 200;

/** @param {HTMLElement} place @param {(text: string) => void} found */
export async function scanQr(place, found) {
  const video = h('video', { muted: true, playsinline: true });
  /** @type {MediaStream} */
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  } catch {
    return place.replaceChildren(h('p', { class: 'wrong', role: 'alert' }, t('noCamera')));
  }
  let isOver = false;
  const stop = () => {
    isOver = true;
    stream.getTracks().forEach((track) => track.stop());
    place.replaceChildren();
  };
  place.replaceChildren(h('p', {}, t('scanning')), video, button(t('stopScan'), stop));
  video.srcObject = stream;
  await video.play();
  // The types of this TypeScript do not have it yet.
  const detector = new (/** @type {any} */ (globalThis).BarcodeDetector)({ formats: ['qr_code'] });
  while (!isOver && video.isConnected) {
    const codes = await detector.detect(video).catch(() => []);
    if (codes.length > 0) {
      stop();
      return found(codes[0].rawValue);
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  return stop();
}
