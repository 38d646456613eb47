// Messages: to the device, and the latest from it.

import { h, section, field, announce, busy, clock } from './dom.js';
import { call, path } from './api.js';

const KEPT = 20;

export function messagesPart(id) {
  const body = h('textarea', { class: 'code', rows: 2, spellcheck: 'false' });
  const properties = h('input', { autocomplete: 'off', spellcheck: 'false', placeholder: 'name=value&other=value' });
  const entries = {
    body: field('Message to the device', body, 'It waits in the hub until the device takes it.'),
    properties: field('Properties', properties),
  };
  const button = h('button', {}, 'Send');
  const list = h('ol', { class: 'telemetry', 'aria-label': 'Messages from the device' });
  const none = h('p', { class: 'hint' }, 'Messages from the device appear here as they come.');

  const submit = (event) => {
    event.preventDefault();
    entries.body.fault(null);
    busy(button, async () => {
      try {
        const query = new URLSearchParams(properties.value).toString();
        await call('POST', `/localhub/devices/${path(id)}/messages${query ? `?${query}` : ''}`, { body: body.value, raw: true });
        body.value = '';
        announce('The message is on its way.');
      } catch (error) {
        entries.body.fault(error.message);
      }
    });
  };

  const put = ({ time, module, properties: bag, body: said }) => {
    none.hidden = true;
    list.prepend(h('li', {},
      h('span', { class: 'hint' }, clock(time), module ? ` ${module}` : '', bag ? ` ${bag}` : ''),
      h('code', {}, said.length > 500 ? `${said.slice(0, 500)}…` : said)));
    while (list.children.length > KEPT) list.lastChild.remove();
  };

  return {
    element: section('Messages',
      h('form', { onsubmit: submit }, entries.body, entries.properties, h('div', { class: 'actions' }, button)),
      h('h3', {}, 'From the device'), none, list),
    telemetry: put,
    /** Shows what the hub kept. */
    load: async (signal) => {
      try {
        const kept = await call('GET', `/localhub/devices/${path(id)}/telemetry`, { signal });
        list.replaceChildren();
        for (const one of kept.slice(-KEPT)) put({ ...one, time: one.enqueuedTime, module: one.from.split('/')[1] });
      } catch { /* the view says what is wrong with the device */ }
    },
  };
}
