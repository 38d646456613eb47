"""A device made with the official SDK, for an operator's tool to drive.

usage: device.py CONNECTION-STRING-FILE CA-FILE

Prints `ready` when it is connected and listens. Answers `echo` with its payload and `firmwareUpdate` as the tutorial
does, reporting the tutorial's phases; writes one line of JSON for every request and every desired patch. Ends with
standard input.
"""

import json
import sys
import threading
import time
from datetime import datetime, timezone

from azure.iot.device import IoTHubDeviceClient, MethodResponse

PHASES = [("standBy", "logTime"), ("downloading", "downloadComplete"), ("applying", "startedApplyingImage"),
          ("completed", "lastFirmwareUpdate")]


def tell(**what):
    print(json.dumps(what), flush=True)


def main():
    connection_string, ca = (open(name).read() for name in sys.argv[1:3])
    client = IoTHubDeviceClient.create_from_connection_string(
        connection_string.strip(), server_verification_cert=ca)

    def update():
        def now():
            return datetime.now(timezone.utc).isoformat()
        for status, when in PHASES:
            client.patch_twin_reported_properties({"firmwareStatus": status, when: now()})
            time.sleep(0.8)  # longer than a service app waits between two looks

    def answer(request):
        tell(method=request.name, payload=request.payload)
        if request.name == "echo":
            status, payload = 200, request.payload
        elif request.name == "firmwareUpdate":
            status, payload = 200, {"Response": "Firmware update started"}
        else:
            status, payload = 404, {"Response": f"no method {request.name}"}
        client.send_method_response(MethodResponse(request.request_id, status, payload))
        if request.name == "firmwareUpdate":
            threading.Thread(target=update).start()

    client.on_method_request_received = answer
    client.on_twin_desired_properties_patch_received = lambda patch: tell(desired=patch)
    client.connect()
    client.get_twin()
    print("ready", flush=True)
    sys.stdin.read()
    client.shutdown()


if __name__ == "__main__":
    main()
