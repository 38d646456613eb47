"""The official SDKs' own published sample programs, unchanged, against hotshoe-localhub.

usage: run.py HOTSHOE-LOCALHUB SAMPLES NODE-MODULES [ADDRESS [WORD…]]

SAMPLES holds the repositories by name, as `cargo xtask azure-samples` makes them. Each sample is started as its readme says,
with what it needs in its environment, is given what it waits for (a method call, a message, a changed twin, the Q key), and
must print what it is meant to and no error. Several run at once, each with a device of its own. WORDS choose samples by a
part of their path.

Left out, because the hub has no such thing: AMQP (sending messages from the cloud), blob storage (file upload, import and
export of identities), Azure Active Directory, TPM, IoT Edge, the digital twin API; and samples that are to be edited first
or wait for minutes by design.
"""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import node_samples  # noqa: E402
import python_samples  # noqa: E402
from world import Sample, World  # noqa: E402

AT_ONCE = 4
ERRORS = ("Traceback", "Unexpected error", "HttpOperationError", "ould not", "rror:", " failed", "Failed")


class Table:
    """The samples, and what is done with each: a function of what starts it."""

    def __init__(self):
        self.entries = []

    def sample(self, *paths):
        """A decorator: the function gets `start(environment, arguments=())`, which gives a `Sample`, and a fresh name."""
        def register(function):
            for path in paths:
                name = "-".join(path.removesuffix(".py").removesuffix(".js").split("/")[-2:])
                self.entries.append((path, lambda start, name=name: function(start, name)))
            return function
        return register


def run(world, path, function):
    """Runs one sample; None, or what was wrong."""
    began, started = time.monotonic(), []

    def start(environment, arguments=()):
        started.append(Sample(world, path, environment, arguments))
        return started[0]
    trouble = None
    try:
        function(start)
        (sample,) = started
        lines = [line for line in sample.lines if not (sample.may_say and sample.may_say in line)]
        trouble = next((f"it said {line.strip()!r}" for line in lines if any(word in line for word in ERRORS)), None)
    except Exception as error:  # told with what the sample said
        trouble = f"{type(error).__name__}: {error}"
    for sample in started:
        sample.kill()
    took = f"{time.monotonic() - began:.1f} s"
    print(f"{path}: {trouble or 'ok'} ({took})", flush=True)
    if trouble:
        print("".join(f"    | {line}" for sample in started for line in sample.lines[-25:]), end="", flush=True)
    return trouble


def main():
    world, words = World(sys.argv[1], (sys.argv[4:5] or ["127.0.0.4"])[0], *sys.argv[2:4]), sys.argv[5:]
    try:
        table = Table()
        python_samples.register(table, world)
        node_samples.register(table, world)
        entries = [entry for entry in table.entries if not words or any(word in entry[0] for word in words)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            troubles = list(pool.map(lambda entry: run(world, *entry), entries))
    finally:
        if world.hub.process.poll() is None:
            world.hub.stop()
    bad = sum(trouble is not None for trouble in troubles)
    print(f"{len(entries) - bad} of {len(entries)} samples passed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
