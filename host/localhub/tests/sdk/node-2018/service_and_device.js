// The official Node SDK of 2018, both sides, unmodified, against a hotshoe-localhub that runs on port 443 and 8883: the
// firmware tutorial's calls and what goes with them.
//
// usage: node service_and_device.js OWNER-CONNECTION-STRING-FILE ADDRESS
//
// A line for each transport, exit code 0 if all held. Needs NODE_EXTRA_CA_CERTS: this SDK takes authorities from nowhere else.
'use strict';

const assert = require('assert');
const fs = require('fs');
const { Client: Service, JobClient, Registry } = require('azure-iothub');
const { Client: Device, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');

const [ownerFile, address] = process.argv.slice(2);
const owner = fs.readFileSync(ownerFile, 'utf8').trim();
const service = Service.fromConnectionString(owner);
const registry = Registry.fromConnectionString(owner);
const jobs = JobClient.fromConnectionString(owner);
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

// A function of an SDK that knows no promises.
function call(object, name, ...rest) {
  return new Promise((done, fail) => {
    const late = setTimeout(() => fail(new Error(`${name} did not answer`)), 40000);
    object[name](...rest, (error, result) => {
      clearTimeout(late);
      if (error) fail(error); else done(result);
    });
  });
}

const update = (fwPackageUri) => ({ methodName: 'firmwareUpdate', payload: { fwPackageUri }, timeoutInSeconds: 30 });

// The device subscribes when a handler is set, and this SDK does not tell when that is done.
async function subscribed(id) {
  for (let tries = 0; ; tries++) {
    try {
      return await call(service, 'invokeDeviceMethod', id, update('test.com'));
    } catch (error) {
      if (tries === 50 || !`${error.responseBody}`.includes('404103')) throw error;
      await pause(100);
    }
  }
}

async function ended(job) {
  for (;;) {
    const state = await call(jobs, 'getJob', job);
    if (['completed', 'failed', 'cancelled'].includes(state.status)) return state;
    await pause(100);
  }
}

async function everything(transport) {
  const id = `device-of-2018-${transport.name}`;
  await call(registry, 'create', { deviceId: id });
  const { authentication } = await call(registry, 'get', id);
  const key = authentication.symmetricKey.primaryKey;
  const device = Device.fromConnectionString(`HostName=${address};DeviceId=${id};SharedAccessKey=${key}`, transport);
  await call(device, 'open');
  device.onDeviceMethod('firmwareUpdate', (request, response) => {
    response.send(200, `started ${request.payload.fwPackageUri}`, () => {});
  });
  assert.deepStrictEqual(await subscribed(id), { status: 200, payload: 'started test.com' });

  const twin = await call(device, 'getTwin');
  const told = new Promise((done) => twin.on('properties.desired.interval', done));
  await call(twin.properties.reported, 'update', { iothubDM: { firmwareUpdate: { status: 'downloading' } } });
  const seen = await call(registry, 'getTwin', id);
  assert.strictEqual(seen.properties.reported.iothubDM.firmwareUpdate.status, 'downloading');
  await call(seen, 'update', { properties: { desired: { interval: 4 } } });
  assert.strictEqual(await told, 4);

  const message = new Message('{"temperature":20}');
  message.properties.add('a', 'b/c');
  await call(device, 'sendEvent', message);

  const found = await call(registry.createQuery(`SELECT * FROM devices WHERE deviceId = '${id}'`, 10), 'nextAsTwin');
  assert.deepStrictEqual(found.map((one) => one.deviceId), [id]);

  const which = `deviceId = '${id}'`;
  await call(jobs, 'scheduleDeviceMethod', `method-${id}`, which, update('job.com'), new Date(), 60);
  const done = await ended(`method-${id}`);
  assert.deepStrictEqual([done.status, done.deviceJobStatistics.succeededCount], ['completed', 1], JSON.stringify(done));
  await call(jobs, 'scheduleTwinUpdate', `twin-${id}`, which, { etag: '*', tags: { site: 'x' } }, new Date(), 60);
  assert.strictEqual((await ended(`twin-${id}`)).status, 'completed');
  await call(device, 'close');
  await call(registry, 'delete', id);
}

(async () => {
  for (const transport of [Mqtt, MqttWs]) {
    const began = Date.now();
    await everything(transport);
    console.log(`the SDK of 2018 over ${transport.name}: ok (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }
  process.exit(0);
})().catch((error) => {
  console.error(error.stack, error.responseBody || '');
  process.exit(1);
});
