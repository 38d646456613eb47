// Rollouts are automatic configurations: settings for all devices of a condition, for as long as it holds.

import { h, fill, section, bar, badge, field, busy, confirm, moment } from './dom.js';
import { call, path, query } from './api.js';
import { follow } from './jobs.js';
import { pretty, readJson, isObject } from './json.js';

export function rolloutsView(id) {
  return id ? rolloutView(id) : allRollouts();
}

function allRollouts() {
  const list = h('div', { class: 'cards' });
  const state = h('p', { class: 'hint', role: 'status' }, 'Reading…');
  const read = async (signal) => {
    try {
      const all = await call('GET', '/configurations', { signal });
      all.sort((a, b) => b.priority - a.priority || a.id.localeCompare(b.id));
      fill(list, all.map((one) => h('article', { class: 'item' },
        h('h3', {}, h('a', { href: `#/rollouts/${path(one.id)}` }, one.id), ' ', badge('none', `priority ${one.priority}`)),
        h('p', {}, 'For ', h('code', {}, one.targetCondition || '–')), figures(one))));
      state.textContent = all.length === 0 ? 'There is no rollout yet.' : '';
    } catch (error) {
      if (error.name !== 'AbortError') state.textContent = error.message;
    }
  };
  return {
    title: 'Rollouts',
    content: [newRollout(), section('All rollouts', state, list)],
    start: (signal) => follow('configuration', null, () => read(signal), signal),
  };
}

function figures(one) {
  const results = one.systemMetrics?.results ?? {};
  const targeted = results.targetedCount ?? 0;
  const applied = results.appliedCount ?? 0;
  const own = Object.entries(one.metrics?.results ?? {});
  return [
    bar('Devices', [
      { kind: 'good', name: 'applied', count: applied },
      { kind: 'wait', name: 'targeted, not applied', count: Math.max(0, targeted - applied) },
    ]),
    own.length > 0 ? h('ul', { class: 'versions' }, own.map(([name, count]) => h('li', {}, h('b', {}, name), ` ${count}`))) : null,
  ];
}

function rolloutView(id) {
  const head = h('div', {});
  const rows = h('tbody', {});
  const state = h('p', { class: 'hint', role: 'status' });
  const remove = h('button', { type: 'button', class: 'danger' }, 'Delete');
  const read = async (signal) => {
    try {
      const one = await call('GET', `/configurations/${path(id)}`, { signal });
      fill(head, h('p', {}, badge('none', `priority ${one.priority}`), ' for ', h('code', {}, one.targetCondition || '–')),
        h('p', { class: 'hint' }, `Made ${moment(one.createdTimeUtc)}, changed ${moment(one.lastUpdatedTimeUtc)}`), figures(one),
        h('details', {}, h('summary', {}, 'What it sets'), h('pre', { tabindex: 0 }, pretty(one.content ?? {}))));
      const found = new Map();
      for (const status of ['Targeted', 'Applied']) {
        await query(`SELECT deviceId FROM devices WHERE configurations.[[${id}]].status = '${status}'`,
          (page) => { for (const row of page) found.set(row.deviceId, status); }, signal);
      }
      state.textContent = found.size === 0 ? 'No device is targeted.' : '';
      fill(rows, [...found].sort(([a], [b]) => a.localeCompare(b)).slice(0, 1000).map(([device, status]) => h('tr', {},
        h('th', { scope: 'row' }, h('a', { href: `#/devices/${path(device)}` }, device)),
        h('td', { 'data-name': 'State' }, badge(status === 'Applied' ? 'good' : 'wait', status)))));
    } catch (error) {
      if (error.name !== 'AbortError') state.textContent = error.message;
    }
  };
  remove.addEventListener('click', async () => {
    if (!await confirm(`Delete the rollout ${id}? Its settings leave the devices.`, 'Delete')) return;
    await busy(remove, async () => {
      try {
        await call('DELETE', `/configurations/${path(id)}`, { headers: { 'if-match': '*' } });
        location.hash = '#/rollouts';
      } catch (error) { state.textContent = error.message; }
    });
  });
  return {
    title: id,
    content: [
      h('nav', { class: 'crumbs', 'aria-label': 'Where this is' }, h('a', { href: '#/rollouts' }, 'Rollouts'), ` / ${id}`),
      section('The rollout', head, remove),
      section('Devices', state, h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Devices of the rollout' },
        h('table', {}, h('caption', { class: 'unseen' }, 'Devices of the rollout'),
          h('thead', {}, h('tr', {}, ['Device', 'State'].map((name) => h('th', { scope: 'col' }, name)))), rows))),
    ],
    start: (signal) => follow('configuration', id, () => read(signal), signal),
  };
}

function newRollout() {
  const id = h('input', { required: true, maxlength: 128, pattern: '[-a-z0-9:+%_#*?!(),=@;\']+', spellcheck: 'false', autocomplete: 'off' });
  const condition = h('input', { required: true, spellcheck: 'false', autocomplete: 'off', placeholder: 'tags.site = \'x\'' });
  const priority = h('input', { type: 'number', min: 0, required: true, value: 10 });
  const body = h('textarea', { class: 'code', rows: 5, spellcheck: 'false', required: true, value: '{\n  "properties.desired.firmware": {\n  }\n}' });
  const entries = {
    id: field('Id', id, 'Lower case letters, digits and - _ : and a few more.'),
    priority: field('Priority', priority, 'The highest wins.'),
    condition: field('For devices where', condition, 'A condition over tags and reported properties; * for all.'),
    body: field('Settings', body, 'Paths that begin with properties.desired, and the object to place there.'),
  };
  const note = h('p', { class: 'notice', role: 'alert', hidden: true });
  const button = h('button', { class: 'primary' }, 'Start');
  const submit = (event) => {
    event.preventDefault();
    note.hidden = true;
    const read = readJson(body.value);
    const fault = read.fault ?? (isObject(read.value) ? null : 'This is not an object: { … }.');
    entries.body.fault(fault);
    if (fault) return;
    const configuration = {
      id: id.value, schemaVersion: '1.0', priority: Number(priority.value), targetCondition: condition.value, labels: {},
      content: { deviceContent: read.value }, metrics: { queries: {} },
    };
    busy(button, async () => {
      try {
        await call('PUT', `/configurations/${path(id.value)}`, { body: configuration });
        location.hash = `#/rollouts/${path(id.value)}`;
      } catch (error) {
        note.hidden = false;
        note.textContent = error.message;
      }
    });
  };
  return h('details', { class: 'panel' }, h('summary', {}, 'New rollout'),
    h('form', { onsubmit: submit }, h('div', { class: 'pair' }, entries.id, entries.priority), entries.condition, entries.body, note,
      h('div', { class: 'actions' }, button)));
}
