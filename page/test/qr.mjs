// A QR code from the terminal to a camera: as a video that Chromium takes for its camera, and read by zbar, which shares no code with
// the program that made it.
import { execFileSync } from 'node:child_process';
import { needed } from './browser.mjs';

const [WIDTH, HEIGHT] = [640, 480];

/** The lines of a terminal, where each character stands for two pixels, one above the other. Each pixel is 0 (dark) or 255. */
function pixels(text) {
  const lines = text.split('\n').filter((line) => /^[ ▀▄█]+$/.test(line));
  return lines.flatMap((line) => ['▀█', '▄█'].map((light) => [...line].map((sign) => (light.includes(sign) ? 255 : 0))));
}

/** A video (YUV4MPEG2) of one picture in grey, with the code in its middle on white. */
export function video(text) {
  const code = pixels(text);
  const scale = Math.floor(Math.min(WIDTH, HEIGHT) / Math.max(code.length, code[0].length));
  const luminance = Buffer.alloc(WIDTH * HEIGHT, 255);
  for (let y = 0; y < code.length * scale; y += 1) {
    for (let x = 0; x < code[0].length * scale; x += 1) luminance[y * WIDTH + x] = code[Math.floor(y / scale)][Math.floor(x / scale)];
  }
  const colours = Buffer.alloc(WIDTH * HEIGHT / 2, 128);
  return Buffer.concat([Buffer.from(`YUV4MPEG2 W${WIDTH} H${HEIGHT} F10:1 Ip A1:1 C420mpeg2\nFRAME\n`), luminance, colours]);
}

/** What a picture (PNG) has in its QR code; null if there is none. */
export function readQr(path) {
  try {
    return execFileSync(needed('/usr/bin/zbarimg', 'zbar-tools'), ['--quiet', '--raw', '-Sdisable', '-Sqrcode.enable', path], { encoding: 'utf8' });
  } catch (error) {
    if (error.status === 4) return null;
    throw error;
  }
}
