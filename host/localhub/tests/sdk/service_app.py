"""The tutorial's service app on the official SDK: starts a firmware update and follows the twin to its end.

usage: service_app.py CONNECTION-STRING-FILE CA-FILE DEVICE PAYLOAD-JSON [TIMEOUT-SECONDS]

Prints the response and every new `firmwareStatus` as lines of JSON. Exit code 0 if the last one is `completed`.
"""

import json
import os
import sys
import time

from azure.iot.hub import IoTHubRegistryManager
from azure.iot.hub.models import CloudToDeviceMethod


def tell(**what):
    print(json.dumps(what), flush=True)


def main():
    connection_string_file, ca, device, payload = sys.argv[1:5]
    patience = float(sys.argv[5]) if len(sys.argv) > 5 else 300
    os.environ["REQUESTS_CA_BUNDLE"] = ca
    registry = IoTHubRegistryManager.from_connection_string(open(connection_string_file).read().strip())
    call = CloudToDeviceMethod(method_name="firmwareUpdate", payload=json.loads(payload),
                               response_timeout_in_seconds=60, connect_timeout_in_seconds=60)
    answer = registry.invoke_device_method(device, call)
    tell(status=answer.status, payload=answer.payload)
    if answer.status != 200:
        return 1
    last, deadline = None, time.monotonic() + patience
    while time.monotonic() < deadline:
        status = registry.get_twin(device).properties.reported.get("firmwareStatus")
        if status != last:
            last = status
            tell(firmwareStatus=status)
        if status in ("completed", "failed", "rolledBack"):
            return 0 if status == "completed" else 1
        time.sleep(0.5)
    tell(error=f"no end within {patience} s; the last status is {last}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
