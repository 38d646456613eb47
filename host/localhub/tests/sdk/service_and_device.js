// The official Node SDKs, both sides, unmodified, against a hotshoe-localhub that runs on port 443 and 8883.
//
// usage: node service_and_device.js OWNER-CONNECTION-STRING-FILE CA-FILE ADDRESS
//
// Every check is one function; a line for each, exit code 0 if all held. Needs NODE_EXTRA_CA_CERTS=CA-FILE, which the
// service SDK takes its authorities from.
'use strict';

const assert = require('assert');
const fs = require('fs');
const { Client: Service, Registry } = require('azure-iothub');
const { Client: Device, Message, ModuleClient } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');

const [ownerFile, ca, address] = process.argv.slice(2);
const owner = fs.readFileSync(ownerFile, 'utf8').trim();
const service = Service.fromConnectionString(owner);
const registry = Registry.fromConnectionString(owner);
const ID = 'node-device';

function within(promise, what, seconds = 30) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`${what} did not happen`)), seconds * 1000); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function connect(transport, id = ID, module = '') {
  const identity = module ? (await registry.getModule(id, module)).responseBody : (await registry.get(id)).responseBody;
  const key = identity.authentication.symmetricKey.primaryKey;
  const text = `HostName=${address};DeviceId=${id};${module && `ModuleId=${module};`}SharedAccessKey=${key}`;
  const client = (module ? ModuleClient : Device).fromConnectionString(text, transport);
  await client.setOptions({ ca: fs.readFileSync(ca, 'utf8') });
  await within(client.open(), 'the connection');
  return client;
}

const invoke = async (name, payload, responseTimeoutInSeconds = 20) =>
  (await service.invokeDeviceMethod(ID, { methodName: name, payload, connectTimeoutInSeconds: 20, responseTimeoutInSeconds })).result;

async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: 'no error' });
}

const CHECKS = {
  async identities() {
    const { responseBody } = await registry.create({ deviceId: ID });
    assert.strictEqual(Buffer.from(responseBody.authentication.symmetricKey.primaryKey, 'base64').length, 32);
    assert.strictEqual((await failure(registry.create({ deviceId: ID }))).name, 'DeviceAlreadyExistsError');
    assert.strictEqual((await failure(registry.get('nobody'))).name, 'DeviceNotFoundError');
    assert((await registry.list()).responseBody.some((device) => device.deviceId === ID));
  },

  async 'a device that is away'() {
    const call = { methodName: 'echo', payload: 1, connectTimeoutInSeconds: 0, responseTimeoutInSeconds: 5 };
    const error = await failure(service.invokeDeviceMethod(ID, call));
    assert.strictEqual(error.response.statusCode, 404);
    assert(error.responseBody.includes('404103'), error.responseBody);
  },

  async 'methods, twin and telemetry over MQTT'() { await everything(Mqtt); },

  async 'methods, twin and telemetry over WebSocket'() { await everything(MqttWs); },

  async 'a module'() {
    await registry.addModule({ deviceId: ID, moduleId: 'pump' });
    const module = await connect(Mqtt, ID, 'pump');
    module.onMethod('echo', (request, response) => response.send(200, { echo: request.payload }));
    const call = { methodName: 'echo', payload: { m: 1 }, connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 20 };
    const { result } = await service.invokeDeviceMethod(ID, 'pump', call);
    assert.deepStrictEqual(result, { status: 200, payload: { echo: { m: 1 } } });
    await module.close();
  },

  async 'queries by pages'() {
    for (let number = 0; number < 5; number++) await registry.create({ deviceId: `page-${number}` });
    const query = registry.createQuery("SELECT * FROM devices WHERE deviceId != 'x'", 2);
    const found = [];
    while (query.hasMoreResults) found.push(...(await query.nextAsTwin()).result.map((twin) => twin.deviceId));
    for (let number = 0; number < 5; number++) assert(found.includes(`page-${number}`), `${found}`);
    assert.strictEqual(new Set(found).size, found.length);
  },
};

async function everything(transport) {
  const device = await connect(transport);
  device.onDeviceMethod('echo', (request, response) => response.send(200, { echo: request.payload }));
  device.onDeviceMethod('silence', () => {});
  assert.deepStrictEqual(await invoke('echo', { a: [1, null, 'ü'] }), { status: 200, payload: { echo: { a: [1, null, 'ü'] } } });
  assert.deepStrictEqual(await invoke('echo', null), { status: 200, payload: { echo: null } });
  const large = 'x'.repeat(100000);
  assert.strictEqual((await invoke('echo', large)).payload.echo, large);
  const silent = await failure(invoke('silence', 1, 5));
  assert.strictEqual(silent.response.statusCode, 504);

  const twin = await device.getTwin();
  const name = transport.name;
  const told = new Promise((done) => twin.on(`properties.desired.${name}`, done));
  const update = (patch) => new Promise((done, fail) => twin.properties.reported.update(patch, (error) => (error ? fail(error) : done())));
  await update({ firmwareStatus: 'standBy', old: 1 });
  await update({ old: null });
  assert((await failure(update({ 'a.b': 1 }))).message, 'a key with a dot was taken');
  const { responseBody: seen } = await registry.getTwin(ID);
  assert.strictEqual(seen.properties.reported.firmwareStatus, 'standBy');
  assert(!('old' in seen.properties.reported));
  await registry.updateTwin(ID, { properties: { desired: { [name]: 5 } } }, seen.etag);
  assert.strictEqual(await within(told, 'the desired change'), 5);
  const late = await failure(registry.updateTwin(ID, { tags: { x: 1 } }, seen.etag));
  assert.strictEqual(late.response.statusCode, 412);

  const message = new Message('{"temperature":20}');
  message.contentType = 'application/json';
  message.contentEncoding = 'utf-8';
  message.properties.add('a b', 'c/d');
  await within(device.sendEvent(message), 'the acknowledgement of a message');
  await device.close();
}

(async () => {
  for (const [name, check] of Object.entries(CHECKS)) {
    const began = Date.now();
    await check();
    console.log(`${name}: ok (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
