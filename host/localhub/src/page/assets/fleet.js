// What the page knows of all devices: read once, then kept true by events.

import { listen, query, call, path } from './api.js';
import { merge, plain } from './json.js';
import { firmwareOf, pluginsOf } from './firmware.js';

/** From this many devices on, what is drawn of them rests for so many milliseconds in between. */
const LARGE = 500;
const PAUSE = 300;
const KINDS = 'connected,disconnected,twin,method,created,updated,deleted,job,configuration';

/** Devices by id: `{deviceId, connected, status, tags, reported, firmware, plugins}`. */
export const devices = new Map();
/** Whether events come, and whether all devices are read. */
export const state = { live: false, complete: false, error: null };

/** How many events there were of each device: an answer that was on its way meanwhile may be older than them. */
const told = new Map();
const toldOf = (id) => told.get(id) ?? 0;

const listeners = new Set();
const wishes = new Set();
let scheduled = false;

/** Calls back after changes, at most once a frame (for a large fleet a few times a second), until `signal`. */
export function onChange(listener, signal) {
  listeners.add(listener);
  signal.addEventListener('abort', () => listeners.delete(listener));
}

/** Calls back with every event `(kind, data)`, until `signal`. */
export function onEvent(listener, signal) {
  wishes.add(listener);
  signal.addEventListener('abort', () => wishes.delete(listener));
}

function changed() {
  if (scheduled) return;
  scheduled = true;
  const tell = () => { scheduled = false; for (const listener of listeners) listener(); };
  if (devices.size < LARGE) requestAnimationFrame(tell); else setTimeout(tell, PAUSE);
}

/** Follows the fleet until `signal`. */
export function follow(signal) {
  devices.clear();
  told.clear();
  listen(`/localhub/events?kinds=${KINDS}`, {
    signal,
    opened: () => { state.live = true; readAll(signal); },
    closed: () => { state.live = false; changed(); },
    event: (kind, data) => {
      if (kind === 'lagged') readAll(signal); else apply(kind, data);
      for (const listener of wishes) listener(kind, data);
    },
  });
}

async function readAll(signal) {
  const seen = new Set();
  state.complete = false;
  try {
    const before = new Map(told);
    await query('SELECT * FROM devices', (twins) => {
      for (const twin of twins) {
        seen.add(twin.deviceId);
        if (toldOf(twin.deviceId) === (before.get(twin.deviceId) ?? 0)) take(twin); else read(twin.deviceId);
      }
      changed();
    }, signal);
    // A device that was made meanwhile is on no page, but its event has told of it.
    for (const id of devices.keys()) if (!seen.has(id) && toldOf(id) === (before.get(id) ?? 0)) devices.delete(id);
    state.complete = true;
    state.error = null;
  } catch (error) {
    if (error.name !== 'AbortError') state.error = error.message;
  }
  changed();
}

function take(twin) {
  devices.set(twin.deviceId, {
    deviceId: twin.deviceId,
    connected: twin.connectionState === 'Connected',
    status: twin.status,
    tags: twin.tags ?? {},
    reported: plain(twin.properties?.reported ?? {}),
  });
  derive(devices.get(twin.deviceId));
}

function derive(device) {
  device.firmware = firmwareOf(device.reported);
  device.plugins = pluginsOf(device.reported);
}

async function read(id) {
  try {
    for (let before = -1; before !== toldOf(id);) {
      before = toldOf(id);
      take(await call('GET', `/twins/${path(id)}`));
    }
  } catch (error) {
    if (error.status === 404) devices.delete(id);
  }
  changed();
}

function apply(kind, data) {
  if (data.module || !data.device) return;
  told.set(data.device, toldOf(data.device) + 1);
  const device = devices.get(data.device);
  if (kind === 'deleted') devices.delete(data.device);
  else if (!device) { read(data.device); return; }
  else if (kind === 'connected') device.connected = true;
  else if (kind === 'disconnected') device.connected = false;
  else if (kind === 'updated') device.status = data.status;
  else if (kind === 'twin' && data.section !== 'desired') {
    if (data.replaced) device[data.section] = {};
    merge(device[data.section], data.patch);
    derive(device);
  } else return;
  changed();
}
