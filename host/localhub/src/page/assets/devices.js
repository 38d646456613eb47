// The fleet: how many devices there are and how they stand, and a table to find one in.

import { h, add, fill, section, badge, bar, field, busy, announce } from './dom.js';
import { call, path, query } from './api.js';
import * as fleet from './fleet.js';
import { STATES } from './firmware.js';

/** How many rows are shown at first, and more at a time. */
const PAGE = 100;
/** What tells a condition of the query language from words to look for. */
const CONDITION = /[=<>]|\b(in|nin|is_defined)\b/i;

export function devicesView() {
  const summary = h('div', { class: 'summary' });
  const rows = h('tbody', {});
  const count = h('p', { class: 'hint', role: 'status' });
  const more = h('button', { type: 'button', hidden: true }, `Show ${PAGE} more`);
  const search = h('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'press-*  or  tags.site = \'x\'' });
  const filter = field('Filter', search, 'Part of an id or a tag; or a condition of the query language, then Enter.');
  const table = h('table', { class: 'devices' },
    h('caption', { class: 'unseen' }, 'Devices'),
    h('thead', {}, h('tr', {}, ['Device', 'State', 'Firmware', 'Plugins', 'Tags'].map((name) => h('th', { scope: 'col' }, name)))),
    rows);

  const shown = new Map();
  let limit = PAGE;
  /** The ids that a condition matched, or null. */
  let matched = null;
  let words = '';

  const draw = () => {
    const all = [...fleet.devices.values()].sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
    fill(summary, summaryOf(all));
    const wanted = all.filter((device) => (matched ? matched.has(device.deviceId) : matches(device, words)));
    const visible = wanted.slice(0, limit);
    const ids = new Set(visible.map((device) => device.deviceId));
    for (const [id, row] of shown) if (!ids.has(id)) { row.element.remove(); shown.delete(id); }
    visible.forEach((device, index) => {
      const row = shown.get(device.deviceId) ?? makeRow(device.deviceId);
      shown.set(device.deviceId, row);
      row.update(device);
      if (rows.children[index] !== row.element) rows.insertBefore(row.element, rows.children[index] ?? null);
    });
    more.hidden = wanted.length <= limit;
    table.hidden = wanted.length === 0;
    const text = fleet.state.error ?? countText(all.length, wanted.length, visible.length);
    if (count.textContent !== text) count.textContent = text;
  };

  search.addEventListener('input', () => {
    filter.fault(null);
    matched = null;
    words = CONDITION.test(search.value) ? '' : search.value.trim().toLowerCase();
    limit = PAGE;
    draw();
  });
  more.addEventListener('click', () => { limit += PAGE; draw(); });

  return {
    title: 'Devices',
    content: [
      summary,
      section('All devices',
        h('div', { class: 'bar-of-tools' },
          h('form', { role: 'search', onsubmit: (event) => { event.preventDefault(); ask(search, filter, (ids) => { matched = ids; limit = PAGE; draw(); }); } }, filter),
          addDevice()),
        h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Table of devices' }, table), count, more),
    ],
    start: (signal) => { fleet.onChange(draw, signal); draw(); },
  };
}

async function ask(search, filter, give) {
  if (!CONDITION.test(search.value)) return;
  try {
    const ids = new Set();
    await query(`SELECT * FROM devices WHERE ${search.value}`, (found) => { for (const one of found) ids.add(one.deviceId); });
    give(ids);
  } catch (error) {
    filter.fault(error.message);
  }
}

function countText(all, wanted, visible) {
  if (all === 0) return fleet.state.complete ? 'There is no device yet. Add one, or register it with any of IoT Hub’s tools.' : 'Reading…';
  const whole = fleet.state.complete ? '' : ' so far';
  if (wanted === all && visible === all) return `${all} ${all === 1 ? 'device' : 'devices'}${whole}`;
  return `${visible} of ${wanted} that match, of ${all}${whole}`;
}

function matches(device, words) {
  if (!words) return true;
  const text = `${device.deviceId} ${JSON.stringify(device.tags)}`.toLowerCase();
  if (!words.includes('*')) return text.includes(words);
  const pattern = words.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')).join('.*');
  return new RegExp(`^${pattern}$`).test(device.deviceId.toLowerCase());
}

function summaryOf(all) {
  const connected = all.filter((device) => device.connected).length;
  const disabled = all.filter((device) => device.status === 'disabled').length;
  const states = new Map();
  const plugins = new Map();
  const firmwares = new Map();
  for (const device of all) {
    const { state, version: firmware } = device.firmware;
    states.set(state, (states.get(state) ?? 0) + 1);
    if (firmware) firmwares.set(firmware, (firmwares.get(firmware) ?? 0) + 1);
    for (const { name, version } of device.plugins) {
      if (!plugins.has(name)) plugins.set(name, new Map());
      plugins.get(name).set(version, (plugins.get(name).get(version) ?? 0) + 1);
    }
  }
  const versions = [...plugins].sort(([a], [b]) => a.localeCompare(b)).map(([name, counts]) => h('li', {}, h('b', {}, name), ' ', chips(counts)));
  return [
    card('Connected', h('p', { class: 'figure' }, String(connected), h('small', {}, ` of ${all.length}`)),
      disabled > 0 ? h('p', { class: 'hint' }, `${disabled} disabled`) : null),
    card('Firmware', bar('Firmware', STATES.map(({ state, kind, name }) => ({ kind, name, count: states.get(state) ?? 0 }))), h('p', { class: 'versions' }, chips(firmwares))),
    card('Plugins', versions.length > 0 ? h('ul', { class: 'versions' }, versions) : h('p', { class: 'hint' }, 'No device reports plugins.')),
  ];
}

/** How often there is each version, the most frequent first. */
function chips(counts) {
  const sorted = [...counts].sort(([a, many], [b, more]) => more - many || a.localeCompare(b));
  const shown = sorted.slice(0, 6).map(([version, count]) => h('span', { class: 'chip' }, version, h('small', {}, ` × ${count}`)));
  return sorted.length > 6 ? [shown, h('small', { class: 'hint' }, `and ${sorted.length - 6} other versions`)] : shown;
}

function card(title, ...children) {
  return h('section', { class: 'panel card' }, h('h2', {}, title), ...children);
}

function makeRow(id) {
  const link = h('a', { href: `#/devices/${path(id)}` }, id);
  const cells = ['State', 'Firmware', 'Plugins', 'Tags'].map((name) => h('td', { 'data-name': name }));
  const drawn = ['', '', '', ''];
  const element = h('tr', { 'data-device': id }, h('th', { scope: 'row' }, link), cells);
  // A cell is drawn again only when what it shows is another, so that nothing flickers.
  const put = (index, key, make) => {
    if (drawn[index] === key) return;
    drawn[index] = key;
    cells[index].replaceChildren();
    add(cells[index], [h('div', {}, make())]);
  };
  const update = (device) => {
    const { firmware, plugins } = device;
    put(0, `${device.connected}${device.status}`, () => connection(device));
    put(1, JSON.stringify(firmware), () => firmwareCell(firmware));
    put(2, JSON.stringify(plugins), () => plugins.map(({ name, version }) => h('span', { class: 'chip', title: name }, `${name.split('.').pop()} ${version}`)));
    put(3, JSON.stringify(device.tags), () => tagsOf(device.tags).map((text) => h('span', { class: 'chip' }, text)));
  };
  return { element, update };
}

/** How a device is connected, as a badge. */
export function connection(device) {
  if (device.status === 'disabled') return badge('bad', 'Disabled');
  return device.connected ? badge('good', 'Connected') : badge('none', 'Away');
}

/** Version, state and progress of a device's firmware. */
export function firmwareCell(firmware) {
  const { job } = firmware;
  const label = firmware.state === 'none' ? null : badge(firmware.kind, firmware.state === 'updating' ? firmware.word : firmware.name);
  const total = Number(job?.total);
  const progress = job && total > 0
    ? h('progress', { max: total, value: Number(job.done) || 0, 'aria-label': `${firmware.word}: ${Math.floor((100 * job.done) / total)} %` })
    : null;
  return h('span', { class: 'firmware' }, firmware.version ? h('span', { class: 'version' }, firmware.version) : null, label, progress);
}

function tagsOf(tags, at = '') {
  return Object.entries(tags).flatMap(([key, value]) => (typeof value === 'object' && value !== null && !Array.isArray(value)
    ? tagsOf(value, `${at}${key}.`) : [`${at}${key}: ${Array.isArray(value) ? JSON.stringify(value) : value}`]));
}

function addDevice() {
  const id = h('input', { required: true, maxlength: 128, autocomplete: 'off', spellcheck: 'false' });
  const entry = field('Id', id, 'Up to 128 letters, digits and - . _ : and a few more.');
  const result = h('div', { 'aria-live': 'polite' });
  const submit = h('button', { class: 'primary' }, 'Add');
  const dialog = h('dialog', { 'aria-labelledby': 'add-device' },
    h('h2', { id: 'add-device' }, 'Add a device'),
    h('form', {
      onsubmit: (event) => {
        event.preventDefault();
        entry.fault(null);
        busy(submit, async () => {
          try {
            const made = await call('PUT', `/devices/${path(id.value)}`, { body: { deviceId: id.value } });
            const key = made.authentication.symmetricKey.primaryKey;
            const string = `HostName=${location.hostname};DeviceId=${made.deviceId};SharedAccessKey=${key}`;
            fill(result, h('p', {}, `${made.deviceId} is registered. Its connection string:`), copyable(string));
          } catch (error) { entry.fault(error.message); }
        });
      },
    }, entry, h('div', { class: 'actions' }, submit, h('button', { type: 'button', onclick: () => dialog.close() }, 'Close'))),
    result);
  dialog.addEventListener('close', () => { id.value = ''; fill(result); entry.fault(null); });
  return [h('button', { type: 'button', onclick: () => dialog.showModal() }, 'Add a device'), dialog];
}

/** A text with a button that copies it. */
export function copyable(text) {
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); announce('Copied.'); } catch { announce('The browser does not let the page copy.'); }
  };
  return h('div', { class: 'copyable' }, h('code', { tabindex: 0 }, text), h('button', { type: 'button', class: 'quiet', onclick: copy }, 'Copy'));
}
