"""Starts a hotshoe-localhub for a test, reads what it prints, and speaks to the endpoints that are its own."""

import base64
import hashlib
import hmac
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

import requests


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

    def rest(self, method, path, **more):
        """What the SDKs do not know: `/localhub/…`, as the owner. The answer's JSON, if it has any."""
        key = dict(part.split("=", 1) for part in self.owner.strip().split(";"))["SharedAccessKey"]
        headers = {"authorization": token(self.address, key, policy="iothubowner")}
        answer = requests.request(method, f"https://{self.address}:{self.https_port}{path}", headers=headers,
                                  verify=self.ready["ca"], timeout=60, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def certificate(self, id):
        """A self-signed certificate with that common name: the files of it and its key, and its thumbprint."""
        cert, key = (os.path.join(self.directory.name, f"{id}.{name}.pem") for name in ("cert", "key"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={id}",
                        "-days", "2", "-keyout", key, "-out", cert], check=True, capture_output=True)
        der = subprocess.run(["openssl", "x509", "-in", cert, "-outform", "der"], check=True, capture_output=True).stdout
        return cert, key, hashlib.sha1(der).hexdigest().upper()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(timeout=20)


def token(resource, key, lifetime=60, policy=None):
    """A shared access signature."""
    resource, expiry = urllib.parse.quote(resource, safe=""), int(time.time()) + lifetime
    signature = hmac.new(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(signature), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}" + (f"&skn={policy}" if policy else "")


def can_listen(address, port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            return True
        except OSError:
            return False
