/** The badge says two things only: how many presses wait, and that something needs the reader. */
import { device } from './device.js';
import { entries, isWaiting } from './outbox.js';

const INK = '#1F1A17';
const PAPER = '#FBF7F0';

export async function showBadge() {
  const all = await entries();
  const alarmed = (await device()).disconnected || all.some(({ refusal }) => refusal && !refusal.seen);
  const waiting = all.filter(isWaiting).length;
  await chrome.action.setBadgeBackgroundColor?.({ color: INK });
  await chrome.action.setBadgeTextColor?.({ color: PAPER });
  await chrome.action.setBadgeText?.({ text: alarmed ? '!' : waiting ? String(waiting) : '' });
}
