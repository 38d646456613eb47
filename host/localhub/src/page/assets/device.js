// One device: how it stands, its twin, its methods and messages, and what crosses its wire.

import { h, fill, section, badge, announce, confirm, moment } from './dom.js';
import { call, listen, path } from './api.js';
import { plain } from './json.js';
import { firmwareOf, pluginsOf } from './firmware.js';
import { connection, firmwareCell } from './devices.js';
import { twinPart } from './twin.js';
import { methodPart } from './method.js';
import { messagesPart } from './messages.js';
import { wirePart } from './wire.js';

const KINDS = 'connected,disconnected,twin,created,updated,deleted,telemetry,packet';

export function deviceView(id) {
  const head = h('div', { class: 'device-head' });
  const trouble = h('p', { class: 'notice', role: 'alert', hidden: true });
  const say = (text) => { trouble.hidden = !text; trouble.textContent = text ?? ''; };
  const device = { deviceId: id, connected: false, status: 'enabled' };

  const twin = twinPart(id, (reported) => { device.reported = reported; draw(); });
  const messages = messagesPart(id);
  const wire = wirePart(id);

  const cut = h('button', { type: 'button' }, 'Cut the connection');
  const toggle = h('button', { type: 'button' }, 'Disable');
  const modules = h('ul', { class: 'modules' });
  const modulesPart = section('Modules', modules);
  modulesPart.hidden = true;
  const readModules = async (signal) => {
    const all = await call('GET', `/devices/${path(id)}/modules`, { signal });
    modulesPart.hidden = all.length === 0;
    fill(modules, all.map((one) => h('li', {}, h('b', {}, one.moduleId), ' ',
      one.connectionState === 'Connected' ? badge('good', 'Connected') : badge('none', 'Away'))));
  };

  const draw = () => {
    toggle.textContent = device.status === 'enabled' ? 'Disable' : 'Enable';
    cut.disabled = !device.connected;
    drawHead();
  };
  const drawHead = () => fill(head,
    connection(device),
    device.since ? h('span', { class: 'hint' }, `since ${device.since}`, device.reason ? `: ${device.reason}` : '') : null,
    firmwareCell(firmwareOf(device.reported ?? {})),
    pluginsOf(device.reported ?? {}).map(({ name, version, state }) => h('span', { class: 'chip' }, `${name} ${version}`, state && state !== 'live' ? ` (${state})` : '')));

  /** How many events there were: an answer that was on its way meanwhile may be older than them. */
  let told = 0;
  const read = async (signal) => {
    try {
      let before, whole, identity;
      do {
        before = told;
        [whole, identity] = await Promise.all([
          call('GET', `/twins/${path(id)}`, { signal }), call('GET', `/devices/${path(id)}`, { signal }), readModules(signal),
        ]);
      } while (before !== told);
      device.connected = whole.connectionState === 'Connected';
      device.status = whole.status;
      device.since = moment(identity.connectionStateUpdatedTime);
      device.reported = plain(whole.properties.reported);
      twin.take(whole, true);
      wire.load(signal);
      messages.load(signal);
      say(null);
    } catch (error) {
      if (error.name !== 'AbortError') say(error.message);
    }
    draw();
  };

  const event = (kind, data, signal) => {
    if (kind === 'lagged') { read(signal); return; }
    if (kind === 'packet') { wire.add(data); return; }
    if (kind === 'telemetry') { messages.telemetry(data); return; }
    told += 1;
    if (data.module) {
      if (kind !== 'twin') readModules(signal).catch(() => {});
      return;
    }
    if (kind === 'twin') twin.event(data);
    if (kind === 'deleted') say('This device was deleted.');
    if (kind === 'updated') { device.status = data.status; draw(); }
    if (kind === 'connected' || kind === 'disconnected') {
      device.connected = kind === 'connected';
      device.since = moment(data.time);
      device.reason = data.reason;
      announce(`${id} ${kind}.`);
      draw();
    }
  };

  const act = (work) => async () => {
    try { await work(); say(null); } catch (error) { say(error.message); }
  };
  cut.addEventListener('click', act(() => call('POST', `/localhub/devices/${path(id)}/disconnect`)));
  toggle.addEventListener('click', act(() => enable(id, device.status !== 'enabled')));
  const actions = h('div', { class: 'actions' },
    cut,
    toggle,
    h('button', {
      type: 'button',
      class: 'danger',
      onclick: act(async () => {
        if (!await confirm(`Delete ${id} with its twin?`, 'Delete')) return;
        await call('DELETE', `/devices/${path(id)}`, { headers: { 'if-match': '*' } });
        location.hash = '#/devices';
      }),
    }, 'Delete'));

  return {
    title: id,
    content: [
      h('nav', { class: 'crumbs', 'aria-label': 'Where this is' }, h('a', { href: '#/devices' }, 'Devices'), ` / ${id}`),
      h('div', { class: 'device-top' }, head, actions), trouble,
      h('div', { class: 'columns' },
        h('div', { class: 'column' }, twin.reported, twin.desired, twin.tags),
        h('div', { class: 'column' }, methodPart(id), messages.element, modulesPart)),
      wire.element,
    ],
    start: (signal) => {
      draw();
      listen(`/localhub/events?device=${path(id)}&kinds=${KINDS}`, {
        signal, opened: () => read(signal), event: (kind, data) => event(kind, data, signal),
      });
    },
  };
}

async function enable(id, wanted) {
  const identity = await call('GET', `/devices/${path(id)}`);
  identity.status = wanted ? 'enabled' : 'disabled';
  await call('PUT', `/devices/${path(id)}`, { body: identity, headers: { 'if-match': `"${identity.etag}"` } });
}
