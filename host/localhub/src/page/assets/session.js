// Who the operator is. A session is a token of the hub, kept in this tab alone (sessionStorage) until it ends.
//
// It comes from a one-time link, or is signed here with the key of a connection string; the key itself is dropped.
// There is no cookie, so no other site can make the browser speak for the operator.

const PLACE = 'hotshoe.session';
const HOURS = 12;

/** The present session `{token, policy, expires}`, or null. */
export function session() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(PLACE));
    return kept && kept.expires * 1000 > Date.now() ? kept : null;
  } catch {
    return null;
  }
}

export function begin(token) {
  const fields = new URLSearchParams(token.replace(/^SharedAccessSignature /, ''));
  const kept = { token, policy: fields.get('skn'), expires: Number(fields.get('se')) };
  sessionStorage.setItem(PLACE, JSON.stringify(kept));
}

export function end() {
  sessionStorage.removeItem(PLACE);
}

/** Exchanges the code of a one-time link for a session. False when it was used, is old, or was never given. */
export async function redeem(code) {
  const response = await fetch('/localhub/page/session', { method: 'POST', body: JSON.stringify({ code }) });
  if (!response.ok) return false;
  begin((await response.json()).token);
  return true;
}

/** A token signed with the key of a connection string. Throws what a person can act on. */
export async function tokenOf(connectionString) {
  const parts = new Map(connectionString.trim().split(';').map((part) => {
    const at = part.indexOf('=');
    return [part.slice(0, at), part.slice(at + 1)];
  }));
  const [host, policy, key] = ['HostName', 'SharedAccessKeyName', 'SharedAccessKey'].map((name) => {
    const value = parts.get(name);
    if (!value) throw new Error(`The connection string has no ${name}. The owner's has HostName, SharedAccessKeyName and SharedAccessKey.`);
    return value;
  });
  let secret;
  try {
    secret = Uint8Array.from(atob(key), (c) => c.charCodeAt(0));
  } catch {
    throw new Error('The SharedAccessKey is not base64: was it cut when it was copied?');
  }
  const resource = encodeURIComponent(host);
  const expires = Math.floor(Date.now() / 1000) + HOURS * 3600;
  const signer = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const signed = await crypto.subtle.sign('HMAC', signer, new TextEncoder().encode(`${resource}\n${expires}`));
  const signature = encodeURIComponent(btoa(String.fromCharCode(...new Uint8Array(signed))));
  return `SharedAccessSignature sr=${resource}&sig=${signature}&se=${expires}&skn=${encodeURIComponent(policy)}`;
}
