/**
 * Query parameters that say how a reader arrived, not which page it is. The backend keeps the same list as JSON;
 * a test holds the two together.
 */
export const TRACKING = {
  prefixes: ['utm_'],
  names: [
    '_hsenc',
    '_hsmi',
    'dclid',
    'fbclid',
    'gbraid',
    'gclid',
    'igshid',
    'mc_cid',
    'mc_eid',
    'msclkid',
    'ref_src',
    'si',
    'ttclid',
    'twclid',
    'wbraid',
    'yclid',
  ],
};
