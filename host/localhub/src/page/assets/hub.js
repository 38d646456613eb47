// The hub itself: figures, what happens now, faults on request.

import { h, fill, section, field, busy, clock } from './dom.js';
import { call } from './api.js';
import * as fleet from './fleet.js';

const KEPT = 100;

export function hubView() {
  const figures = h('dl', { class: 'figures' });
  const list = h('ol', { class: 'happenings', 'aria-label': 'What happens, the newest first' });
  const none = h('p', { class: 'hint' }, 'Connections, twin changes, methods and jobs of all devices appear here as they happen.');
  const faults = faultsPart();

  const read = async (signal) => {
    try {
      const [devices, service] = await Promise.all([
        call('GET', '/statistics/devices', { signal }), call('GET', '/statistics/service', { signal }),
      ]);
      fill(figures, figure('Devices', devices.totalDeviceCount), figure('Enabled', devices.enabledDeviceCount),
        figure('Disabled', devices.disabledDeviceCount), figure('Connected', service.connectedDeviceCount));
    } catch { /* the state in the header says so */ }
  };

  return {
    title: 'Hub',
    content: [section('Figures', figures), faults.element, section('What happens', none, list)],
    start: (signal) => {
      read(signal);
      const every = setInterval(() => read(signal), 5000);
      signal.addEventListener('abort', () => clearInterval(every));
      faults.load(signal);
      fleet.onEvent((kind, data) => {
        none.hidden = true;
        list.prepend(h('li', {}, h('time', {}, clock(data.time)), ' ', h('b', {}, data.device ?? data.id ?? ''), data.module ? `/${data.module}` : '', ' ', words(kind, data)));
        while (list.children.length > KEPT) list.lastChild.remove();
      }, signal);
    },
  };
}

function figure(name, value) {
  return h('div', {}, h('dt', {}, name), h('dd', {}, String(value)));
}

function words(kind, data) {
  switch (kind) {
    case 'disconnected': return `disconnected: ${data.reason}`;
    case 'twin': return `${data.section} is at version ${data.version}`;
    case 'method': return `method ${data.name}: ${data.status ?? data.error} after ${data.milliseconds} ms`;
    case 'job': return `job: ${data.status}`;
    case 'configuration': return 'rollout changed';
    case 'lagged': return `${data.missed} events were missed`;
    default: return kind;
  }
}

/** Rules as `hotshoe-localhub --fault` takes them: `kind:parameter=value,…`. */
function faultsPart() {
  const KINDS = ['drop', 'delay:by=2s', 'duplicate', 'refuse-token', 'refuse-connect', 'lose-session', 'reject-twin:status=500',
    'late-method:by=40s', 'close-after:packets=20', 'mute-after:packets=20', 'fail-rest:status=503', 'delay-rest:by=2s'];
  const rule = h('input', { required: true, spellcheck: 'false', autocomplete: 'off', list: 'fault-kinds', placeholder: 'delay:by=2s,device=press-*' });
  const entry = field('Rule', rule, 'kind:parameter=value,… with device=, probability=, times=, after= and seed= for any kind.');
  const list = h('ul', { class: 'faults' });
  const button = h('button', { class: 'primary' }, 'Add');
  const clear = h('button', { type: 'button', class: 'danger', hidden: true }, 'Remove all');
  const form = h('form', {}, entry, h('datalist', { id: 'fault-kinds' }, KINDS.map((value) => h('option', { value }))), h('div', { class: 'actions' }, button, clear));
  const element = section('Faults on request', h('p', { class: 'hint' }, 'What networks, tokens and hubs do to devices on bad days. Gone when the hub starts again.'), form, list);

  const load = async (signal) => {
    try {
      const answer = await call('GET', '/localhub/faults', { signal });
      const rules = Array.isArray(answer) ? answer : answer.faults ?? [];
      clear.hidden = rules.length === 0;
      fill(list, rules.map((one) => h('li', {}, h('code', {}, one.fault ?? JSON.stringify(one)), one.struck === undefined ? '' : ` struck ${one.struck} times`,
        h('button', { type: 'button', class: 'quiet', onclick: () => act(() => call('DELETE', `/localhub/faults/${one.id}`)) }, 'Remove'))));
    } catch (error) {
      if (error.status === 404) element.hidden = true;
    }
  };
  const act = async (work) => {
    entry.fault(null);
    try { await work(); } catch (error) { entry.fault(error.message); }
    load();
  };
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    busy(button, () => act(() => call('POST', '/localhub/faults', { body: { fault: rule.value } })));
  });
  clear.addEventListener('click', () => act(() => call('DELETE', '/localhub/faults')));
  return { element, load };
}
