"""All official SDKs at once against hotshoe-localhub: short tokens, cut connections and takeovers, for as long as wanted.

usage: soak.py HOTSHOE-LOCALHUB HOTSHOE-SIMULATOR NODE-MODULES MINUTES [ADDRESS]

Devices of the Python and the Node SDK over MQTT and WebSocket and a fleet of hotshoed's own sessions are called and have
their twins changed by the service SDKs of both languages, while tokens run out every few seconds, connections are cut and
taken over. Held at the end: no call failed but those whose device lost its connection meanwhile (a direct method is not
queued, iothub.md section 3); every device shows the last change of its desired properties; every device still answers;
and the hub's memory did not grow. A device whose library died of a cut is started again, as a supervisor in the field would,
and counted. Prints a summary; exit code 0 if all held.
"""

import collections
import datetime
import json
import os
import random
import signal
import ssl
import statistics
import subprocess
import sys
import threading
import time

import paho.mqtt.client
import requests
from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from localhub import Hub, token  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
FLEET = 40
PLUGIN = "acme/soak"
PYTHON_TOKEN = 126  # renewed 120 s before its end: every 6 s
NODE_TOKEN = 16  # renewed after 12 s
FLEET_TOKEN = "20s"  # renewed after 16 s
CUT_EVERY, TAKE_EVERY = 4.0, 9.0
SETTLED = 600


class Soak:
    def __init__(self, localhub, simulator, node_modules, minutes, address):
        os.environ["RUST_LOG"] = "warn"
        self.hub = Hub(localhub, address)
        self.address, self.node_modules, self.simulator = address, node_modules, simulator
        self.seconds = float(minutes) * 60
        parts = dict(part.split("=", 1) for part in self.hub.owner.strip().split(";"))
        self.owner = parts["SharedAccessKey"]
        self.base = f"https://{address}:{self.hub.https_port}"
        self.registry = self.service()
        self.lock = threading.Lock()
        self.calls, self.failures, self.trouble = collections.Counter(), [], []
        self.desired, self.sets = collections.defaultdict(dict), collections.Counter()
        self.cuts, self.takeovers = 0, 0
        self.gone = collections.defaultdict(list)  # device: [[from, to or None]]
        self.events = collections.Counter()
        self.memory = []
        self.calm, self.ending = threading.Event(), threading.Event()
        self.number, self.started = 0, 0
        self.told, self.deaths = collections.defaultdict(collections.Counter), collections.Counter()

    def service(self):
        return IoTHubRegistryManager.from_connection_string(self.hub.owner.strip())

    # --- the parts

    def start(self):
        with_443 = self.hub.https_port == 443
        self.devices, self.keys = ["py-mqtt", "node-mqtt"] + (["py-ws", "node-ws"] if with_443 else []), {}
        if not with_443:
            print("port 443 cannot be had: no WebSockets, no Node service app", flush=True)
        self.children = {}
        for device in self.devices:
            made = self.registry.create_device_with_sas(device, "", "", "enabled")
            self.keys[device] = made.authentication.symmetric_key.primary_key
        threading.Thread(target=self.listen, daemon=True).start()
        for device in self.devices:
            self.start_device(device)
        self.fleet = [f"sim-{number:04}" for number in range(1, FLEET + 1)]
        command = [self.simulator, "fleet", "--hub", self.hub.ready["owner"], "--ca", self.hub.ready["ca"], "--json",
                   "--devices", str(FLEET), "--token-lifetime", FLEET_TOKEN, "--phase-time", "200ms",
                   "--plugins", "acme.soak=0.0.1", "--port", str(self.hub.ready["mqttPort"])]
        self.children["fleet"] = fleet = self.spawn(command)
        while json.loads(fleet.stdout.readline())["event"] != "connected":
            pass
        threading.Thread(target=lambda: [None for _ in fleet.stdout], daemon=True).start()
        self.workers = [threading.Thread(target=self.call_devices, args=([device], 0.3)) for device in self.devices]
        self.workers += [threading.Thread(target=self.call_devices, args=(self.fleet, 0.1)),
                         threading.Thread(target=self.desire_devices), threading.Thread(target=self.desire_fleet)]
        self.workers.append(threading.Thread(target=self.supervise))
        self.troublemakers = [threading.Thread(target=self.cut), threading.Thread(target=self.take_over)]
        threading.Thread(target=self.watch_memory, daemon=True).start()
        for thread in self.workers + self.troublemakers:
            thread.start()
        self.node_service = None
        if with_443:
            self.node_service = self.spawn(["node", f"{HERE}/service.js", self.hub.owner.strip(), *self.devices])
            threading.Thread(target=self.read_node_service, daemon=True).start()

    def start_device(self, device):
        transport = "websocket" if device.endswith("ws") else "mqtt"
        text = f"HostName={self.address};DeviceId={device};SharedAccessKey={self.keys[device]}"
        if device.startswith("py"):
            command = [sys.executable, f"{HERE}/device.py", text, self.hub.ready["ca"], transport, str(PYTHON_TOKEN)]
        else:
            command = ["node", f"{HERE}/device.js", text, self.hub.ready["ca"], transport, str(NODE_TOKEN)]
        child = self.children[device] = self.spawn(command)
        assert child.stdout.readline().strip() == "ready", f"{device} did not come up"

    def supervise(self):
        while not self.ending.wait(1.0):
            for device in self.devices:
                child = self.children[device]
                if child.poll() is None:
                    continue
                self.deaths[device] += 1
                said = child.stdout.read().strip().splitlines()
                if child.returncode == 3 and said:
                    self.told[device].update(json.loads(said[-1]))
                else:
                    self.trouble.append(f"{device} ended with {child.returncode}")
                try:
                    self.start_device(device)
                except AssertionError as error:  # cut again while it began: once more
                    self.trouble.append(str(error))

    def spawn(self, command):
        environment = dict(os.environ, NODE_PATH=self.node_modules, NODE_EXTRA_CA_CERTS=self.hub.ready["ca"])
        self.started += 1
        name = f"{os.path.basename(command[1])}.{self.started}.log"
        log = open(os.path.join(self.hub.directory.name, name), "w")
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                env=environment)

    # --- the service's side

    def called(self, device, since, until, ok, error=""):
        with self.lock:
            self.calls[("fleet" if device.startswith("sim") else device, "answered" if ok else "failed")] += 1
            if not ok:
                self.failures.append((device, since, until, error))

    def call_devices(self, devices, pause):
        registry, at = self.service(), 0
        while not self.ending.wait(pause):
            device, at = devices[at % len(devices)], at + 1
            self.call(registry, device)

    def call(self, registry, device):
        with self.lock:
            self.number += 1
            payload = {"n": self.number}
        name = "hotshoe.ping" if device.startswith("sim") else "echo"
        call = CloudToDeviceMethod(method_name=name, payload=payload, response_timeout_in_seconds=10,
                                   connect_timeout_in_seconds=30)
        since = time.time()
        try:
            answer = registry.invoke_device_method(device, call)
            ok = answer.status == 200 and answer.payload == {"echo": payload}
            self.called(device, since, time.time(), ok, "" if ok else f"{answer.status} {answer.payload}")
            return ok
        except Exception as error:
            text = getattr(getattr(error, "response", None), "text", None) or repr(error)
            self.called(device, since, time.time(), False, text)
            return False

    def desire(self, registry, device, key, patch, number):
        try:
            registry.update_twin(device, Twin(properties=TwinProperties(desired=patch)), "*")
        except Exception as error:
            with self.lock:
                self.trouble.append(f"desired of {device}: {error!r}")
            return
        with self.lock:
            self.desired[device][key] = number
            self.sets[key] += 1

    def desire_devices(self):
        registry, number = self.service(), 0
        while not self.ending.wait(1.0):
            number += 1
            for device in self.devices:
                self.desire(registry, device, "python", {"python": number}, number)

    def desire_fleet(self):
        registry, number = self.service(), 0
        while not self.ending.wait(0.1):
            number += 1
            device = self.fleet[number % FLEET]
            patch = {"hotshoe": {"plugins": {PLUGIN: {"version": f"1.0.{number}"}}}}
            self.desire(registry, device, "plugin", patch, f"1.0.{number}")

    def read_node_service(self):
        for line in self.node_service.stdout:
            said = json.loads(line)
            if "call" in said:
                self.called(said["call"], said["from"], said["to"], said["ok"], said.get("error", ""))
            elif "desired" in said:
                with self.lock:
                    self.desired[said["desired"]]["node"] = said["n"]
                    self.sets["node"] += 1
            else:
                self.trouble.append(f"node service: {said}")

    # --- what happens to connections

    def cut(self):
        while not self.calm.wait(CUT_EVERY):
            device = random.choice(self.devices + self.fleet[:len(self.devices)])
            self.hub.rest("POST", f"/localhub/devices/{device}/disconnect")
            self.cuts += 1

    def take_over(self):
        while not self.calm.wait(TAKE_EVERY):
            device = random.choice(self.devices)
            client = paho.mqtt.client.Client(device, clean_session=False)
            client.username_pw_set(f"{self.address}/{device}/?api-version=2021-04-12",
                                   token(f"{self.address}/devices/{device}", self.keys[device]))
            client.tls_set(self.hub.ready["ca"], tls_version=ssl.PROTOCOL_TLSv1_2)
            connected = threading.Event()
            client.on_connect = lambda *_: connected.set()
            try:
                client.connect(self.address, 8883)
                client.loop_start()
                self.takeovers += connected.wait(10)
                client.disconnect()
                client.loop_stop()
            except OSError as error:
                self.trouble.append(f"takeover of {device}: {error!r}")

    def listen(self):
        """Keeps for each device when it was not connected."""
        while not self.ending.is_set():
            headers = {"authorization": token(self.address, self.owner, 86400, "iothubowner")}
            with requests.get(f"{self.base}/localhub/events?kinds=connected,disconnected", headers=headers,
                              verify=self.hub.ready["ca"], stream=True, timeout=60) as stream:
                for line in stream.iter_lines():
                    if not line.startswith(b"data:"):
                        continue
                    event = json.loads(line[5:])
                    kind, device = event.get("kind"), event.get("device")
                    self.events[kind or "lagged"] += 1
                    if not device:
                        continue
                    now = datetime.datetime.fromisoformat(event["time"][:26].rstrip("Z") + "+00:00").timestamp()
                    gaps = self.gone[device]
                    if kind == "disconnected":
                        gaps.append([now, None])
                    elif kind == "connected" and gaps and gaps[-1][1] is None:
                        gaps[-1][1] = now

    def was_gone(self, device, since, until):
        margin = 0.5
        return any(begin <= until + margin and (end is None or end >= since - margin)
                   for begin, end in self.gone[device])

    def watch_memory(self):
        began = time.time()
        while not self.ending.is_set():
            with open(f"/proc/{self.hub.process.pid}/status") as status:
                kib = {line.split(":")[0]: int(line.split()[1]) for line in status if line.startswith(("VmRSS", "RssAnon"))}
            self.memory.append((time.time() - began, kib["RssAnon"], kib["VmRSS"]))
            time.sleep(2)

    # --- the end

    def run(self):
        end = time.time() + self.seconds
        while time.time() < end:
            time.sleep(min(60, max(0.1, end - time.time())))
            with self.lock:
                answered = sum(count for (_, how), count in self.calls.items() if how == "answered")
                print(f"{self.seconds - end + time.time():6.0f} s: {answered} calls answered, {len(self.failures)} not, "
                      f"{sum(self.sets.values())} desired changes, {self.cuts} cuts, {self.takeovers} takeovers, "
                      f"{self.events['disconnected']} connections ended, hub {self.memory[-1][1]} KiB of its own, "
                      f"{self.memory[-1][2]} KiB with its program's pages", flush=True)
        self.calm.set()
        for thread in self.troublemakers:
            thread.join()
        time.sleep(15)  # the last calls and changes are made in peace
        self.ending.set()
        if self.node_service:
            self.node_service.stdin.close()
            self.node_service.wait(60)
        for thread in self.workers:
            thread.join()
        return self.judge()

    def judge(self):
        bad = []
        lost = [failure for failure in self.failures if not self.was_gone(*failure[:3])]
        bad += [f"lost call: {device}, {until - since:.1f} s: {error}" for device, since, until, error in lost[:20]]
        behind = self.behind()
        deadline = time.time() + 60
        while behind and time.time() < deadline:
            time.sleep(1)
            behind = self.behind()
        bad += [f"lost desired change: {text}" for text in behind]
        registry = self.service()
        silent = [device for device in self.devices + self.fleet if not self.call(registry, device)]
        bad += [f"does not answer at the end: {device}" for device in silent]
        for device in silent:
            if device.startswith("py"):
                self.children[device].send_signal(signal.SIGUSR1)  # its threads, into its log
        told = {}
        for device, child in self.children.items():
            if device == "fleet":
                child.terminate()
                child.wait(60)
                continue
            if child.poll() is not None:
                bad.append(f"{device} ended by itself: {child.returncode}")
                continue
            try:
                output, _ = child.communicate(timeout=60)
                self.told[device].update(json.loads(output.strip().splitlines()[-1]))
                told[device] = dict(self.told[device], libraryDied=self.deaths[device])
            except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
                bad.append(f"{device} did not tell what it did: {error!r}")
                child.kill()
                continue
            if told[device]["backwards"] or told[device]["twice"]:
                bad.append(f"{device} saw a change backwards or a call twice: {told[device]}")
        # What it has of its own: pages of the program come as its paths are walked, and go as the machine likes.
        window = lambda low, high: statistics.mean([kib for at, kib, _ in self.memory if low <= at <= high])
        # What is kept of the last messages and packets of each device fills up in the first ten minutes.
        settled, end = min(SETTLED, self.seconds / 2), self.memory[-1][0]
        early, late = window(settled, settled + self.seconds / 10), window(end * 0.9, end)
        if self.seconds >= 2 * SETTLED and late > early * 1.1 + 1024:
            bad.append(f"the hub's memory grew from {early:.0f} KiB to {late:.0f} KiB")
        print(json.dumps({
            "minutes": self.seconds / 60, "lost": len(lost), "behind": behind, "trouble": self.trouble[:10],
            "calls": {f"{who} {how}": count for (who, how), count in sorted(self.calls.items())},
            "failures": collections.Counter(error[:120] for *_, error in self.failures).most_common(8),
            "desiredSet": dict(self.sets), "devices": told, "cuts": self.cuts, "takeovers": self.takeovers,
            "connections": dict(self.events),
            "hubKiB": {"first": self.memory[0][1], "early": round(early), "late": round(late),
                       "most": max(kib for _, kib, _ in self.memory), "residentAtLast": self.memory[-1][2]},
        }, indent=1, ensure_ascii=False), flush=True)
        if bad:
            self.show_logs()
        for text in bad:
            print(f"NOT HELD: {text}", flush=True)
        return not bad

    def show_logs(self):
        for name in sorted(os.listdir(self.hub.directory.name)):
            if name.endswith(".log"):
                with open(os.path.join(self.hub.directory.name, name), errors="replace") as log:
                    print(f"-- the end of {name}\n" + "".join(log.readlines()[-150:]), flush=True)
        print("-- the end of the hub's log\n" + "".join(self.hub.lines[-40:]), flush=True)

    def behind(self):
        """The devices that do not show the last change, each in words."""
        found = []
        for device, wanted in self.desired.items():
            reported = self.registry.get_twin(device).properties.reported
            if "plugin" in wanted:
                shown = {"plugin": reported.get("hotshoe", {}).get("plugins", {}).get(PLUGIN, {}).get("version")}
            else:
                shown = reported.get("seen") or {}
            found += [f"{device}: {key} is {shown.get(key)}, {value} was set last"
                      for key, value in wanted.items() if shown.get(key) != value]
        return found


def main():
    soak = Soak(*sys.argv[1:5], (sys.argv[5:6] or ["127.0.0.3"])[0])
    try:
        soak.start()
        held = soak.run()
    finally:
        soak.calm.set()
        soak.ending.set()
        for child in getattr(soak, "children", {}).values():
            if child.poll() is None:
                child.kill()
        if soak.hub.process.poll() is None:
            soak.hub.stop()
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
