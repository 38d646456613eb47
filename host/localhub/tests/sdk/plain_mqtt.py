"""Plain MQTT clients against hotshoe-localhub: paho, and mosquitto's programs where they are installed.

usage: plain_mqtt.py PATH/TO/hotshoe-localhub [ADDRESS]

Each check runs with the user names of clients of today and of years past. A line for each; exit code 0 if all held.
"""

import json
import queue
import shutil
import ssl
import subprocess
import sys
import threading

import paho.mqtt.client
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties

from localhub import Hub, token

# What stands behind `HOST/DEVICE/` of the user name.
USER_NAMES = {
    "today": "?api-version=2021-04-12",
    "with a model": "?api-version=2021-04-12&DeviceClientType=x%2F1&model-id=dtmi%3Acom%3Aexample%3AThermostat%3B1",
    "2019": "?api-version=2019-10-01&DeviceClientType=py-azure-iot-device%2F2",
    "2018": "DeviceClientType=azure-iot-device%2F1.3.2%20&api-version=2018-01-16",
    "2016": "api-version=2016-11-14",
}
PATIENCE = 20


class World:
    def __init__(self, program, address):
        self.hub = Hub(program, address)
        self.registry = IoTHubRegistryManager.from_connection_string(self.hub.owner.strip())

    def device(self, id):
        made = self.registry.create_device_with_sas(id, None, None, "enabled")
        return token(f"{self.hub.address}/devices/{id}", made.authentication.symmetric_key.primary_key, 3600)


class Client:
    """A paho client of a device, and what it hears."""

    def __init__(self, world, id, behind, password):
        self.heard = queue.Queue()
        self.connected, self.gone, self.subscribed = threading.Event(), threading.Event(), threading.Event()
        self.code = None
        self.client = paho.mqtt.client.Client(id, clean_session=True)
        self.client.username_pw_set(f"{world.hub.address}/{id}/{behind}", password)
        self.client.tls_set(world.hub.ready["ca"], tls_version=ssl.PROTOCOL_TLSv1_2)
        self.client.reconnect_delay_set(60)
        self.client.on_connect = self.on_connect
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.heard.put((message.topic, message.payload))
        self.client.connect(world.hub.address, 8883, keepalive=60)
        self.client.loop_start()
        assert self.connected.wait(PATIENCE), "no CONNACK"

    def on_connect(self, _client, _data, _flags, code):
        self.code = code
        self.connected.set()

    def subscribe(self, *filters):
        self.subscribed.clear()
        self.client.subscribe([(name, 1) for name in filters])
        assert self.subscribed.wait(PATIENCE), "no SUBACK"

    def hears(self):
        return self.heard.get(timeout=PATIENCE)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def everything(world, id, behind):
    device = Client(world, id, behind, world.device(id))
    assert device.code == 0, device.code
    device.subscribe("$iothub/twin/res/#", "$iothub/methods/POST/#", "$iothub/twin/PATCH/properties/desired/#",
                     f"devices/{id}/messages/devicebound/#")

    sent = device.client.publish(f"devices/{id}/messages/events/a=1&%24.ct=application%2Fjson", "{}", qos=1)
    sent.wait_for_publish(PATIENCE)
    told = world.hub.rest("GET", f"/localhub/devices/{id}/telemetry")
    assert len(told) == 1 and sent.is_published(), told

    device.client.publish("$iothub/twin/GET/?$rid=r1", "")
    topic, body = device.hears()
    assert topic == "$iothub/twin/res/200/?$rid=r1" and "desired" in json.loads(body), topic
    device.client.publish("$iothub/twin/PATCH/properties/reported/?$rid=r2", '{"on": true}', qos=1)
    topic, _ = device.hears()
    assert topic.startswith("$iothub/twin/res/204/?$rid=r2&$version="), topic
    assert world.registry.get_twin(id).properties.reported["on"] is True
    world.registry.update_twin(id, Twin(properties=TwinProperties(desired={"x": 1})), "*")
    topic, body = device.hears()
    assert topic.startswith("$iothub/twin/PATCH/properties/desired/?$version=") and json.loads(body)["x"] == 1, topic

    answers = queue.Queue()
    call = CloudToDeviceMethod(method_name="blink", payload={"times": 2}, response_timeout_in_seconds=20)
    threading.Thread(target=lambda: answers.put(world.registry.invoke_device_method(id, call))).start()
    topic, body = device.hears()
    assert topic.startswith("$iothub/methods/POST/blink/?$rid=") and json.loads(body) == {"times": 2}, topic
    device.client.publish(f"$iothub/methods/res/202/?$rid={topic.split('$rid=')[1]}", '{"done": 2}')
    answer = answers.get(timeout=PATIENCE)
    assert (answer.status, answer.payload) == (202, {"done": 2}), answer

    world.hub.rest("POST", f"/localhub/devices/{id}/messages?messageId=m1", data="hello")
    topic, body = device.hears()
    assert topic.startswith(f"devices/{id}/messages/devicebound/") and "%24.mid=m1" in topic and body == b"hello", topic
    device.close()


def what_is_not_allowed_ends_the_connection(world):
    password = world.device("strict")
    for what in ("QoS 2", "another device's topic", "a topic of one's own"):
        device = Client(world, "strict", USER_NAMES["today"], password)
        topics = {"QoS 2": "devices/strict/messages/events/", "another device's topic": "devices/other/messages/events/",
                  "a topic of one's own": "home/kitchen"}
        device.client.publish(topics[what], "{}", qos=2 if what == "QoS 2" else 1)
        assert device.gone.wait(PATIENCE), f"{what} was let pass"
        device.close()


def a_wrong_password_is_code_5(world):
    password = world.device("locked")
    for text in (password.replace("sig=", "sig=A"), "", token(f"{world.hub.address}/devices/locked", "AAAA")):
        device = Client(world, "locked", USER_NAMES["today"], text)
        assert device.code == 5, device.code
        device.close()


def mosquitto(world):
    if not shutil.which("mosquitto_pub"):
        return "left out: mosquitto-clients are not installed"
    for number, (name, behind) in enumerate(USER_NAMES.items()):
        id = f"mosquitto-{number}"
        password = world.device(id)
        common = ["-h", world.hub.address, "-p", "8883", "--cafile", world.hub.ready["ca"], "-V", "mqttv311", "-i", id,
                  "-u", f"{world.hub.address}/{id}/{behind}", "-P", password]
        subprocess.run(["mosquitto_pub", *common, "-q", "1", "-t", f"devices/{id}/messages/events/", "-m", name], check=True)
        told = world.hub.rest("GET", f"/localhub/devices/{id}/telemetry")
        assert len(told) == 1, told
        # A session that is kept has its message waiting.
        subscribe = ["mosquitto_sub", *common, "-c", "-q", "1", "-t", f"devices/{id}/messages/devicebound/#"]
        subprocess.run([*subscribe, "-E"], check=True)
        world.hub.rest("POST", f"/localhub/devices/{id}/messages", data=f"to {name}")
        heard = subprocess.run([*subscribe, "-C", "1", "-W", str(PATIENCE)], check=True, capture_output=True, text=True)
        assert heard.stdout.strip() == f"to {name}", heard
    return None


def main():
    world = World(sys.argv[1], *sys.argv[2:3] or ["127.0.0.2"])
    checks = {f"paho, {name}": lambda world, id=f"paho-{number}", behind=behind: everything(world, id, behind)
              for number, (name, behind) in enumerate(USER_NAMES.items())}
    for check in (what_is_not_allowed_ends_the_connection, a_wrong_password_is_code_5, mosquitto):
        checks[check.__name__.replace("_", " ")] = check
    try:
        for name, check in checks.items():
            print(f"{name}: {check(world) or 'ok'}", flush=True)
    except BaseException:
        print("".join(world.hub.lines[-40:]), file=sys.stderr)
        raise
    finally:
        if world.hub.process.poll() is None:
            assert world.hub.stop() == 0, "the hub did not stop in good order"


if __name__ == "__main__":
    main()
