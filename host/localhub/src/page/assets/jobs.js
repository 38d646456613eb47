// Jobs: a method or a twin change for all devices of a condition, and what became of it on each.

import { h, fill, section, badge, bar, field, busy, announce, confirm, moment } from './dom.js';
import { call, path, query, quoted } from './api.js';
import * as fleet from './fleet.js';
import { pretty, readJson, readSection } from './json.js';

const KINDS = { completed: 'good', running: 'busy', queued: 'wait', scheduled: 'wait', enqueued: 'wait', failed: 'bad', cancelled: 'warn' };
const ENDED = new Set(['completed', 'failed', 'cancelled']);

export function jobsView(id) {
  return id ? jobView(id) : allJobs();
}

function allJobs() {
  const list = h('div', { class: 'cards' });
  const state = h('p', { class: 'hint', role: 'status' }, 'Reading…');
  const read = async (signal) => {
    try {
      const answer = await call('GET', '/jobs/v2/query', { signal });
      const jobs = Array.isArray(answer) ? answer : answer.items ?? [];
      jobs.sort((a, b) => String(b.createdTime).localeCompare(String(a.createdTime)));
      fill(list, jobs.map(card));
      state.textContent = jobs.length === 0 ? 'There is no job yet.' : '';
      return jobs.some((job) => !ENDED.has(job.status));
    } catch (error) {
      if (error.name !== 'AbortError') state.textContent = error.message;
      return false;
    }
  };
  return {
    title: 'Jobs',
    content: [newJob(), section('All jobs', state, list)],
    start: (signal) => follow('job', null, () => read(signal), signal),
  };
}

function card(job) {
  return h('article', { class: 'item' },
    h('h3', {}, h('a', { href: `#/jobs/${path(job.jobId)}` }, job.jobId), ' ', status(job)),
    h('p', {}, whatOf(job), ' for ', h('code', {}, job.queryCondition || '*')),
    h('p', { class: 'hint' }, moment(job.startTime ?? job.createdTime), job.endTime ? ` – ${moment(job.endTime)}` : ''),
    counts(job));
}

function status(job) {
  return badge(KINDS[job.status] ?? 'none', job.status);
}

function whatOf(job) {
  return job.type === 'scheduleDeviceMethod' ? `Method ${job.cloudToDeviceMethod?.methodName ?? ''}` : 'Twin change';
}

function counts(job) {
  const figures = job.deviceJobStatistics;
  if (!figures) return null;
  return bar('Devices', [
    { kind: 'good', name: 'succeeded', count: figures.succeededCount ?? 0 },
    { kind: 'bad', name: 'failed', count: figures.failedCount ?? 0 },
    { kind: 'busy', name: 'running', count: figures.runningCount ?? 0 },
    { kind: 'wait', name: 'pending', count: figures.pendingCount ?? 0 },
  ]);
}

function jobView(id) {
  const head = h('div', {});
  const rows = h('tbody', {});
  const state = h('p', { class: 'hint', role: 'status' });
  const cancel = h('button', { type: 'button', class: 'danger', hidden: true }, 'Cancel the job');
  const read = async (signal) => {
    try {
      const job = await call('GET', `/jobs/v2/${path(id)}`, { signal });
      cancel.hidden = ENDED.has(job.status);
      fill(head, h('p', {}, status(job), ' ', whatOf(job), ' for ', h('code', {}, job.queryCondition || '*')),
        h('p', { class: 'hint' }, moment(job.startTime ?? job.createdTime), job.endTime ? ` – ${moment(job.endTime)}` : ''),
        job.failureReason ? h('p', { class: 'notice' }, job.failureReason) : null, counts(job),
        h('details', {}, h('summary', {}, 'What is done'), h('pre', { tabindex: 0 }, pretty(job.cloudToDeviceMethod ?? job.updateTwin ?? {}))));
      const results = [];
      await query(`SELECT * FROM devices.jobs WHERE devices.jobs.jobId = ${quoted(id)}`, (page) => results.push(...page), signal);
      state.textContent = results.length === 0 ? 'No device so far.' : '';
      fill(rows, results.sort((a, b) => a.deviceId.localeCompare(b.deviceId)).slice(0, 1000).map(result));
      return !ENDED.has(job.status);
    } catch (error) {
      if (error.name !== 'AbortError') state.textContent = error.message;
      return false;
    }
  };
  cancel.addEventListener('click', async () => {
    if (!await confirm(`Cancel the job ${id}? What devices have done stays done.`, 'Cancel the job')) return;
    await busy(cancel, async () => {
      try { await call('POST', `/jobs/v2/${path(id)}/cancel`); announce('Cancelled.'); } catch (error) { state.textContent = error.message; }
    });
  });
  return {
    title: id,
    content: [
      h('nav', { class: 'crumbs', 'aria-label': 'Where this is' }, h('a', { href: '#/jobs' }, 'Jobs'), ` / ${id}`),
      section('The job', head, cancel),
      section('Devices', state, h('div', { class: 'scroll', tabindex: 0, role: 'region', 'aria-label': 'Results by device' },
        h('table', {}, h('caption', { class: 'unseen' }, 'Results by device'),
          h('thead', {}, h('tr', {}, ['Device', 'Result', 'Answer', 'Last change'].map((name) => h('th', { scope: 'col' }, name)))), rows))),
    ],
    start: (signal) => follow('job', id, () => read(signal), signal),
  };
}

function result(row) {
  const answer = row.outcome?.deviceMethodResponse;
  const text = answer ? `${answer.status} ${JSON.stringify(answer.payload)}` : row.error ? row.error.description ?? JSON.stringify(row.error) : '';
  return h('tr', {},
    h('th', { scope: 'row' }, h('a', { href: `#/devices/${path(row.deviceId)}` }, row.deviceId)),
    h('td', { 'data-name': 'Result' }, badge(KINDS[row.status] ?? 'none', row.status)),
    h('td', { 'data-name': 'Answer' }, h('code', {}, text.length > 300 ? `${text.slice(0, 300)}…` : text)),
    h('td', { 'data-name': 'Last change' }, moment(row.lastUpdatedDateTimeUtc)));
}

/**
 * Reads now, soon after each event of the kind (and id), and every two seconds while `read` says that something goes on:
 * what single devices did is no event.
 */
export function follow(kind, id, read, signal) {
  let due = null;
  const soon = (wait) => { due ??= setTimeout(now, wait); };
  const now = async () => {
    due = null;
    if (!signal.aborted && await read()) soon(2000);
  };
  fleet.onEvent((event, data) => {
    if (event !== 'lagged' && (event !== kind || (id && data.id !== id))) return;
    clearTimeout(due);
    due = null;
    soon(300);
  }, signal);
  now();
}

function newJob() {
  const kind = h('select', {}, h('option', { value: 'scheduleDeviceMethod' }, 'Direct method'), h('option', { value: 'scheduleUpdateTwin' }, 'Twin change'));
  const condition = h('input', { required: true, value: '*', spellcheck: 'false', autocomplete: 'off' });
  const method = h('input', { spellcheck: 'false', autocomplete: 'off', placeholder: 'reboot' });
  const body = h('textarea', { class: 'code', rows: 4, spellcheck: 'false' });
  const limit = h('input', { type: 'number', min: 1, max: 172800, value: 3600, required: true });
  const entries = {
    kind: field('What', kind),
    condition: field('For devices where', condition, 'A condition of the query language, such as tags.site = \'x\'; * for all.'),
    method: field('Method', method),
    body: field('Payload', body, 'JSON; empty is null.'),
    limit: field('Seconds at most', limit),
  };
  const note = h('p', { class: 'notice', role: 'alert', hidden: true });
  const button = h('button', { class: 'primary' }, 'Start');
  kind.addEventListener('change', () => {
    const twin = kind.value === 'scheduleUpdateTwin';
    entries.method.hidden = twin;
    entries.body.querySelector('label').textContent = twin ? 'Twin patch' : 'Payload';
    entries.body.querySelector('.hint').textContent = twin ? '{"tags": {…}, "properties": {"desired": {…}}}' : 'JSON; empty is null.';
  });
  const submit = (event) => {
    event.preventDefault();
    note.hidden = true;
    const twin = kind.value === 'scheduleUpdateTwin';
    const read = twin ? readSection(body.value) : body.value.trim() ? readJson(body.value) : { value: null };
    entries.body.fault(read.fault);
    entries.method.fault(!twin && !method.value ? 'Which method?' : null);
    if (read.fault || (!twin && !method.value)) return;
    const jobId = `page-${new Date().toISOString().replace(/\D/g, '').slice(0, 17)}`;
    const job = { jobId, type: kind.value, queryCondition: condition.value, startTime: new Date().toISOString(), maxExecutionTimeInSeconds: Number(limit.value) };
    if (twin) job.updateTwin = { etag: '*', ...read.value };
    else job.cloudToDeviceMethod = { methodName: method.value, payload: read.value, responseTimeoutInSeconds: 30 };
    busy(button, async () => {
      try {
        await call('PUT', `/jobs/v2/${path(jobId)}`, { body: job });
        location.hash = `#/jobs/${jobId}`;
      } catch (error) {
        note.hidden = false;
        note.textContent = error.message;
      }
    });
  };
  return h('details', { class: 'panel' }, h('summary', {}, 'New job'),
    h('form', { onsubmit: submit }, h('div', { class: 'pair' }, entries.kind, entries.limit), entries.condition, entries.method, entries.body, note,
      h('div', { class: 'actions' }, button)));
}
