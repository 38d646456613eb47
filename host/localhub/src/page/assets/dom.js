// Elements from code: no markup is ever made of text, so nothing that a device says can become part of the page.

/** An element. Attributes that are null or false are left out; `on…` are listeners; children may be nested lists. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (key === 'value' || key === 'checked') element[key] = value;
    else element.setAttribute(key, value === true ? '' : String(value));
  }
  add(element, children);
  return element;
}

/** Appends children: nodes, texts, lists of them; null is left out. */
export function add(parent, children) {
  for (const child of [children].flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) parent.append(child);
  }
}

/** Makes these the only children. */
export function fill(parent, ...children) {
  const kept = [children].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  parent.replaceChildren(...kept);
}

/** Says something to those who do not see the page. */
export function announce(text) {
  const place = document.getElementById('announce');
  place.textContent = '';
  requestAnimationFrame(() => { place.textContent = text; });
}

let counter = 0;
/** A labelled field. `control` gets an id, and the label, the hint and a place for an error point at it. */
export function field(label, control, hint) {
  const id = `field-${++counter}`;
  control.id = id;
  const error = h('p', { id: `${id}-error`, class: 'error', role: 'alert', hidden: true });
  const note = hint ? h('p', { id: `${id}-hint`, class: 'hint' }, hint) : null;
  control.setAttribute('aria-describedby', note ? `${id}-hint ${id}-error` : `${id}-error`);
  const element = h('div', { class: 'field' }, h('label', { for: id }, label), control, note, error);
  /** Shows what is wrong with the field, or with null that nothing is. */
  element.fault = (text) => {
    error.hidden = !text;
    error.textContent = text ?? '';
    if (text) control.setAttribute('aria-invalid', 'true'); else control.removeAttribute('aria-invalid');
  };
  return element;
}

/** A section of a view with a heading. */
export function section(title, ...children) {
  const id = `section-${++counter}`;
  return h('section', { class: 'panel', 'aria-labelledby': id }, h('h2', { id }, title), ...children);
}

/** A badge: colour and words, never colour alone. */
export function badge(kind, text) {
  return h('span', { class: `badge ${kind}` }, text);
}

/** The time of day, in the reader's own way. */
export function clock(time) {
  const date = time ? new Date(time) : new Date();
  return Number.isNaN(date.getTime()) ? '' : date.toLocaleTimeString([], { hour12: false });
}

/** Day and time; nothing for the time that stands for never. */
export function moment(time) {
  if (!time || time.startsWith('0001')) return '';
  const date = new Date(time);
  return Number.isNaN(date.getTime()) ? '' : date.toLocaleString([], { dateStyle: 'medium', timeStyle: 'medium', hour12: false });
}

export function bytes(count) {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(1)} KiB`;
  return `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

/** Runs work for a button: it cannot be pressed again meanwhile. */
export async function busy(button, work) {
  button.disabled = true;
  try { await work(); } finally { button.disabled = false; }
}

/** Asks in a dialog; resolves to true or false. */
export function confirm(question, action) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { 'aria-label': question },
      h('p', {}, question),
      h('form', { method: 'dialog', class: 'actions' },
        h('button', { value: 'yes', class: 'danger' }, action),
        h('button', { value: 'no', autofocus: true }, 'Keep')));
    dialog.addEventListener('close', () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** A bar of parts `[{kind, name, count}]` with its legend. */
export function bar(label, parts) {
  const shown = parts.filter((part) => part.count > 0);
  const text = shown.map((part) => `${part.count} ${part.name}`).join(', ') || 'nothing';
  const strip = h('div', { class: 'bar', role: 'img', 'aria-label': `${label}: ${text}` }, shown.map((part) => {
    const piece = h('span', { class: part.kind });
    piece.style.flexGrow = part.count;
    return piece;
  }));
  const legend = h('ul', { class: 'legend' }, shown.map((part) => h('li', {},
    h('span', { class: `key ${part.kind}`, 'aria-hidden': 'true' }), `${part.name} `, h('b', {}, part.count))));
  return h('div', { class: 'bar-with-legend' }, strip, legend);
}
