// The official Node service SDK's configurations and bulk operations, unmodified, against a hotshoe-localhub on port 443.
//
// usage: node configurations.js OWNER-CONNECTION-STRING-FILE
//
// A line for each check, exit code 0 if all held. Needs NODE_EXTRA_CA_CERTS, which the SDK takes its authorities from.
'use strict';

const assert = require('assert');
const fs = require('fs');
const { Registry } = require('azure-iothub');

const registry = Registry.fromConnectionString(fs.readFileSync(process.argv[2], 'utf8').trim());
const ID = 'node-chiller';

async function until(condition, what) {
  const end = Date.now() + 30000;
  while (Date.now() < end) {
    const found = await condition();
    if (found) return found;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`${what} did not happen`);
}

const configuration = () => ({
  id: ID,
  content: { deviceContent: { 'properties.desired.chiller-water': { temperature: 66, pressure: 28 } } },
  metrics: { queries: { waterSettingsPending: "SELECT deviceId FROM devices WHERE properties.reported.chillerWaterSettings.status='pending'" } },
  targetCondition: "tags.fleet = 'node'",
  priority: 20,
});

const CHECKS = {
  async bulk() {
    const devices = ['node-a', 'node-b'].map((deviceId) => ({ deviceId, status: 'enabled' }));
    const { responseBody } = await registry.addDevices(devices);
    assert.deepStrictEqual(responseBody, { isSuccessful: true, errors: [], warnings: [] });
    await registry.updateDevices(devices.map((device) => ({ ...device, status: 'disabled' })), true);
    assert.strictEqual((await registry.get('node-b')).responseBody.status, 'disabled');
    await registry.updateTwin('node-a', { tags: { fleet: 'node' } }, '*');
  },

  async configurations() {
    await registry.addConfiguration(configuration());
    const applied = async () => {
      const { responseBody } = await registry.getConfiguration(ID);
      return responseBody.systemMetrics.results.appliedCount === 1 && responseBody;
    };
    const one = await until(applied, 'the configuration');
    assert.strictEqual(one.schemaVersion, '1.0');
    const twin = (await registry.getTwin('node-a')).responseBody;
    assert.strictEqual(twin.properties.desired['chiller-water'].temperature, 66);
    one.metrics.queries.overheat = 'SELECT deviceId FROM devices WHERE properties.reported.chillerWaterSettings.temperature > 75';
    await registry.updateConfiguration(one);
    assert.strictEqual(Object.keys((await registry.getConfiguration(ID)).responseBody.metrics.results).length, 2);
    assert((await registry.getConfigurations()).responseBody.some((found) => found.id === ID));
    await registry.removeConfiguration(ID);
    await until(async () => !('chiller-water' in (await registry.getTwin('node-a')).responseBody.properties.desired), 'its end');
  },

  async 'modules of one device'() {
    await registry.applyConfigurationContentOnDevice('node-a', { modulesContent: { vision: { 'properties.desired': { fps: 5 } } } });
    assert.strictEqual((await registry.getModuleTwin('node-a', 'vision')).responseBody.properties.desired.fps, 5);
  },

  async 'the end'() {
    await registry.removeDevices([{ deviceId: 'node-a' }, { deviceId: 'node-b' }], true);
    assert.strictEqual((await registry.list()).responseBody.filter((device) => ['node-a', 'node-b'].includes(device.deviceId)).length, 0);
  },
};

(async () => {
  for (const [name, check] of Object.entries(CHECKS)) {
    const began = Date.now();
    await check();
    console.log(`${name}: ok (${((Date.now() - began) / 1000).toFixed(1)} s)`);
  }
})().catch((error) => { console.error(error); process.exit(1); });
