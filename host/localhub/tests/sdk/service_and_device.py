"""The official Python SDKs, both sides, unmodified, against hotshoe-localhub.

usage: service_and_device.py PATH/TO/hotshoe-localhub [ADDRESS]

Every check is one function; the script prints a line for each and ends with exit code 0 if all held. It needs
port 8883 on ADDRESS (127.0.0.2), because the device SDK knows no other; WebSockets need 443 and are left out, in
words, where that port cannot be had.
"""

import json
import queue
import signal
import subprocess
import sys
import time

from azure.iot.device import IoTHubDeviceClient, Message, MethodResponse, X509
from azure.iot.device.exceptions import CredentialError
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties
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
    cert, key = (f"{world.hub.directory.name}/{name}.pem" for name in ("cert", "key"))
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x509-device",
                        "-days", "2", "-keyout", key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        return "left out: there is no openssl program"
    shown = subprocess.run(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha1"], check=True,
                           capture_output=True, text=True).stdout
    thumbprint = shown.strip().split("=")[1].replace(":", "")
    world.registry.create_device_with_x509("x509-device", thumbprint, thumbprint, "enabled")
    client = IoTHubDeviceClient.create_from_x509_certificate(
        X509(cert, key), world.hub.address, "x509-device", server_verification_cert=world.hub.ca)
    client.connect()
    client.patch_twin_reported_properties({"by": "certificate"})
    client.shutdown()
    assert world.registry.get_twin("x509-device").properties.reported["by"] == "certificate"


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
          twin_of_the_service, telemetry, a_renewed_token_keeps_the_subscriptions,
          a_restarted_hub_forgets_nothing, a_wrong_key, a_certificate, websockets]


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
