"""The gateway as a process: what it loads, and how it stops."""

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

HEAVY = ["torch", "sklearn", "ctranslate2", "opentelemetry", "shoal.training", "shoal.flywheel"]
SERVES = """
import sys
sys.path.insert(0, sys.argv[1])
from fake_keys import FakeKeys
from live import FakeDesk
from shoal.engines import EchoOptions, open_engine
from shoal.gateway import GatewayOptions, create_app, run
from shoal.gateway import server
listen = server.listen
def telling(options):
    listener = listen(options)
    print(listener.getsockname()[1], flush=True)
    return listener
server.listen = telling
options = GatewayOptions(port=0)
desk = FakeDesk(open_engine("echo", EchoOptions(engine="echo")))
run(create_app(desk, options, FakeKeys()), options)
"""


def test_importing_the_gateway_loads_nothing_heavy() -> None:
    asked = f"import sys, shoal.gateway; print([m for m in {HEAVY} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    assert loaded.stdout.strip() == b"[]"


def test_a_signal_stops_it() -> None:
    here = str(Path(__file__).parent)
    with subprocess.Popen([sys.executable, "-c", SERVES, here], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as reply:
            assert json.load(reply)["status"] == "ok"
            assert "server" not in {name.lower() for name in reply.headers}
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) in (0, -signal.SIGTERM)
