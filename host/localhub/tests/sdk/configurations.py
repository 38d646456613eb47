"""The official Python service SDK's configurations and bulk operations, unmodified, against hotshoe-localhub.

usage: configurations.py PATH/TO/hotshoe-localhub [ADDRESS]
"""

import sys
import time

from azure.iot.hub import IoTHubConfigurationManager, IoTHubRegistryManager
from azure.iot.hub.models import Configuration, ConfigurationContent, ConfigurationMetrics, QuerySpecification
from azure.iot.hub.protocol.models import ConfigurationQueriesTestInput, ExportImportDevice
from msrest.exceptions import HttpOperationError

from localhub import Hub

ID = "chiller4000x"


def fails(status, name, call):
    """The call must fail with an HTTP status and IoT Hub's name for it."""
    try:
        call()
    except HttpOperationError as error:
        got = error.response.status_code, error.response.headers["iothub-errorcode"]
        assert got == (status, name), f"{got} instead of {(status, name)}: {error.response.text}"
        return
    raise AssertionError(f"no error instead of HTTP {status}")


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def bulk(registry, _):
    devices = [ExportImportDevice(id=f"bulk-{n}", import_mode="create", status="enabled") for n in range(100)]
    result = registry.protocol.bulk_registry.update_registry(devices)
    assert result.is_successful and not result.errors, result
    again = registry.protocol.bulk_registry.update_registry(devices[:2])
    assert not again.is_successful
    assert [error.error_code for error in again.errors] == ["DeviceAlreadyExists"] * 2, again.errors


def sample(_, manager):
    """What the SDK's own sample does, without a target condition."""
    configuration = Configuration()
    configuration.id = "sample_config"
    configuration.content = ConfigurationContent(
        device_content={"properties.desired.chiller-water": {"temperature": 68, "pressure": 28}})
    configuration.metrics = ConfigurationMetrics(queries={
        "waterSettingPending":
            "SELECT deviceId FROM devices WHERE properties.reported.chillerWaterSettings.status='pending'"})
    made = manager.create_configuration(configuration)
    assert made.content.device_content["properties.desired.chiller-water"]["pressure"] == 28
    assert manager.get_configuration("sample_config").etag == made.etag
    manager.delete_configuration("sample_config")
    assert manager.get_configurations() == []


def rollout(registry, manager):
    """The firmware tutorial's: for devices of a tag, watched by metrics, widened, deleted."""
    twin = registry.get_twin("bulk-1")
    twin.tags = {"devicetype": "chiller"}
    registry.update_twin("bulk-1", twin, "*")
    configuration = Configuration(
        id=ID, schema_version="1.0", priority=20, target_condition="tags.devicetype='chiller'", labels={"fw": "2.8.5"},
        content=ConfigurationContent(device_content={"properties.desired.firmware": {"fwVersion": "2.8.5"}}),
        metrics=ConfigurationMetrics(queries={
            "current": f"SELECT deviceId FROM devices WHERE configurations.[[{ID}]].status='Applied' "
                       "AND properties.reported.firmware.fwUpdateStatus='current'"}))
    manager.create_configuration(configuration)
    fails(409, "ConfigurationAlreadyExists", lambda: manager.create_configuration(configuration))

    def applied(count):
        one = manager.get_configuration(ID)
        return one if one.system_metrics.results == {"targetedCount": count, "appliedCount": count} else None

    one = wait_for(lambda: applied(1), "the rollout")
    assert (one.metrics.results, one.labels, one.created_time_utc.year > 2000) == ({"current": 0}, {"fw": "2.8.5"}, True)
    assert registry.get_twin("bulk-1").properties.desired["firmware"] == {"fwVersion": "2.8.5"}
    rows = registry.query_iot_hub(QuerySpecification(query=one.system_metrics.queries["appliedCount"])).items
    assert len(rows) == 1

    fails(412, "PreconditionFailed", lambda: manager.update_configuration(one, "c3RhbGU="))
    one.target_condition = "*"
    manager.update_configuration(one, "*")
    wait_for(lambda: applied(100), "the wider rollout")
    assert [found.id for found in manager.get_configurations(max_count=10)] == [ID]
    manager.delete_configuration(ID)
    wait_for(lambda: "firmware" not in registry.get_twin("bulk-1").properties.desired, "the end of the settings")
    fails(404, "ConfigurationNotFound", lambda: manager.get_configuration(ID))


def queries_are_tested(_, manager):
    good = manager.test_configuration_queries(ConfigurationQueriesTestInput(target_condition="tags.a = 1"))
    assert good.target_condition_error is None and not good.custom_metric_query_errors
    bad = manager.test_configuration_queries(ConfigurationQueriesTestInput(
        target_condition="tags.a =", custom_metric_queries={"m": "SELECT"}))
    assert bad.target_condition_error and list(bad.custom_metric_query_errors) == ["m"]


def modules_content(registry, manager):
    content = ConfigurationContent(modules_content={
        "$edgeHub": {"properties.desired": {"schemaVersion": "1.0", "routes": {}}},
        "vision": {"properties.desired": {"fps": 5}}})
    manager.apply_configuration_on_edge_device("bulk-2", content)
    assert registry.get_module_twin("bulk-2", "vision").properties.desired["fps"] == 5
    assert {module.module_id for module in registry.get_modules("bulk-2")} == {"$edgeHub", "vision"}


def main():
    hub = Hub(sys.argv[1], *sys.argv[2:3])
    try:
        registry = IoTHubRegistryManager.from_connection_string(hub.owner)
        manager = IoTHubConfigurationManager.from_connection_string(hub.owner)
        for check in (bulk, sample, rollout, queries_are_tested, modules_content):
            started = time.monotonic()
            check(registry, manager)
            print(f"{check.__name__.replace('_', ' ')}: ok ({time.monotonic() - started:.1f} s)", flush=True)
    except BaseException:
        print("".join(hub.lines[-40:]), file=sys.stderr)
        raise
    finally:
        assert hub.stop() == 0, "the hub did not stop in good order"


if __name__ == "__main__":
    main()
