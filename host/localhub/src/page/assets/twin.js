// The twin: what the device reports, live, and editors for what operators wish and note.
//
// An editor sends the difference to what it was opened with, under that state's entity tag, which stays its own while
// a person writes: when somebody else changed the section meanwhile, the hub refuses, and the person chooses.

import { h, fill, section, field, announce, busy, clock } from './dom.js';
import { call, path } from './api.js';
import { merge, patchBetween, plain, pretty, readSection, isObject } from './json.js';

/** How long a change stays marked. */
const MARKED = 6000;

/** `told` hears the reported properties whenever they change. */
export function twinPart(id, told) {
  const tree = h('div', { class: 'tree' });
  const when = h('p', { class: 'hint' });
  const state = { reported: {}, version: 0, marks: new Map() };
  const save = (patch, etag) => call('PATCH', `/twins/${path(id)}`, {
    body: patch, headers: etag ? { 'if-match': `"${etag}"` } : {},
  });
  const fetch = () => call('GET', `/twins/${path(id)}`);
  const desired = editor('Desired properties', 'What you wish. A device that is connected hears it at once.', {
    save: async (patch, etag) => take(await save({ properties: { desired: patch } }, etag)), fetch: async () => take(await fetch()),
  });
  const tags = editor('Tags', 'What you note about the device; it never sees them.', {
    save: async (patch, etag) => take(await save({ tags: patch }, etag)), fetch: async () => take(await fetch()),
  });

  const draw = () => {
    const now = Date.now();
    for (const [at, until] of state.marks) if (until <= now) state.marks.delete(at);
    fill(tree, Object.keys(state.reported).length > 0 ? branch(state.reported, '', state.marks) : h('p', { class: 'hint' }, 'Nothing is reported yet.'));
  };

  /** Marks what changed, for a while, and says it. */
  const mark = (changed) => {
    if (changed.length === 0) return;
    for (const at of changed) state.marks.set(at, Date.now() + MARKED);
    setTimeout(draw, MARKED + 50);
    announce(`Reported: ${changed.slice(0, 3).join(', ')}${changed.length > 3 ? ` and ${changed.length - 3} more` : ''} changed.`);
  };

  const take = (twin, anew = false) => {
    const reported = plain(twin.properties.reported);
    const version = twin.properties.reported.$version;
    // An answer may be older than the events that came while it was on its way.
    if (anew || version >= state.version) {
      if (!anew) mark(merge(state.reported, patchBetween(state.reported, reported)));
      if (version !== state.version) when.textContent = `Version ${version}`;
      state.reported = reported;
      state.version = version;
    }
    desired.take(plain(twin.properties.desired), twin.etag, twin.properties.desired.$version);
    tags.take(plain(twin.tags ?? {}), twin.etag, null);
    draw();
    told(state.reported);
  };

  const event = async (data) => {
    if (data.section !== 'reported') {
      take(await fetch());
      return;
    }
    if (data.version <= state.version) return;
    if (data.version !== state.version + 1) { take(await fetch()); return; }
    state.version = data.version;
    mark(merge(state.reported, data.patch));
    when.textContent = `Version ${data.version}, reported ${clock(data.time)}`;
    draw();
    told(state.reported);
  };

  return {
    reported: section('Reported properties', when, tree),
    desired: desired.element,
    tags: tags.element,
    take,
    event: (data) => event(data).catch((error) => { when.textContent = error.message; }),
  };
}

function branch(object, at, marks) {
  return h('ul', {}, Object.entries(object).map(([key, value]) => {
    const path = at ? `${at}.${key}` : key;
    const mark = marks.has(path) ? 'changed' : null;
    if (isObject(value)) return h('li', { class: mark }, h('span', { class: 'name' }, key), branch(value, path, marks));
    const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
    return h('li', { class: mark, 'data-path': path },
      h('span', { class: 'name' }, key), ' ', h('span', { class: `value ${kind}` }, kind === 'string' ? value : JSON.stringify(value)));
  }));
}

function editor(title, hint, { save, fetch }) {
  const text = h('textarea', { class: 'code', spellcheck: 'false', rows: 6 });
  const entry = field('JSON', text, hint);
  const version = h('span', { class: 'hint' });
  const notice = h('div', { class: 'notice', role: 'alert', hidden: true });
  const saveButton = h('button', { class: 'primary', disabled: true }, 'Save');
  const undoButton = h('button', { type: 'button', disabled: true }, 'Undo');
  /** What the editor was opened with, and the tag under which the hub still has that. */
  let base = {};
  let tag = null;
  /** The last text that was shown and is the hub's, not the person's. */
  let clean = '';

  const isDirty = () => text.value !== clean;
  const fit = () => { text.rows = Math.min(24, Math.max(4, text.value.split('\n').length + 1)); };
  const check = () => {
    const read = readSection(text.value);
    entry.fault(isDirty() ? read.fault : null);
    saveButton.disabled = Boolean(read.fault) || !isDirty();
    undoButton.disabled = !isDirty();
    fit();
    return read;
  };
  const show = (value, etag) => {
    base = value;
    tag = etag;
    clean = pretty(value);
    text.value = clean;
    notice.hidden = true;
    check();
  };

  const submit = async (force) => {
    const { value, fault } = check();
    if (fault) return;
    const patch = patchBetween(base, value);
    const [mine, opened, under] = [text.value, base, tag];
    await busy(saveButton, async () => {
      try {
        clean = mine; // what comes back may be shown
        await save(patch, force ? null : tag);
        announce(`${title} saved.`);
      } catch (error) {
        show(opened, under); // theirs may have come meanwhile, and mine is not saved
        text.value = mine;
        check();
        if (error.status === 412) conflict(patch); else entry.fault(error.message);
      }
    });
    if (!isDirty()) check();
  };

  const conflict = (patch) => {
    notice.hidden = false;
    fill(notice,
      h('p', {}, h('b', {}, 'Somebody changed this twin since you began.'), ' Your change is not saved.'),
      h('div', { class: 'actions' },
        h('button', { type: 'button', onclick: () => submit(true) }, 'Make my change on top of theirs'),
        h('button', { type: 'button', onclick: async () => { clean = text.value; await fetch(); announce('Their state is shown.'); } }, 'Show theirs, drop mine')),
      h('details', {}, h('summary', {}, 'My change'), h('pre', { tabindex: 0 }, pretty(patch))));
  };

  text.addEventListener('input', check);
  undoButton.addEventListener('click', () => { clean = text.value; fetch().catch((error) => entry.fault(error.message)); });
  const element = section(title,
    h('form', { onsubmit: (event) => { event.preventDefault(); submit(false); } }, entry, notice,
      h('div', { class: 'actions' }, saveButton, undoButton, version)));

  return {
    element,
    /** The hub's state. What a person is writing is left alone, and the person told. */
    take: (value, etag, number) => {
      version.textContent = number === null ? '' : `Version ${number}`;
      if (!isDirty()) show(value, etag);
      else if (JSON.stringify(base) === JSON.stringify(value)) tag = etag; // another section changed
      else conflict(patchBetween(base, readSection(text.value).value ?? base));
    },
  };
}
