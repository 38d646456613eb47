// The official Node SDKs, both sides, unmodified, against a hotshoe-localhub that runs on port 443 and 8883.
//
// usage: node service_and_device.js OWNER-CONNECTION-STRING-FILE CA-FILE ADDRESS
//
// Every check is one function; a line for each, exit code 0 if all held. Needs NODE_EXTRA_CA_CERTS=CA-FILE, which the
// service SDK takes its authorities from.
'use strict';

const assert = require('assert');
const { execFileSync } = require('child_process');
const fs = require('fs');
const https = require('https');
const os = require('os');
const path = require('path');
const { Client: Service, JobClient, Registry } = require('azure-iothub');
const { SharedAccessSignature } = require('azure-iot-common');
const { Client: Device, Message, ModuleClient } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { ProvisioningDeviceClient } = require('azure-iot-provisioning-device');
const { Mqtt: ProvisioningMqtt } = require('azure-iot-provisioning-device-mqtt');
const { SymmetricKeySecurityClient } = require('azure-iot-security-symmetric-key');
const { X509Security } = require('azure-iot-security-x509');

const [ownerFile, ca, address] = process.argv.slice(2);
const owner = fs.readFileSync(ownerFile, 'utf8').trim();
const service = Service.fromConnectionString(owner);
const registry = Registry.fromConnectionString(owner);
const ID = 'node-device';
let idScope; // asked of the hub

function within(promise, what, seconds = 30) {
  let timer;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error(`${what} did not happen`)), seconds * 1000); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// What the SDKs do not know: `/localhub/…`, as the owner.
function rest(method, url, body) {
  const key = owner.split('SharedAccessKey=')[1];
  const authorization = SharedAccessSignature.create(address, 'iothubowner', key, Math.floor(Date.now() / 1000) + 60).toString();
  const text = typeof body === 'string' ? body : JSON.stringify(body || {});
  const headers = { authorization, 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) };
  return new Promise((done, fail) => {
    const request = https.request({ host: address, path: url, method, headers }, (response) => {
      let told = '';
      response.on('data', (part) => { told += part; });
      response.on('end', () => {
        if (response.statusCode >= 300) fail(new Error(`${method} ${url}: ${response.statusCode} ${told}`));
        else done(told && JSON.parse(told));
      });
    });
    request.on('error', fail);
    request.end(text);
  });
}

// A self-signed certificate with that common name and its key, as PEM, and its thumbprint.
function certificate(id) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'localhub-'));
  const [cert, key] = ['cert', 'key'].map((name) => path.join(folder, `${name}.pem`));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${id}`, '-days', '2',
    '-keyout', key, '-out', cert], { stdio: 'pipe' });
  const shown = execFileSync('openssl', ['x509', '-in', cert, '-noout', '-fingerprint', '-sha1'], { encoding: 'utf8' });
  const made = { cert: fs.readFileSync(cert, 'utf8'), key: fs.readFileSync(key, 'utf8') };
  fs.rmSync(folder, { recursive: true });
  return { ...made, thumbprint: shown.trim().split('=')[1].replace(/:/g, '') };
}

// Gets in with a certificate, and does something there.
async function reports(id, { cert, key }) {
  const client = Device.fromConnectionString(`HostName=${address};DeviceId=${id};x509=true`, Mqtt);
  await client.setOptions({ cert, key, ca: fs.readFileSync(ca, 'utf8') });
  await within(client.open(), `the connection of ${id}`);
  const twin = await client.getTwin();
  await new Promise((done, fail) => twin.properties.reported.update({ by: id }, (error) => (error ? fail(error) : done())));
  await client.close();
  assert.strictEqual((await registry.getTwin(id)).responseBody.properties.reported.by, id);
}

async function register(id, security) {
  const client = ProvisioningDeviceClient.create(address, idScope, new ProvisioningMqtt(), security);
  client.setProvisioningPayload({ serial: 7 });
  return within(client.register(), `the registration of ${id}`);
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

  async 'messages from the cloud'() {
    // It waits for the device: once that is there, the SDK acknowledges before it tells the application.
    await rest('POST', `/localhub/devices/${ID}/messages?messageId=m1&correlationId=c1&a%20b=c%2Fd`, 'ü');
    assert.strictEqual((await registry.get(ID)).responseBody.cloudToDeviceMessageCount, 1);
    const device = await connect(Mqtt);
    const message = await within(new Promise((done) => device.on('message', done)), 'a message');
    await device.complete(message);
    assert.deepStrictEqual([message.getData().toString(), message.messageId, message.correlationId], ['ü', 'm1', 'c1']);
    assert.strictEqual(message.properties.getValue('a b'), 'c/d');
    await device.close();
  },

  async jobs() {
    const device = await connect(Mqtt);
    device.onDeviceMethod('echo', (request, response) => response.send(200, request.payload));
    const twin = await device.getTwin();
    const told = new Promise((done) => twin.on('properties.desired.job', done));
    const client = JobClient.fromConnectionString(owner);
    const ended = async (id) => {
      for (;;) {
        const { jobStatus: job } = await client.getJob(id);
        if (!['queued', 'scheduled', 'running'].includes(job.status)) return job;
        await new Promise((done) => setTimeout(done, 100));
      }
    };
    const condition = `deviceId IN ['${ID}', 'nobody']`;
    await client.scheduleDeviceMethod('node-methods', condition, { methodName: 'echo', payload: 1, responseTimeoutInSeconds: 15 }, new Date(), 60);
    const calls = await within(ended('node-methods'), 'the end of a job');
    assert.deepStrictEqual([calls.status, calls.deviceJobStatistics.succeededCount], ['completed', 1], JSON.stringify(calls));
    await client.scheduleTwinUpdate('node-twins', condition, { etag: '*', properties: { desired: { job: 3 } } }, new Date(), 60);
    assert.strictEqual((await within(ended('node-twins'), 'the end of a job')).status, 'completed');
    assert.strictEqual(await within(told, 'the job\'s desired change'), 3);
    const { result: listed } = await client.createQuery('scheduleUpdateTwin', 'completed').next();
    assert.deepStrictEqual(listed.map((job) => job.jobId), ['node-twins']);
    const later = new Date(Date.now() + 3600000);
    await client.scheduleTwinUpdate('node-later', condition, { etag: '*', tags: { x: 1 } }, later, 60);
    assert.strictEqual((await client.cancelJob('node-later')).jobStatus.status, 'cancelled');
    await device.close();
  },

  async 'a certificate'() {
    const made = certificate('node-x509');
    const thumbprints = { primaryThumbprint: made.thumbprint, secondaryThumbprint: made.thumbprint };
    await registry.create({ deviceId: 'node-x509', authentication: { x509Thumbprint: thumbprints } });
    await reports('node-x509', made);
  },

  async 'provisioning with a key'() {
    idScope = (await rest('GET', '/localhub/hub')).idScope;
    const made = await rest('PUT', '/localhub/enrollments/node-reg', { deviceId: 'node-pump', payload: { welcome: true } });
    const key = made.attestation.symmetricKey.primaryKey;
    const assigned = await register('node-reg', new SymmetricKeySecurityClient('node-reg', key));
    assert.deepStrictEqual([assigned.assignedHub, assigned.deviceId, assigned.payload], [address, 'node-pump', { welcome: true }]);
    await (await connect(Mqtt, 'node-pump')).close();
    const wrong = Buffer.from('another key, and a wrong one').toString('base64');
    await failure(register('node-reg', new SymmetricKeySecurityClient('node-reg', wrong)));
  },

  async 'provisioning with a certificate'() {
    const { cert, key } = certificate('node-certified');
    const x509 = { clientCertificates: { primary: { certificate: cert } } };
    await rest('PUT', '/localhub/enrollments/node-certified', { attestation: { type: 'x509', x509 } });
    const assigned = await register('node-certified', new X509Security('node-certified', { cert, key }));
    assert.deepStrictEqual([assigned.assignedHub, assigned.deviceId], [address, 'node-certified']);
    await reports('node-certified', { cert, key });
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
