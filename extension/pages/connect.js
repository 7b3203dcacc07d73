/** Connect this browser, also once again. */
import { byId, dress } from '../shared/dom.js';
import { followPairing } from './code.js';

dress();
void followPairing(byId('pairing'));
