// How a device stands with its firmware and plugins, from what it reports: any of the dialects that the first-party
// update plugin speaks (and Azure's tutorials with it), and Hotshoe's own member `hotshoe`.

import { at, isObject } from './json.js';

/** All states, in the order of the bar. */
export const STATES = [
  { state: 'current', kind: 'good', name: 'up to date' },
  { state: 'updating', kind: 'busy', name: 'updating' },
  { state: 'waiting', kind: 'wait', name: 'waiting' },
  { state: 'rolledback', kind: 'warn', name: 'rolled back' },
  { state: 'failed', kind: 'bad', name: 'failed' },
  { state: 'none', kind: 'none', name: 'no word' },
];

const WORDS = {
  current: 'current', completed: 'current', applyComplete: 'current',
  downloading: 'updating', verifying: 'updating', applying: 'updating', rebooting: 'updating', downloadComplete: 'updating',
  waiting: 'waiting', standBy: 'waiting',
  rolledback: 'rolledback', rolledBack: 'rolledback',
  error: 'failed', failed: 'failed', cancelled: 'failed', downloadFailed: 'failed', applyFailed: 'failed',
};

/** `{state, kind, name, word, version, job}` of a device's reported properties. */
export function firmwareOf(reported) {
  const word = ['firmware.fwUpdateStatus', 'firmwareStatus', 'iothubDM.firmwareUpdate.status']
    .map((path) => at(reported, path)).find((value) => typeof value === 'string');
  const jobs = at(reported, 'hotshoe.jobs');
  const job = isObject(jobs) ? Object.values(jobs).find(isObject) : undefined;
  const state = job ? 'updating' : WORDS[word] ?? 'none';
  const slots = at(reported, 'hotshoe.slots');
  const running = Array.isArray(slots) ? slots.find((slot) => slot?.running === true)?.version : undefined;
  const version = [at(reported, 'firmware.currentFwVersion'), running, at(reported, 'firmwareVersion')]
    .find((value) => typeof value === 'string' && value !== '');
  return { ...STATES.find((one) => one.state === state), word: job?.phase ?? word ?? '', version, job };
}

/** `[{name, version, state}]` of the plugins that a device reports. */
export function pluginsOf(reported) {
  const plugins = at(reported, 'hotshoe.plugins');
  if (!isObject(plugins)) return [];
  return Object.entries(plugins).filter(([, plugin]) => isObject(plugin)).map(([name, plugin]) => ({
    name: name.replaceAll('/', '.'), version: String(plugin.version ?? '?'), state: String(plugin.state ?? ''),
  }));
}
