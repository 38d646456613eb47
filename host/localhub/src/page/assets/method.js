// Direct methods: call one, see what the device answers and how long it took.

import { h, section, field, badge, announce, busy, clock } from './dom.js';
import { call, path } from './api.js';
import { pretty, readJson } from './json.js';

/** How many answers stay. */
const KEPT = 10;

export function methodPart(id) {
  const name = h('input', { required: true, maxlength: 100, autocomplete: 'off', spellcheck: 'false', list: 'methods', placeholder: 'reboot' });
  const names = h('datalist', { id: 'methods' }, ['hotshoe.status', 'firmwareUpdate', 'reboot', 'hotshoe.plugins.install', 'hotshoe.plugins.rollback']
    .map((value) => h('option', { value })));
  const payload = h('textarea', { class: 'code', rows: 4, spellcheck: 'false' });
  const wait = h('input', { type: 'number', min: 5, max: 300, value: 30, required: true });
  const entries = {
    name: field('Method', name),
    payload: field('Payload', payload, 'JSON; empty is null.'),
    wait: field('Wait for the answer', wait, 'Seconds, 5 to 300.'),
  };
  const button = h('button', { class: 'primary' }, 'Call');
  const answers = h('ol', { class: 'answers', 'aria-label': 'Answers' });

  const submit = (event) => {
    event.preventDefault();
    const read = payload.value.trim() ? readJson(payload.value) : { value: null };
    entries.payload.fault(read.fault);
    if (read.fault) return;
    busy(button, async () => {
      const method = name.value;
      const began = performance.now();
      const time = clock();
      let outcome;
      try {
        const answer = await call('POST', `/twins/${path(id)}/methods`, {
          body: { methodName: method, payload: read.value, responseTimeoutInSeconds: Number(wait.value), connectTimeoutInSeconds: 0 },
        });
        outcome = { kind: answer.status < 300 ? 'good' : 'warn', status: String(answer.status), body: pretty(answer.payload) };
      } catch (error) {
        outcome = { kind: 'bad', status: error.code || 'failed', body: error.message };
      }
      const took = `${Math.round(performance.now() - began)} ms`;
      announce(`${method}: ${outcome.status} after ${took}.`);
      answers.prepend(h('li', { class: 'answer' },
        h('p', {}, badge(outcome.kind, outcome.status), ' ', h('b', {}, method), ' ', h('span', { class: 'hint' }, `${took}, ${time}`)),
        h('pre', { tabindex: 0, 'aria-label': `Answer of ${method}` }, outcome.body)));
      while (answers.children.length > KEPT) answers.lastChild.remove();
    });
  };

  return section('Direct method',
    h('form', { onsubmit: submit, class: 'method' }, h('div', { class: 'pair' }, entries.name, entries.wait), names, entries.payload,
      h('div', { class: 'actions' }, button)),
    answers);
}
