/** The first minute: one press for practice, before any sign-up; then connecting, a budget and money, each when wanted. */
import { byId, dress } from '../shared/dom.js';
import { ask } from '../shared/messages.js';
import { amount } from '../shared/money.js';
import { t } from '../shared/text.js';
import { showBudget } from './budget.js';
import { followPairing } from './code.js';

/** @typedef {import('../shared/messages.js').Settings} Settings */

const STEPS = ['press', 'connect', 'budget', 'money'];

dress();
chrome.storage.onChanged.addListener(() => load());
document.addEventListener('visibilitychange', () => document.hidden || refresh());
byId('begin').onclick = begin;
void load().then(sayWhere).then(refresh);

async function load() {
  const { connected, me, server, practised } = await ask('settings');
  const balance = connected && me ? me.balance_micros : 0;
  const done = { press: practised, connect: connected, budget: connected && said('budget'), money: balance > 0 };
  showSteps(STEPS.filter((step) => done[/** @type {keyof typeof done} */ (step)]));
  byId('pressed').textContent = practised ? t('welcome_pressed') : '';
  byId('connected').textContent = connected ? connectedWords(me?.email) : '';
  byId('balance').textContent = balance && me ? t('welcome_balance', amount(balance, me.currency)) : '';
  byId('add').onclick = () => chrome.tabs.create({ url: `${server}/money` });
  if (connected && me) showBudget(byId('amount'), me, budgetSaid);
}

/** Money may have arrived in another tab meanwhile. */
async function refresh() {
  const { connected } = await ask('settings');
  if (connected) await ask('fresh');
  await load();
}

/** @param {string | undefined} email */
function connectedWords(email) {
  return email ? t('connect_done', email) : t('connect_done_unknown');
}

/** @param {string[]} done  all but the first that is left stay closed */
function showSteps(done) {
  const open = STEPS.find((step) => !done.includes(step)) ?? 'done';
  byId('welcome').dataset['step'] = open;
  for (const step of STEPS) {
    byId(step).classList.toggle('done', done.includes(step));
    byId(step).classList.toggle('now', step === open);
    if (step === open) byId(step).ariaCurrent = 'step';
    else byId(step).ariaCurrent = null;
  }
  byId('done').textContent = open === 'done' ? t('welcome_done') : '';
}

async function begin() {
  byId('begin').hidden = true;
  await followPairing(byId('pairing'));
}

/** @param {string} step */
function said(step) {
  return byId(step).dataset['said'] === 'yes';
}

function budgetSaid() {
  byId('budget').dataset['said'] = 'yes';
  void load();
}

/** A new button hides in a menu of the browser's, until it is pinned; and some keys are taken. */
async function sayWhere() {
  const { isOnToolbar = true } = (await chrome.action.getUserSettings?.()) ?? {};
  const commands = (await chrome.commands?.getAll?.()) ?? [];
  const keys = commands.find(({ name }) => name === '_execute_action')?.shortcut;
  const hints = [isOnToolbar ? '' : t('welcome_pin'), keys ? t('welcome_keys', keys) : ''];
  byId('where').textContent = hints.filter(Boolean).join(' ');
}
