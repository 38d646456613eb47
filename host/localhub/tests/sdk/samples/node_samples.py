"""The samples of the Node SDKs: of azure-iot-sdk-node (device and its provisioning) and azure-iot-hub-node (service)."""

import contextlib
import time

import python_samples
from world import Sample, wait_for

DEVICE = "azure-iot-sdk-node/device/samples/javascript"
PROVISIONING = "azure-iot-sdk-node/provisioning/device/samples"
SERVICE = "azure-iot-hub-node/samples"


def register(table, world):
    devices(table, world)
    provisioning(table, world)
    services(table, world)
    jobs_and_identities(table, world)


@contextlib.contextmanager
def device(world, name, says):
    """A device sample that service samples call, from when it has said so: its id, and itself."""
    id = f"{name}-{time.monotonic_ns()}"
    sample = Sample(world, f"{DEVICE}/{name}.js", {"IOTHUB_DEVICE_CONNECTION_STRING": world.device(id)})
    try:
        sample.says(says)
        wait_for(lambda: world.registry.get_twin(id).connection_state == "Connected", f"{id} connects")
        yield id, sample
    finally:
        sample.kill()


def devices(table, world):
    def sample(name):
        def decorate(function):
            def run(start, id):
                function(start({"IOTHUB_DEVICE_CONNECTION_STRING": world.device(id)}), id)
            return table.sample(f"{DEVICE}/{name}.js")(run)
        return decorate

    @sample("device_methods")
    def _(sample, id):
        sample.says("Registering handlers")
        assert world.call(id, "getDeviceLog", "x").payload == "example payload"
        sample.says("Response to method 'getDeviceLog' sent successfully.")

    @sample("simple_sample_device")
    def _(sample, id):
        sample.says("Client connected", "send status: MessageEnqueued")
        world.send(id, "hello")
        sample.says("Id: m1 Body: hello", "completed status: MessageCompleted")

    @sample("simple_sample_device_twin")
    def _(sample, id):
        sample.says("twin state reported")
        world.desire(id, {"climate": {"minTemperature": 68, "hvac": {"systemControl": "fanOn"}}})
        sample.says("min temp = 68", "setting fan state to fanOn")
        assert world.reported(id)["firmwareVersion"] == "1.2.1"

    @sample("remote_monitoring")
    def _(_sample, id):
        wait_for(lambda: world.messages(id) > 0, "a message came")

    @sample("pnp_simple_thermostat")
    def _(_sample, id):
        python_samples.is_a_thermostat(world, id)

    @table.sample(f"{DEVICE}/simple_sample_device_with_sas.js")
    def _(start, id):
        start({"IOTHUB_SAS": world.token(id)}).says("Client connected", "send status: MessageEnqueued")

    @table.sample(f"{DEVICE}/simple_sample_device_x509.js")
    def _(start, id):
        cert, key = world.certified_device(id)
        sample = start({"IOTHUB_DEVICE_CONNECTION_STRING": f"HostName={world.address};DeviceId={id};x509=true",
                        "PATH_TO_CERTIFICATE_FILE": cert, "PATH_TO_KEY_FILE": key})
        sample.says("Client connected", "send status: MessageEnqueued")


def provisioning(table, world):
    def environment(id, **more):
        return {"PROVISIONING_HOST": world.address, "PROVISIONING_IDSCOPE": world.id_scope,
                "PROVISIONING_REGISTRATION_ID": id, **more}

    @table.sample(f"{PROVISIONING}/register_symkey.js")
    def _(start, id):
        key = world.enroll(f"enrollments/{id}", payload={"welcome": "yes"})
        start(environment(id, PROVISIONING_SYMMETRIC_KEY=key)).ends(
            "registration succeeded", 'payload={"welcome":"yes"}', "send status: MessageEnqueued")

    @table.sample(f"{PROVISIONING}/register_symkeygroup.js")
    def _(start, id):
        key = world.enroll(f"enrollmentGroups/{id}", attestation={"type": "symmetricKey"})
        start(environment(f"member-of-{id}", PROVISIONING_SYMMETRIC_KEY=key)).ends(
            f"deviceId=member-of-{id}", "send status: MessageEnqueued")

    @table.sample(f"{PROVISIONING}/register_x509.js")
    def _(start, id):
        cert, key = world.enroll_certified(id)
        start(environment(id, CERTIFICATE_FILE=cert, KEY_FILE=key)).ends(
            "registration succeeded", "send status: MessageEnqueued")


def services(table, world):
    @table.sample(f"{SERVICE}/device_method.js")
    def _(start, _):
        with device(world, "device_methods", "Registering handlers") as (id, sample):
            call = {"IOTHUB_METHOD_NAME": "lockDoor", "IOTHUB_METHOD_PAYLOAD": "now"}
            start({"IOTHUB_DEVICE_ID": id, **call}).ends('"status": 200')
            sample.says("Received method call for method 'lockDoor'", "now")

    @table.sample(f"{SERVICE}/dmpatterns_fwupdate_service.js")
    def _(start, _):
        with device(world, "dmpatterns_fwupdate_device", "Waiting for firmwareUpdate") as (id, sample):
            start({}, [id]).ends("Firmware update started.", "Firmware update complete")
            sample.says("Completed firmwareUpdate flow")
            status = world.reported(id)["iothubDM"]["firmwareUpdate"]["status"]
            assert status == "apply firmware image complete", status

    @table.sample(f"{SERVICE}/dmpatterns_reboot_service.js")
    def _(start, _):
        with device(world, "dmpatterns_reboot_device", "Waiting for reboot") as (id, sample):
            start({}, [world.owner, id]).ends("Reboot started", "Reboot complete")
            sample.says("Device reboot twin state reported")

    @table.sample(f"{SERVICE}/twin.js")
    def _(start, id):
        world.device(id)
        start({"IOTHUB_DEVICE_ID": id}).ends('"telemetryInterval": 2000', '"city": "Redmond"')

    @table.sample(f"{SERVICE}/twin_query.js")
    def _(start, id):
        world.device(id)
        start({}).ends(id)

    @table.sample(f"{SERVICE}/module_sample.js")
    def _(start, id):
        world.device(id)
        start({"IOTHUB_DEVICE_ID": id, "IOTHUB_MODULE_ID": "m"}).ends(
            "0 modules found", "addModule succeeded", "updateModule succeeded", "removeModule succeeded")

    @table.sample(f"{SERVICE}/module_twin.js")
    def _(start, id):
        world.device(id, "m")
        start({"IOTHUB_DEVICE_ID": id, "IOTHUB_MODULE_ID": "m"}).ends('"telemetryInterval": 2000')


def jobs_and_identities(table, world):
    @table.sample(f"{SERVICE}/schedule_job.js")
    def _(start, id):
        ids = [f"{id}-{number}" for number in (1, 2)]
        for one in ids:
            world.device(one)
        # A method that nobody answers, and a change of both twins.
        sample = start({"IOTHUB_DEVICE_ID": f"'{ids[0]}'", "IOTHUB_DEVICE_ID2": f"'{ids[1]}'"})
        sample.ends("status: completed", '"succeededCount": 2', '"failedCount": 2')
        assert world.registry.get_twin(ids[0]).tags == {"state": "WA"}

    @table.sample(f"{SERVICE}/job_query.js")
    def _(start, _):
        start({}).ends()

    @table.sample(f"{SERVICE}/registry_sample.js")
    def _(start, _):
        start({}).ends("create status: 200", "get status: 200", "delete status: 204")

    @table.sample(f"{SERVICE}/create_device_with_cert.js")
    def _(start, id):
        start({"IOTHUB_DEVICE_ID": id, "IOTHUB_PRIMARY_THUMBPRINT": "AB" * 20,
               "IOTHUB_SECONDARY_THUMBPRINT": "CD" * 20}).ends(f'"deviceId":"{id}"')

    @table.sample(f"{SERVICE}/registry_addUpdateRemoveDevicesSample.js")
    def _(start, _):
        start({}).ends(*(f"{what} isSuccessful: true, errors returned: no errors"
                         for what in ("adding", "updating", "removing")))

    @table.sample(f"{SERVICE}/configuration_sample.js")
    def _(start, _):
        start({}).ends("add configuration succeeded", "updateConfiguration succeeded", "removeConfiguration succeeded")
