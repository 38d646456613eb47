// JSON as people edit it and read it.

/** Applies a merge patch (RFC 7386) in place, as twins do; adds the dotted paths of what changed to `changed`. */
export function merge(target, patch, changed = [], at = '') {
  for (const [key, value] of Object.entries(patch)) {
    if (key.startsWith('$')) continue;
    const path = at ? `${at}.${key}` : key;
    if (value === null) {
      if (key in target) { delete target[key]; changed.push(path); }
    } else if (isObject(value)) {
      if (!isObject(target[key])) { target[key] = {}; changed.push(path); }
      merge(target[key], value, changed, path);
    } else if (JSON.stringify(target[key]) !== JSON.stringify(value)) {
      target[key] = value;
      changed.push(path);
    }
  }
  return changed;
}

/** The merge patch that makes `to` of `from`. */
export function patchBetween(from, to) {
  const patch = {};
  for (const key of Object.keys(from)) if (!(key in to)) patch[key] = null;
  for (const [key, value] of Object.entries(to)) {
    if (isObject(value) && isObject(from[key])) {
      const inner = patchBetween(from[key], value);
      if (Object.keys(inner).length > 0) patch[key] = inner;
    } else if (JSON.stringify(value) !== JSON.stringify(from[key])) {
      patch[key] = value;
    }
  }
  return patch;
}

/** Without the members that the hub adds. */
export function plain(value) {
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !key.startsWith('$')).map(([key, inner]) => [key, plain(inner)]));
}

/** Reads what a person wrote for a section of a twin: `{value}` or `{fault}`. */
export function readSection(text) {
  const read = readJson(text || '{}');
  if (read.fault) return read;
  if (!isObject(read.value)) return { fault: 'This is not an object: { … }.' };
  const fault = faultIn(read.value, '', 1);
  return fault ? { fault } : read;
}

/** Reads JSON: `{value}` or `{fault}`. */
export function readJson(text) {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    return { fault: `Not JSON yet: ${error.message}` };
  }
}

// What twins do not take; the hub has the last word.
function faultIn(object, at, depth) {
  if (depth > 10) return `${at} is deeper than 10 levels.`;
  for (const [key, value] of Object.entries(object)) {
    const path = at ? `${at}.${key}` : key;
    if (key === '' || /[.$#\s\u0000-\u001f]/.test(key)) return `The name "${key}" has a dot, a space, $ or #, which twins do not take.`;
    const fault = isObject(value) ? faultIn(value, path, depth + 1) : null;
    if (fault) return fault;
  }
  return null;
}

export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The value at a dotted path. */
export function at(value, path) {
  return path.split('.').reduce((inner, key) => (isObject(inner) ? inner[key] : undefined), value);
}

export const pretty = (value) => JSON.stringify(value, null, 2);
