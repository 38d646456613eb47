"""Starts a hotshoe-localhub for a test and reads what it prints."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import threading


class Hub:
    """A hub on an address of its own, because the device SDKs know no other MQTT port than 8883."""

    def __init__(self, program, address="127.0.0.2"):
        self.program, self.address = program, address
        self.directory = tempfile.TemporaryDirectory(prefix="localhub-")
        self.data = os.path.join(self.directory.name, "data")
        self.https_port = 443 if can_listen(address, 443) else 0
        self.lines = []
        self.start()

    def start(self):
        command = [self.program, "serve", "--host", self.address, "--listen", self.address]
        command += ["--mqtt-port", "8883", "--https-port", str(self.https_port), "--data", self.data]
        command += ["--clock-slack", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready = self.process.stdout.readline()
        threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True).start()
        if not ready:
            self.process.wait()
            raise SystemExit("the hub did not start:\n" + "".join(self.lines))
        self.ready = json.loads(ready)
        self.https_port = self.ready["httpsPort"]
        # What the environment of a developer's machine may say otherwise.
        os.environ["REQUESTS_CA_BUNDLE"] = self.ready["ca"]
        self.ca = open(self.ready["ca"]).read()
        self.owner = open(self.ready["owner"]).read()

    def _read(self, stream):
        for line in stream:
            self.lines.append(line)

    def logged(self, *words):
        """How many lines of the log hold all of the words."""
        return sum(all(word in line for word in words) for line in self.lines)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


def can_listen(address, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            return True
        except OSError:
            return False
