"""What samples run in: the hub seen from the service, and one running sample."""

import os
import subprocess
import sys
import threading
import time

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties

from localhub import Hub, token

PATIENCE = 90


class World:
    """The hub, seen from the service. `samples` are the repositories' directory, `node_modules` Node's libraries."""

    def __init__(self, program, address, samples, node_modules):
        self.hub = Hub(program, address)
        if self.hub.https_port != 443:
            raise SystemExit("port 443 cannot be had, and the samples know no other")
        self.samples, self.node_modules = os.path.abspath(samples), os.path.abspath(node_modules)
        self.address, self.owner, self.id_scope = address, self.hub.owner.strip(), self.hub.ready["idScope"]
        self.registry = IoTHubRegistryManager.from_connection_string(self.owner)

    def device(self, id, module=None):
        """A fresh device's connection string; with a module, if one is named."""
        made = self.registry.create_device_with_sas(id, None, None, "enabled")
        if module:
            self.registry.create_module_with_sas(id, module, "", None, None)
        return f"HostName={self.address};DeviceId={id};SharedAccessKey={made.authentication.symmetric_key.primary_key}"

    def token(self, id):
        """A fresh device's shared access signature."""
        key = self.device(id).split("SharedAccessKey=")[1]
        return token(f"{self.address}/devices/{id}", key, 3600)

    def certified_device(self, id):
        """A fresh device's certificate and key, as files."""
        cert, key, thumbprint = self.hub.certificate(id)
        self.registry.create_device_with_x509(id, thumbprint, thumbprint, "enabled")
        return cert, key

    def enroll(self, path, **enrollment):
        """Makes an enrollment; its primary key, if it has one."""
        made = self.hub.rest("PUT", f"/localhub/{path}", json=enrollment)
        return made["attestation"].get("symmetricKey", {}).get("primaryKey")

    def enroll_certified(self, id):
        """Makes an enrollment with a certificate; that and its key, as files."""
        cert, key, _ = self.hub.certificate(id)
        x509 = {"clientCertificates": {"primary": {"certificate": open(cert).read()}}}
        self.enroll(f"enrollments/{id}", attestation={"type": "x509", "x509": x509})
        return cert, key

    # What a sample waits for, and what it left behind.

    def call(self, id, name, payload=None):
        call = CloudToDeviceMethod(method_name=name, payload=payload, response_timeout_in_seconds=30,
                                   connect_timeout_in_seconds=30)
        return self.registry.invoke_device_method(id, call)

    def desire(self, id, desired):
        self.registry.update_twin(id, Twin(properties=TwinProperties(desired=desired)), "*")

    def send(self, id, text):
        self.hub.rest("POST", f"/localhub/devices/{id}/messages?messageId=m1&colour=red", data=text)

    def reported(self, id):
        return self.registry.get_twin(id).properties.reported

    def messages(self, id):
        return len(self.hub.rest("GET", f"/localhub/devices/{id}/telemetry"))


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"it did not happen that {what}"
        time.sleep(0.1)


class Sample:
    """One that runs: its process, and its output so far."""

    # A line with this in it is no error.
    may_say = None

    def __init__(self, world, path, environment, arguments=()):
        program = ["node"] if path.endswith(".js") else [sys.executable, "-u"]
        ca = world.hub.ready["ca"]
        environment = {**os.environ, "NODE_PATH": world.node_modules, "NODE_NO_WARNINGS": "1", "NODE_EXTRA_CA_CERTS": ca,
                       "SSL_CERT_FILE": ca, "REQUESTS_CA_BUNDLE": ca, "PYTHONWARNINGS": "ignore",
                       "IOTHUB_CONNECTION_STRING": world.owner, **environment}
        self.process = subprocess.Popen([*program, os.path.join(world.samples, path), *arguments], env=environment,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        text=True, cwd=world.hub.directory.name)
        self.lines = []
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()

    @property
    def output(self):
        return "".join(self.lines)

    def says(self, *texts):
        """Waits until it has said all of them."""
        deadline = time.monotonic() + PATIENCE
        for text in texts:
            while text not in self.output:
                assert self.reader.is_alive() and time.monotonic() < deadline, f"it did not say {text!r}"
                time.sleep(0.05)

    def presses_q(self):
        self.process.stdin.write("q\n")
        self.process.stdin.flush()

    def ends(self, *texts):
        """Waits until it ends by itself, having said all of them."""
        self.process.wait(PATIENCE)
        self.reader.join(PATIENCE)
        self.says(*texts)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
