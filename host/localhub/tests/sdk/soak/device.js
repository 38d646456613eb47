// A device on the official Node SDK, for the soak: short tokens, answers `echo`, reports what it saw desired.
//
// usage: node device.js CONNECTION-STRING CA-FILE mqtt|websocket TOKEN-SECONDS
//
// Prints `ready` when it is connected and, at the end of standard input, one line of JSON about what it did.
'use strict';

const fs = require('fs');
const { Client, SharedAccessKeyAuthenticationProvider } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');

const [connectionString, ca, transport, lifetime] = process.argv.slice(2);
const provider = SharedAccessKeyAuthenticationProvider.fromConnectionString(connectionString);
// Renewed this long before its end; the SDK renews at three quarters by default.
provider.setTokenRenewalValues(Number(lifetime), Math.floor(Number(lifetime) / 4));
const client = Client.fromAuthenticationProvider(provider, transport === 'websocket' ? MqttWs : Mqtt);
const told = { calls: 0, twice: 0, patches: 0, backwards: 0, unanswered: 0, reports: 0, unconfirmed: 0, disconnects: 0 };
// This SDK sends twin requests with QoS 0 and waits for their answer for ever: what a cut took with it is sent again.
const CONFIRMED_WITHIN = 5000;
const numbers = new Set();
const seen = {};
let reported = '{}';
let reporting = null; // since when
let twin;

function desired(patch) {
  for (const by of ['python', 'node']) {
    if (typeof patch[by] === 'number') {
      if (patch[by] < (seen[by] || 0)) told.backwards += 1;
      seen[by] = Math.max(patch[by], seen[by] || 0);
    }
  }
}

function report() {
  const shown = JSON.stringify(seen);
  if (reporting && Date.now() - reporting < CONFIRMED_WITHIN) return;
  if (reporting) told.unconfirmed += 1;
  reporting = null;
  if (shown === reported) return;
  const began = reporting = Date.now();
  twin.properties.reported.update({ seen: JSON.parse(shown) }, (error) => {
    if (reporting !== began) return; // it has been sent again
    reporting = null;
    if (error) {
      console.error(`not reported yet: ${error}`);
    } else {
      told.reports += 1;
      reported = shown;
    }
  });
}

async function main() {
  await client.setOptions({ ca: fs.readFileSync(ca, 'utf8'), keepalive: 20 });
  await client.open();
  client.on('disconnect', () => { told.disconnects += 1; });
  client.on('error', (error) => console.error(`client: ${error}`));
  client.onDeviceMethod('echo', (request, response) => {
    told.calls += 1;
    const number = request.payload && request.payload.n;
    if (numbers.has(number)) told.twice += 1;
    numbers.add(number);
    response.send(200, { echo: request.payload }, (error) => {
      if (error) {
        told.unanswered += 1;
        console.error(`no answer sent: ${error}`);
      }
    });
  });
  twin = await client.getTwin();
  desired(twin.properties.desired);
  twin.on('properties.desired', (patch) => { told.patches += 1; desired(patch); });
  setInterval(report, 100);
  // A change that is made while the device is away is not announced to it; this SDK leaves reading to the application.
  setInterval(() => twin.get((error) => { if (!error) desired(twin.properties.desired); }), 10000);
  console.log('ready');
  process.stdin.resume();
  process.stdin.on('end', async () => {
    console.log(JSON.stringify(told));
    process.exit(0);
  });
}

main().catch((error) => { console.error(error); process.exit(1); });
