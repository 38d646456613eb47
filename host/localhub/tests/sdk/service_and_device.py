"""The official Python SDKs, both sides, unmodified, against hotshoe-localhub.

usage: service_and_device.py PATH/TO/hotshoe-localhub [ADDRESS]

Every check is one function; the script prints a line for each and ends with exit code 0 if all held. It needs
port 8883 on ADDRESS (127.0.0.2), because the device SDK knows no other; WebSockets need 443 and are left out, in
words, where that port cannot be had.
"""

import base64
import datetime
import hashlib
import hmac
import json
import queue
import shutil
import signal
import sys
import time

from azure.iot.device import (
    IoTHubDeviceClient, IoTHubModuleClient, Message, MethodResponse, ProvisioningDeviceClient, X509)
from azure.iot.device.exceptions import CredentialError
from azure.iot.hub import IoTHubJobManager, IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, JobRequest, Twin, TwinProperties
from msrest.exceptions import HttpOperationError

from localhub import Hub

DEVICE = "sdk-device"


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def fails(status, call):
    """The error of a call that must fail with an HTTP status."""
    try:
        call()
    except HttpOperationError as error:
        got = error.response.status_code
        assert got == status, f"HTTP {got} instead of {status}: {error.response.text}"
        return error.response
    raise AssertionError(f"no error instead of HTTP {status}")


class World:
    """The hub, the service's client, one device's client, and what the device received."""

    def __init__(self, program, address):
        self.hub = Hub(program, address)
        self.registry = IoTHubRegistryManager.from_connection_string(self.hub.owner)
        self.desired = queue.Queue()
        self.device = None

    def connection_string(self, device=DEVICE):
        key = self.registry.get_device(device).authentication.symmetric_key.primary_key
        return f"HostName={self.hub.address};DeviceId={device};SharedAccessKey={key}"

    def client(self, **options):
        text = options.pop("connection_string", None) or self.connection_string()
        return IoTHubDeviceClient.create_from_connection_string(
            text, server_verification_cert=self.hub.ca, **options)

    def serve(self, client):
        """Answers `echo`, stays silent on `silence`, and keeps what is desired."""
        def answer(request):
            if request.name == "echo":
                client.send_method_response(MethodResponse(request.request_id, 200, {"echo": request.payload}))
        client.on_method_request_received = answer
        client.on_twin_desired_properties_patch_received = self.desired.put

    def told(self, key):
        """The desired patch with that key; the SDK also hands over what it reads by itself when it connects."""
        while True:
            patch = self.desired.get(timeout=20)
            if key in patch:
                return patch

    def invoke(self, name, payload=None, timeout=20):
        call = CloudToDeviceMethod(method_name=name, payload=payload, response_timeout_in_seconds=timeout)
        return self.registry.invoke_device_method(DEVICE, call)


def identities(world):
    made = world.registry.create_device_with_sas(DEVICE, None, None, "enabled")
    assert made.authentication.symmetric_key.primary_key
    fails(409, lambda: world.registry.create_device_with_sas(DEVICE, None, None, "enabled"))
    assert [device.device_id for device in world.registry.get_devices(10)] == [DEVICE]
    updated = world.registry.update_device_with_sas(DEVICE, made.etag, None, None, "enabled", status_reason="why not")
    assert updated.status_reason == "why not"
    fails(412, lambda: world.registry.update_device_with_sas(DEVICE, "c3RhbGU=", None, None, "enabled"))
    assert world.registry.get_device_registry_statistics().total_device_count == 1
    world.registry.create_device_with_sas("short-lived", None, None, "enabled")
    world.registry.delete_device("short-lived")
    assert fails(404, lambda: world.registry.get_device("short-lived")).headers["iothub-errorcode"] == "DeviceNotFound"


def a_device_that_is_away(world):
    error = fails(404, lambda: world.invoke("echo"))
    assert error.headers["iothub-errorcode"] == "DeviceNotOnline"
    assert json.loads(error.json()["Message"])["errorCode"] == 404103


def connect_and_answer(world):
    world.device = world.client()
    world.device.connect()
    world.serve(world.device)
    wait_for(lambda: world.registry.get_twin(DEVICE).connection_state == "Connected", "the connection")
    answer = world.invoke("echo", {"a": [1, None, "ü"]})
    assert (answer.status, answer.payload) == (200, {"echo": {"a": [1, None, "ü"]}})
    assert world.invoke("echo").payload == {"echo": ""}  # the service SDK turns no payload into ""
    assert world.registry.get_service_statistics().connected_device_count == 1


def no_answer(world):
    error = fails(504, lambda: world.invoke("silence", timeout=5))
    assert json.loads(error.json()["Message"])["errorCode"] == 504101


def twin_of_the_device(world):
    assert world.device.get_twin()["reported"]["$version"] == 1
    world.device.patch_twin_reported_properties({"firmwareStatus": "standBy", "old": 1})
    world.device.patch_twin_reported_properties({"old": None})
    twin = world.registry.get_twin(DEVICE)
    assert twin.properties.reported["firmwareStatus"] == "standBy"
    assert "old" not in twin.properties.reported
    assert twin.properties.reported["$metadata"]["firmwareStatus"]["$lastUpdated"]
    try:
        world.device.patch_twin_reported_properties({"a.b": 1})
    except Exception as error:  # the SDK wraps the hub's 400 in an error of its own
        assert "400" in str(error) or "400" in str(error.__cause__), error
    else:
        raise AssertionError("a key with a dot was taken")


def twin_of_the_service(world):
    before = world.registry.get_twin(DEVICE)
    patch = Twin(tags={"site": "x"}, properties=TwinProperties(desired={"interval": 5}))
    after = world.registry.update_twin(DEVICE, patch, before.etag)
    told = world.told("interval")
    assert told == {"interval": 5, "$version": after.properties.desired["$version"]}, told
    fails(412, lambda: world.registry.update_twin(DEVICE, patch, before.etag))
    replaced = world.registry.replace_twin(DEVICE, Twin(properties=TwinProperties(desired={"only": 1})))
    assert "interval" not in replaced.properties.desired and not replaced.tags
    assert world.told("only")["only"] == 1
    found = world.registry.query_iot_hub({"query": f"SELECT * FROM devices WHERE deviceId = '{DEVICE}'"})
    assert [item.device_id for item in found.items] == [DEVICE] and found.continuation_token is None


def telemetry(world):
    message = Message('{"temperature": 20}', content_type="application/json", content_encoding="utf-8")
    message.custom_properties["a b"] = "c/d"
    world.device.send_message(message)  # returns when the hub has acknowledged


def messages_from_the_cloud(world):
    """The service SDK sends them over AMQP, which this hub has not; the device's side is what is looked at."""
    received = queue.Queue()
    world.device.on_message_received = received.put
    path = f"/localhub/devices/{DEVICE}/messages?messageId=m1&correlationId=c1&a%20b=c%2Fd"
    world.hub.rest("POST", path, data="ü".encode())
    message = received.get(timeout=20)
    assert (message.data, message.message_id, message.correlation_id) == ("ü".encode(), "m1", "c1"), vars(message)
    assert message.custom_properties == {"a b": "c/d"}, message.custom_properties
    # Sent while the device is away: they wait, in their order.
    world.device.disconnect()
    for number in range(3):
        world.hub.rest("POST", f"/localhub/devices/{DEVICE}/messages", data=str(number))
    assert world.registry.get_device(DEVICE).cloud_to_device_message_count == 3
    world.device.connect()
    assert [received.get(timeout=20).data for _ in range(3)] == [b"0", b"1", b"2"]
    wait_for(lambda: world.registry.get_device(DEVICE).cloud_to_device_message_count == 0, "the acknowledgement")


def jobs(world):
    manager = IoTHubJobManager.from_connection_string(world.hub.owner)
    start = datetime.datetime.now(datetime.timezone.utc).isoformat()

    def finished(job_id, request):
        manager.create_scheduled_job(job_id, request)
        wait_for(lambda: manager.get_scheduled_job(job_id).status not in ("queued", "scheduled", "running"), job_id)
        job = manager.get_scheduled_job(job_id)
        assert job.status == "completed", job.as_dict()
        return job.device_job_statistics

    call = CloudToDeviceMethod(method_name="echo", payload={"job": 1}, response_timeout_in_seconds=20)
    done = finished("methods", JobRequest(
        type="scheduleDeviceMethod", cloud_to_device_method=call, start_time=start, max_execution_time_in_seconds=60,
        query_condition=f"deviceId = '{DEVICE}'"))
    assert (done.device_count, done.succeeded_count, done.failed_count) == (1, 1, 0), done
    change = Twin(etag="*", tags={"site": "x"}, properties=TwinProperties(desired={"job": 2}))
    finished("twins", JobRequest(
        type="scheduleUpdateTwin", update_twin=change, start_time=start, max_execution_time_in_seconds=60,
        query_condition=f"deviceId IN ['{DEVICE}', 'nobody']"))
    assert world.told("job")["job"] == 2
    # Not query_scheduled_jobs: it reads an object where the service, as the Node SDK knows, answers a list.
    fails(404, lambda: manager.get_scheduled_job("nothing"))
    per_device = world.registry.query_iot_hub({"query": "SELECT * FROM devices.jobs WHERE jobId = 'methods'"})
    assert per_device.items[0].status == "completed", per_device.items
    by_tag = world.registry.query_iot_hub({"query": "SELECT deviceId FROM devices WHERE tags.site = 'x'"})
    assert [item.device_id for item in by_tag.items] == [DEVICE]


def a_module(world):
    made = world.registry.create_module_with_sas(DEVICE, "pump", "", None, None)
    key = made.authentication.symmetric_key.primary_key
    module = IoTHubModuleClient.create_from_connection_string(
        f"HostName={world.hub.address};DeviceId={DEVICE};ModuleId=pump;SharedAccessKey={key}",
        server_verification_cert=world.hub.ca)
    module.connect()
    module.on_method_request_received = lambda request: module.send_method_response(
        MethodResponse(request.request_id, 201, request.payload))
    desired = queue.Queue()
    module.on_twin_desired_properties_patch_received = desired.put
    call = CloudToDeviceMethod(method_name="start", payload={"speed": 3}, response_timeout_in_seconds=20)
    answer = world.registry.invoke_device_module_method(DEVICE, "pump", call)
    assert (answer.status, answer.payload) == (201, {"speed": 3}), answer
    module.patch_twin_reported_properties({"speed": 3})
    twin = world.registry.get_module_twin(DEVICE, "pump")
    assert twin.properties.reported["speed"] == 3
    patch = Twin(properties=TwinProperties(desired={"speed": 4}))
    world.registry.update_module_twin(DEVICE, "pump", patch, twin.etag)
    fails(412, lambda: world.registry.update_module_twin(DEVICE, "pump", patch, twin.etag))
    wait_for(lambda: desired.get(timeout=20).get("speed") == 4, "the module's desired change")
    module.send_message(Message("from the module"))
    module.shutdown()


def a_renewed_token_keeps_the_subscriptions(world):
    before = world.hub.logged("connected", "session_present=true")
    world.device.shutdown()
    world.device = world.client(sastoken_ttl=126)  # renewed 120 s before its end: after 6 s
    world.device.connect()
    world.serve(world.device)
    assert world.invoke("echo", 1).payload == {"echo": 1}
    wait_for(lambda: world.hub.logged("connected", "session_present=true") >= before + 2, "the renewal", 30)
    assert world.invoke("echo", 2).payload == {"echo": 2}, "deaf after the renewal"
    world.registry.update_twin(DEVICE, Twin(properties=TwinProperties(desired={"renewed": True})), "*")
    assert world.told("renewed")["renewed"] is True


def a_restarted_hub_forgets_nothing(world):
    assert world.hub.stop(signal.SIGKILL) == -signal.SIGKILL
    world.hub.start()
    wait_for(lambda: world.registry.get_twin(DEVICE).connection_state == "Connected", "the reconnection")
    assert world.invoke("echo", 3).payload == {"echo": 3}
    assert world.registry.get_twin(DEVICE).properties.desired["renewed"] is True
    world.device.shutdown()


def a_wrong_key(world):
    wrong = f"HostName={world.hub.address};DeviceId={DEVICE};SharedAccessKey=d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25n"
    client = world.client(connection_string=wrong)
    try:
        client.connect()
    except CredentialError:
        return
    finally:
        client.shutdown()
    raise AssertionError("a wrong key was taken")


def a_certificate(world):
    if not shutil.which("openssl"):
        return "left out: there is no openssl program"
    cert, key, thumbprint = world.hub.certificate("x509-device")
    world.registry.create_device_with_x509("x509-device", thumbprint, thumbprint, "enabled")
    reports(world, "x509-device", IoTHubDeviceClient.create_from_x509_certificate(
        X509(cert, key), world.hub.address, "x509-device", server_verification_cert=world.hub.ca))


def reports(world, device, client):
    """The device gets in with this client, and does something there."""
    client.connect()
    client.patch_twin_reported_properties({"by": device})
    client.shutdown()
    assert world.registry.get_twin(device).properties.reported["by"] == device


def registers(world, device, client):
    """Registers; gives what was assigned."""
    client.provisioning_payload = {"serial": 7}
    result = client.register()
    assert result.status == "assigned", result
    state = result.registration_state
    assert (state.assigned_hub, state.device_id) == (world.hub.address, device), state
    return state


def provisioning_with_keys(world):
    def client(registration, key):
        return ProvisioningDeviceClient.create_from_symmetric_key(
            world.hub.address, registration, world.hub.ready["idScope"], key, server_verification_cert=world.hub.ca)

    def connects(device, key):
        reports(world, device, IoTHubDeviceClient.create_from_symmetric_key(
            key, world.hub.address, device, server_verification_cert=world.hub.ca))
    keys = lambda enrollment: enrollment["attestation"]["symmetricKey"]
    twin = {"tags": {"site": "y"}, "properties": {"desired": {"interval": 5}}}
    made = world.hub.rest("PUT", "/localhub/enrollments/reg-1", json={
        "deviceId": "pump-1", "initialTwin": twin, "payload": {"welcome": True}})
    key = keys(made)["primaryKey"]
    state = registers(world, "pump-1", client("reg-1", key))
    assert json.loads(state.response_payload) == {"welcome": True}, state.response_payload
    connects("pump-1", key)
    assert world.registry.get_twin("pump-1").tags == {"site": "y"}
    group = world.hub.rest("PUT", "/localhub/enrollmentGroups/pumps", json={"attestation": {"type": "symmetricKey"}})
    digest = hmac.new(base64.b64decode(keys(group)["primaryKey"]), b"pump-2", hashlib.sha256).digest()
    derived = base64.b64encode(digest).decode()
    registers(world, "pump-2", client("pump-2", derived))
    connects("pump-2", derived)
    try:
        client("reg-1", derived).register()
    except CredentialError:
        return
    raise AssertionError("another device's key registered it")


def provisioning_with_a_certificate(world):
    if not shutil.which("openssl"):
        return "left out: there is no openssl program"
    cert, key, _ = world.hub.certificate("pump-3")
    x509 = {"clientCertificates": {"primary": {"certificate": open(cert).read()}}}
    world.hub.rest("PUT", "/localhub/enrollments/pump-3", json={"attestation": {"type": "x509", "x509": x509}})
    registers(world, "pump-3", ProvisioningDeviceClient.create_from_x509_certificate(
        world.hub.address, "pump-3", world.hub.ready["idScope"], X509(cert, key), server_verification_cert=world.hub.ca))
    reports(world, "pump-3", IoTHubDeviceClient.create_from_x509_certificate(
        X509(cert, key), world.hub.address, "pump-3", server_verification_cert=world.hub.ca))


def websockets(world):
    if world.hub.https_port != 443:
        return "left out: port 443 cannot be had"
    world.device = world.client(websockets=True)
    world.device.connect()
    world.serve(world.device)
    large = "x" * 100_000
    assert world.invoke("echo", large).payload == {"echo": large}
    world.device.shutdown()


CHECKS = [identities, a_device_that_is_away, connect_and_answer, no_answer, twin_of_the_device,
          twin_of_the_service, telemetry, messages_from_the_cloud, jobs, a_module,
          a_renewed_token_keeps_the_subscriptions, a_restarted_hub_forgets_nothing, a_wrong_key, a_certificate,
          provisioning_with_keys, provisioning_with_a_certificate, websockets]


def main():
    world = World(sys.argv[1], *sys.argv[2:3] or ["127.0.0.2"])
    try:
        for check in CHECKS:
            started = time.monotonic()
            note = check(world)
            took = time.monotonic() - started
            print(f"{check.__name__.replace('_', ' ')}: {note or 'ok'} ({took:.1f} s)", flush=True)
    except BaseException:
        print("".join(world.hub.lines[-40:]), file=sys.stderr)
        raise
    finally:
        if world.hub.process.poll() is None:
            assert world.hub.stop() == 0, "the hub did not stop in good order"


if __name__ == "__main__":
    main()
