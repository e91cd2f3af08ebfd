/**
 * The mail around a signed block. In: a block, the gateway's address, an attachment. Out: a mailto: link (RFC 6068), or a whole
 * message (RFC 5322) that a mail program opens as a draft.
 */
import { base64, hex, utf8 } from './bytes.js';

/** Longer links are cut by some mail programs and by Windows; a link is offered below this length only. */
export const MAILTO_LIMIT = 1500;

/** @typedef {{ name: string, bytes: Uint8Array }} Attachment */

/**
 * A link that opens the user's mail program; null if it would be too long.
 * @param {string} to @param {string} subject @param {string} block
 */
export function mailtoLink(to, subject, block) {
  const link = `mailto:${percent(to).replace('%40', '@')}?subject=${percent(subject)}&body=${percent(block.replace(/\n/g, '\r\n'))}`;
  return link.length < MAILTO_LIMIT ? link : null;
}

/** @param {string} text */
function percent(text) {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => '%' + c.charCodeAt(0).toString(16).toUpperCase());
}

/**
 * A message with lines ended by CRLF, all of it ASCII. `X-Unsent` makes Outlook open it as a draft.
 * @param {{ to: string, from: string | null, subject: string, time: number, block: string, attachment: Attachment | null }} parts
 */
export function message({ to, from, subject, time, block, attachment }) {
  const head = [`To: ${to}`, `Subject: ${subject}`, `Date: ${new Date(time * 1000).toUTCString().replace('GMT', '+0000')}`];
  if (from) head.unshift(`From: ${from}`);
  head.push('X-Unsent: 1', 'MIME-Version: 1.0');
  const text = ['Content-Type: text/plain; charset=utf-8', 'Content-Transfer-Encoding: 7bit', '', ...block.trimEnd().split('\n')];
  if (!attachment) return [...head, ...text, ''].join('\r\n');
  const boundary = 'mailsudo-' + hex(crypto.getRandomValues(new Uint8Array(12)));
  const name = attachment.name.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 60) || 'payload';
  const lines = base64(attachment.bytes).match(/.{1,76}/g) ?? [];
  return [
    ...head, `Content-Type: multipart/mixed; boundary="${boundary}"`, '',
    `--${boundary}`, ...text,
    `--${boundary}`, 'Content-Type: application/octet-stream', 'Content-Transfer-Encoding: base64',
    `Content-Disposition: attachment; filename="${name}"`, '', ...lines,
    `--${boundary}--`, '',
  ].join('\r\n');
}

/**
 * The message as bytes.
 * @param {Parameters<typeof message>[0]} parts
 */
export function messageBytes(parts) {
  return utf8(message(parts));
}
