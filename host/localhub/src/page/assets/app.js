// The frame of the page: signing in, the views, and what every view has in common.

import { h, fill, announce } from './dom.js';
import { whenUnauthorized } from './api.js';
import { session, end, redeem } from './session.js';
import { signIn } from './signin.js';
import * as fleet from './fleet.js';
import { devicesView } from './devices.js';
import { deviceView } from './device.js';
import { jobsView } from './jobs.js';
import { rolloutsView } from './rollouts.js';
import { hubView } from './hub.js';

const VIEWS = {
  devices: (id) => (id ? deviceView(id) : devicesView()),
  jobs: jobsView,
  rollouts: rolloutsView,
  hub: hubView,
};

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const state = document.getElementById('state');
const live = document.getElementById('live');

/** Ends with the view that is shown. */
let view = new AbortController();
/** Ends with the session. */
let signedIn = null;

function show() {
  view.abort();
  view = new AbortController();
  const [, name = 'devices', ...rest] = location.hash.split('/').map(decode);
  const make = VIEWS[name] ?? VIEWS.devices;
  for (const link of nav.querySelectorAll('a')) {
    const is = link.getAttribute('href') === `#/${name}`;
    if (is) link.setAttribute('aria-current', 'page'); else link.removeAttribute('aria-current');
  }
  const { title, content, start } = make(...rest);
  document.title = `${title} · Hotshoe local hub`;
  const heading = h('h1', { tabindex: -1 }, title);
  fill(main, heading, content);
  start?.(view.signal);
  return heading;
}

function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

function showLive() {
  const text = fleet.state.live ? 'Live' : 'Not connected to the hub';
  if (live.textContent !== text) live.textContent = text;
  live.classList.toggle('on', fleet.state.live);
}

function enter() {
  signedIn = new AbortController();
  nav.hidden = false;
  state.hidden = false;
  fleet.onChange(showLive, signedIn.signal);
  fleet.follow(signedIn.signal);
  showLive();
  show();
}

function leave(words) {
  end();
  signedIn?.abort();
  signedIn = null;
  view.abort();
  nav.hidden = true;
  state.hidden = true;
  document.title = 'Sign in · Hotshoe local hub';
  fill(main, signIn(words, enter));
}

whenUnauthorized((failure) => {
  if (!signedIn) return;
  leave(failure ? 'The hub does not take this session (any more). Sign in again.' : null);
});
document.getElementById('sign-out').addEventListener('click', () => { leave(null); announce('Signed out.'); });
document.querySelector('.skip').addEventListener('click', (event) => { event.preventDefault(); main.focus(); });
window.addEventListener('hashchange', () => {
  const code = takeCode();
  if (code) start(code);
  else if (signedIn) { show().focus(); window.scrollTo(0, 0); }
});

/** The code of a one-time link, which goes out of the address bar and the history at once. */
function takeCode() {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (code) history.replaceState(null, '', '/#/devices');
  return code;
}

async function start(code) {
  if (code && !await redeem(code).catch(() => false) && !session()) {
    leave('This link was used before or is too old. Links work once, for ten minutes.');
    return;
  }
  if (signedIn) { leave(null); }
  if (session()) enter(); else leave(null);
}

start(takeCode());
