// Signing in with a connection string. Where that stands, the page says.

import { h, field } from './dom.js';
import { begin, end, tokenOf } from './session.js';
import { call } from './api.js';

/** The form. `words` say why one is asked, `enter` goes on. */
export function signIn(words, enter) {
  const text = h('textarea', {
    rows: 3, required: true, spellcheck: 'false', autocomplete: 'off', autocapitalize: 'off', class: 'code',
    placeholder: 'HostName=…;SharedAccessKeyName=iothubowner;SharedAccessKey=…',
  });
  const entry = field('Connection string', text, [
    'The owner’s stands in ', h('code', {}, 'owner.connection-string'), ' of the hub’s data directory. ',
    'The key does not leave this page: it signs a token for this tab, good for twelve hours, and is forgotten.',
  ]);
  const submit = async (event) => {
    event.preventDefault();
    entry.fault(null);
    try {
      begin(await tokenOf(text.value));
      await call('GET', '/statistics/service');
    } catch (error) {
      end();
      entry.fault(error.status === 401 ? 'The hub does not take this: is it the connection string of another hub?' : error.message);
      return;
    }
    enter();
  };
  return h('section', { class: 'panel sign-in', 'aria-labelledby': 'sign-in' },
    h('h1', { id: 'sign-in' }, 'Sign in'),
    words ? h('p', { role: 'alert', class: 'notice' }, words) : null,
    h('form', { onsubmit: submit }, entry,
      h('div', { class: 'actions' }, h('button', { class: 'primary' }, 'Sign in'))),
    h('p', { class: 'hint' }, 'Or open the one-time link which the hub prints as ', h('code', {}, 'page'), ' when it starts.'));
}
