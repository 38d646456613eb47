// What crosses the wire: the packets that the hub kept, then each as it comes, the newest first.

import { h, section, bytes, clock } from './dom.js';
import { call, path } from './api.js';
import { pretty } from './json.js';

const KEPT = 300;
const QUIET = new Set(['pingreq', 'pingresp', 'puback']);

export function wirePart(id) {
  const list = h('ol', { class: 'wire', 'aria-label': 'Packets, the newest first' });
  const none = h('p', { class: 'hint' }, 'No packet yet.');
  const quiet = h('input', { type: 'checkbox', id: 'wire-quiet', checked: true });
  const pause = h('button', { type: 'button', 'aria-pressed': 'false' }, 'Pause');
  let paused = false;
  let waiting = [];

  quiet.addEventListener('change', () => list.classList.toggle('all', !quiet.checked));
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.setAttribute('aria-pressed', String(paused));
    pause.textContent = paused ? 'Go on' : 'Pause';
    if (!paused) { waiting.forEach(put); waiting = []; }
  });

  const put = (packet) => {
    none.hidden = true;
    list.prepend(line(packet));
    while (list.children.length > KEPT) list.lastChild.remove();
  };

  return {
    element: section('On the wire',
      h('div', { class: 'actions' }, pause,
        h('button', { type: 'button', class: 'quiet', onclick: () => { list.replaceChildren(); none.hidden = false; } }, 'Clear'),
        h('label', { class: 'check', for: 'wire-quiet' }, quiet, ' Hide pings and acknowledgements')),
      none, list),
    add: (packet) => {
      if (!paused) put(packet);
      else { waiting.push(packet); waiting = waiting.slice(-KEPT); }
    },
    /** Shows what the hub kept; what came meanwhile as events is in it. */
    load: async (signal) => {
      try {
        const { packets } = await call('GET', `/localhub/wire/${path(id)}`, { signal });
        list.replaceChildren();
        none.hidden = packets.length > 0;
        packets.forEach(put);
      } catch { /* the view says what is wrong with the device */ }
    },
  };
}

function line(packet) {
  const inward = packet.direction === 'in';
  const summary = [
    h('time', {}, clock(packet.time)),
    h('span', { class: `direction ${packet.direction}` }, inward ? 'from device' : 'to device'),
    h('b', {}, packet.packet),
    h('span', { class: 'topic' }, packet.topic ?? packet.note ?? ''),
    h('span', { class: 'size' }, packet.qos === undefined ? '' : `QoS ${packet.qos}, `, bytes(packet.size)),
  ];
  const body = packet.body || (packet.topic && packet.note);
  return h('li', { class: QUIET.has(packet.packet) ? 'often' : null },
    body
      ? h('details', {}, h('summary', {}, summary), packet.note ? h('p', { class: 'hint' }, packet.note) : null, h('pre', { tabindex: 0, 'aria-label': 'Body' }, bodyText(packet)))
      : h('div', { class: 'line' }, summary));
}

function bodyText(packet) {
  const cut = packet.cut ? `\n… cut, ${bytes(packet.cut)} in all` : '';
  if (packet.binary) return `base64: ${packet.body}${cut}`;
  try { return pretty(JSON.parse(packet.body)); } catch { return `${packet.body}${cut}`; }
}
