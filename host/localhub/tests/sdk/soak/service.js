// A service app on the official Node SDK, for the soak: calls and changes twins without a pause worth the name.
//
// usage: node service.js CONNECTION-STRING DEVICE…
//
// Prints a line of JSON for each call (`{call, from, to, ok | error}`, times in seconds) and each change of the desired
// properties (`{desired, n}`), until standard input ends. Needs NODE_EXTRA_CA_CERTS and a hub on port 443.
'use strict';

const { Client, Registry } = require('azure-iothub');

const [connectionString, ...devices] = process.argv.slice(2);
const client = Client.fromConnectionString(connectionString);
const registry = Registry.fromConnectionString(connectionString);
let ending = false;
let number = 1000000000;

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
const tell = (what) => console.log(JSON.stringify(what));

async function calls(device) {
  while (!ending) {
    const payload = { n: number++ };
    const from = Date.now() / 1000;
    try {
      const parameters = { methodName: 'echo', payload, connectTimeoutInSeconds: 30, responseTimeoutInSeconds: 10 };
      const { result } = await client.invokeDeviceMethod(device, parameters);
      const ok = result.status === 200 && result.payload.echo.n === payload.n;
      tell({ call: device, from, to: Date.now() / 1000, ok, ...(ok ? {} : { error: JSON.stringify(result) }) });
    } catch (error) {
      tell({ call: device, from, to: Date.now() / 1000, ok: false, error: `${error.name}: ${error.message} ${error.responseBody || ''}` });
    }
    await pause(400);
  }
}

async function desires(device) {
  for (let n = 1; !ending; n++) {
    try {
      await registry.updateTwin(device, { properties: { desired: { node: n } } }, '*');
      tell({ desired: device, n });
    } catch (error) {
      tell({ failed: device, error: `${error}` });
    }
    await pause(1500);
  }
}

process.stdin.resume();
process.stdin.on('end', () => { ending = true; });
Promise.all(devices.flatMap((device) => [calls(device), desires(device)])).then(() => process.exit(0));
