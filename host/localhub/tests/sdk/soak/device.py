"""A device on the official Python SDK, for the soak: short tokens, answers `echo`, reports what it saw desired.

usage: device.py CONNECTION-STRING CA-FILE mqtt|websocket TOKEN-SECONDS

Prints `ready` when it is connected and, at the end of standard input, one line of JSON about what it did. It ends with
code 3, having told the same, when a thread of its library has died: paho's does when a connection is cut while it writes
(Python says `SSLEOFError`, which paho does not take for the end of a connection), and the SDK never notices. SIGUSR1 has it
write where its threads are to standard error.
"""

import faulthandler
import json
import os
import signal
import sys
import threading

from azure.iot.device import IoTHubDeviceClient, MethodResponse


# This SDK waits for ever for the answer to a twin request that a cut took with it: what is not confirmed is sent again.
CONFIRMED_WITHIN = 5


def main():
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    connection_string, ca, transport, lifetime = sys.argv[1:5]
    client = IoTHubDeviceClient.create_from_connection_string(
        connection_string, server_verification_cert=open(ca).read(), websockets=transport == "websocket",
        sastoken_ttl=int(lifetime), keep_alive=20)
    seen, lock, changed = {}, threading.Lock(), threading.Event()
    told = {"calls": 0, "twice": 0, "patches": 0, "backwards": 0, "unanswered": 0, "reports": 0, "unconfirmed": 0}
    numbers = set()

    def answer(request):
        number = request.payload.get("n") if isinstance(request.payload, dict) else None
        with lock:
            told["calls"] += 1
            told["twice"] += number in numbers
            numbers.add(number)
        try:
            client.send_method_response(MethodResponse(request.request_id, 200, {"echo": request.payload}))
        except Exception as error:  # the connection went between the call and its answer
            told["unanswered"] += 1
            print(f"no answer sent: {error!r}", file=sys.stderr)

    def desired(patch):
        with lock:
            told["patches"] += 1
            for by in ("python", "node"):
                if by in patch and patch[by] is not None:
                    told["backwards"] += patch[by] < seen.get(by, 0)
                    seen[by] = max(patch[by], seen.get(by, 0))
        changed.set()

    def report():
        while True:
            changed.wait()
            changed.clear()
            with lock:
                shown = dict(seen)
            confirmed = threading.Event()

            def send():
                try:
                    client.patch_twin_reported_properties({"seen": shown})
                    confirmed.set()
                except Exception as error:
                    print(f"not reported yet: {error!r}", file=sys.stderr)
            threading.Thread(target=send, daemon=True).start()
            if confirmed.wait(CONFIRMED_WITHIN):
                told["reports"] += 1
            else:
                told["unconfirmed"] += 1
                changed.set()

    def died(error):
        sys.excepthook(error.exc_type, error.exc_value, error.exc_traceback)
        print(json.dumps(told), flush=True)
        os._exit(3)
    threading.excepthook = died

    client.on_method_request_received = answer
    client.on_twin_desired_properties_patch_received = desired
    client.connect()
    desired(client.get_twin()["desired"])
    threading.Thread(target=report, daemon=True).start()
    print("ready", flush=True)
    sys.stdin.read()
    leaving = threading.Thread(target=client.shutdown, daemon=True)
    leaving.start()
    leaving.join(30)
    told["left"] = not leaving.is_alive()
    if leaving.is_alive():
        faulthandler.dump_traceback(sys.stderr)
    print(json.dumps(told), flush=True)
    os._exit(0)  # whatever threads the SDK has left


if __name__ == "__main__":
    main()
