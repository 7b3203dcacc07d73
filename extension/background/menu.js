/** The toolbar button's own menu. Nothing in it flattrs. */
import { device } from './device.js';

const ITEMS = ['month', 'money', 'settings'];

export async function createMenu() {
  await chrome.contextMenus.removeAll();
  for (const id of ITEMS) {
    chrome.contextMenus.create({ id, title: chrome.i18n.getMessage(`menu_${id}`), contexts: ['action'] });
  }
}

/** @param {chrome.contextMenus.OnClickData} info */
export async function openFromMenu({ menuItemId }) {
  if (menuItemId === 'month') await chrome.tabs.create({ url: '/pages/month.html' });
  if (menuItemId === 'settings') await chrome.runtime.openOptionsPage();
  if (menuItemId === 'money') await chrome.tabs.create({ url: `${(await device()).server}/money` });
}
