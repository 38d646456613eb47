"""The samples of the Python SDKs: `samples/` of azure-iot-sdk-python (device) and azure-iot-hub-python (service)."""

import node_samples
from world import wait_for

DEVICE = "azure-iot-sdk-python/samples"
SERVICE = "azure-iot-hub-python/samples"


def register(table, world):
    devices(table, world)
    certified(table, world)
    provisioning(table, world)
    services(table, world)


def both(name):
    """Most device samples are there twice."""
    return f"{DEVICE}/sync-samples/{name}", f"{DEVICE}/async-hub-scenarios/{name}"


def devices(table, world):
    def sample(*paths):
        """One that needs a device's connection string alone: the function gets the running sample and the device's id."""
        def decorate(function):
            def run(start, name):
                function(start({"IOTHUB_DEVICE_CONNECTION_STRING": world.device(name)}), name)
            return table.sample(*paths)(run)
        return decorate

    @sample(*both("send_message.py"), f"{DEVICE}/async-hub-scenarios/send_message_over_websockets.py",
            f"{DEVICE}/simple_send_message.py")
    def _(sample, id):
        sample.ends()
        assert world.messages(id) > 0, "no message came"

    @sample(*both("recurring_telemetry.py"))
    def _(_sample, id):
        wait_for(lambda: world.messages(id) > 1, "two messages came")

    @sample(*both("get_twin.py"))
    def _(sample, _id):
        sample.ends("Twin document", "'$version': 1")

    @sample(*both("update_twin_reported_properties.py"))
    def _(sample, id):
        sample.ends("Setting reported temperature")
        assert "temperature" in world.reported(id)

    @sample(*both("receive_twin_desired_properties_patch.py"))
    def _(sample, id):
        sample.says("Press Q")
        world.desire(id, {"interval": 7})
        sample.says("'interval': 7")
        sample.presses_q()
        sample.ends()

    @sample(*both("receive_direct_method.py"))
    def _(sample, id):
        sample.says("Press Q")
        answer = world.call(id, "method1", {"a": 1})
        assert (answer.status, answer.payload) == (200, {"result": True, "data": "some data"}), answer
        assert world.call(id, "unknown").status == 400
        sample.presses_q()
        sample.ends("executed method1", "executed unknown method: unknown")

    @sample(*both("receive_message.py"))
    def _(sample, id):
        receives(world, sample, id, "'colour': 'red'")

    @table.sample(f"{DEVICE}/pnp/simple_thermostat.py")
    def _(start, id):
        sample = start({"IOTHUB_DEVICE_SECURITY_TYPE": "connectionString",
                        "IOTHUB_DEVICE_CONNECTION_STRING": world.device(id)})
        sample.says("Listening for command requests")
        is_a_thermostat(world, id)
        sample.presses_q()
        sample.ends()


def receives(world, sample, id, *texts):
    sample.says("Press Q")
    world.send(id, "hello")
    sample.says("hello", *texts)
    sample.presses_q()
    sample.ends()


def is_a_thermostat(world, id):
    wait_for(lambda: world.messages(id) > 0, "a message came")
    twin = world.registry.get_twin(id)
    assert twin.additional_properties["modelId"] == "dtmi:com:example:Thermostat;1", twin
    world.desire(id, {"targetTemperature": 42})
    wait_for(lambda: world.reported(id).get("targetTemperature", {}).get("ac") == 200, "it is confirmed")
    assert world.call(id, "getMaxMinReport", "2020-01-01T00:00:00Z").status == 200


def certified(table, world):
    def environment(id):
        cert, key = world.certified_device(id)
        return {"HOSTNAME": world.address, "DEVICE_ID": id, "X509_CERT_FILE": cert, "X509_KEY_FILE": key}

    @table.sample(*both("send_message_x509.py"))
    def _(start, id):
        start(environment(id)).ends()
        assert world.messages(id) > 0, "no message came"

    @table.sample(*both("receive_message_x509.py"))
    def _(start, id):
        receives(world, start(environment(id)), id)

    @table.sample(*both("send_message_via_module_x509.py"))
    def _(start, id):
        of_device = environment(id)
        cert, key, thumbprint = world.hub.certificate(f"{id}-module")
        world.registry.create_module_with_x509(id, "m", "", thumbprint, thumbprint)
        start({**of_device, "MODULE_ID": "m", "X509_CERT_FILE": cert, "X509_KEY_FILE": key}).ends("sending message #10")


def provisioning(table, world):
    where = {"PROVISIONING_HOST": world.address, "PROVISIONING_IDSCOPE": world.id_scope}

    def sends(sample, id, *texts):
        sample.ends(id, "Will send telemetry from the provisioned device", *texts)
        assert world.messages(id) > 0, "no message came"

    @table.sample(*both("provision_symmetric_key.py"), *both("provision_symmetric_key_with_payload.py"))
    def _(start, id):
        key = world.enroll(f"enrollments/{id}", payload={"welcome": "yes"})
        who = {"PROVISIONING_REGISTRATION_ID": id, "PROVISIONING_SYMMETRIC_KEY": key}
        sends(start({**where, **who, **{f"{name}_PAYLOAD": value for name, value in who.items()}}), id, "welcome")

    @table.sample(*both("provision_x509.py"))
    def _(start, id):
        cert, key = world.enroll_certified(id)
        sends(start({**where, "DPS_X509_REGISTRATION_ID": id, "X509_CERT_FILE": cert, "X509_KEY_FILE": key}), id)


def services(table, world):
    @table.sample(f"{SERVICE}/iothub_registry_manager_sample.py", f"{SERVICE}/iothub_registry_mgr_update_x509.py")
    def _(start, id):
        sample = start({"IOTHUB_DEVICE_ID": id, "IOTHUB_NEW_DEVICE_ID": id, "IOTHUB_THUMBPRINT": "AB" * 20})
        # It changes the twin with the entity tag from before its own replacement of it, which is stale.
        sample.may_say = "PreconditionFailed"
        sample.ends("create_device", "get_device", "update_device", "PreconditionFailed")
        assert world.registry.get_twin(id).properties.desired["telemetryInterval"] == 9000

    @table.sample(f"{SERVICE}/iothub_registry_manager_module_sample.py")
    def _(start, id):
        world.device(id)
        sample = start({"IOTHUB_DEVICE_ID": id, "IOTHUB_MODULE_ID": "m"})
        sample.may_say = "PreconditionFailed"  # as above
        sample.ends("Create Module", "Get Module", "managed_by                     = testManagedBy", "PreconditionFailed")
        assert world.registry.get_module_twin(id, "m").properties.desired["telemetryInterval"] == 9000

    @table.sample(f"{SERVICE}/iothub_registry_manager_edge_device_sample.py")
    def _(start, id):
        start({"IOTHUB_NEW_DEVICE_ID": id}).ends("create_device", "'iot_edge': True", "finished")

    @table.sample(f"{SERVICE}/iothub_registry_manager_query_sample.py")
    def _(start, id):
        world.device(id)
        start({}).ends("Query 4 device twins: 1", "Query all device twins: 1", "finished")

    @table.sample(f"{SERVICE}/iothub_registry_manager_statistics_sample.py")
    def _(start, _):
        start({}).ends("Total connected device count", "Total device count", "finished")

    @table.sample(f"{SERVICE}/iothub_registry_manager_bulk_create_sample.py")
    def _(start, _):
        start({}).ends("= BulkDevice1", "= BulkDevice2", "finished")

    @table.sample(f"{SERVICE}/iothub_job_manager_method_sample.py", f"{SERVICE}/iothub_job_manager_twin_update_sample.py")
    def _(start, _):
        start({}).ends("'status': 'completed'", "finished")

    @table.sample(f"{SERVICE}/iothub_registry_manager_method_sample.py")
    def _(start, _):
        with node_samples.device(world, "device_methods", "Registering handlers") as (id, device):
            payload = {"IOTHUB_METHOD_NAME": "lockDoor", "IOTHUB_METHOD_PAYLOAD": "now"}
            start({"IOTHUB_DEVICE_ID": id, **payload}).ends()
            device.says("Received method call for method 'lockDoor'", "now")

    @table.sample(f"{SERVICE}/registry_manager_pnp_sample.py")
    def _(start, _):
        with node_samples.device(world, "device_methods", "Registering handlers") as (id, _device):
            payload = {"IOTHUB_METHOD_NAME": "getDeviceLog", "IOTHUB_METHOD_PAYLOAD": "now"}
            start({"IOTHUB_DEVICE_ID": id, **payload}).ends("successfully applied", "successfully invoked")
