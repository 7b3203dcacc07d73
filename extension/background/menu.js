/** What the menus offer: looking without flattring on the toolbar button, flattring on pages and links. */
import { pressFromMenu } from './button.js';
import { device } from './device.js';

const WEB = ['http://*/*', 'https://*/*'];

/** @type {Omit<chrome.contextMenus.CreateProperties, 'title' | 'type'>[]} */
const ITEMS = [
  { id: 'month', contexts: ['action'] },
  { id: 'money', contexts: ['action'] },
  { id: 'settings', contexts: ['action'] },
  { id: 'page', contexts: ['page'], documentUrlPatterns: WEB },
  { id: 'link', contexts: ['link'], targetUrlPatterns: WEB },
];

export async function createMenus() {
  await chrome.contextMenus.removeAll();
  for (const item of ITEMS) chrome.contextMenus.create({ ...item, title: chrome.i18n.getMessage(`menu_${item.id}`) });
}

/**
 * @param {chrome.contextMenus.OnClickData & {linkText?: string}} info  Firefox also tells the link's words
 * @param {chrome.tabs.Tab} [tab]
 */
export async function openFromMenu({ menuItemId, linkUrl, linkText }, tab) {
  const tabId = tab?.id ?? 0;
  if (menuItemId === 'page') await pressFromMenu({ tabId });
  if (menuItemId === 'link') await pressFromMenu({ tabId, link: { url: linkUrl ?? '', title: linkText ?? '' } });
  if (menuItemId === 'month') await chrome.tabs.create({ url: '/pages/month.html' });
  if (menuItemId === 'settings') await chrome.runtime.openOptionsPage();
  if (menuItemId === 'money') await chrome.tabs.create({ url: `${(await device()).server}/money` });
}
