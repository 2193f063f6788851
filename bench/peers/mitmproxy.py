"""mitmproxy's mitmdump, streaming, in a virtual environment of its own (its pins clash with ours)."""

from pathlib import Path

from bench.peers import Running
from bench.processes import Stage, listens
from tests.kit import ROOT, free_port

PROGRAM = ROOT / ".deps" / "mitmproxy" / "bin" / "mitmdump"

# It asks the system for addresses; this sends every name to the origin instead.
_ADDRESSES = """
def server_connect(data):
    data.server.address = ("127.0.0.1", data.server.address[1])
"""


def lacking() -> str | None:
    return None if PROGRAM.exists() else "mitmproxy is not installed (tools/bench-setup.sh does it, from PyPI)"


def start(stage: Stage, trusted: Path) -> Running:
    folder, port = stage.sub("mitmproxy"), free_port()
    addon = folder / "addresses.py"
    addon.write_text(_ADDRESSES)
    settings = {
        "confdir": folder,
        "ssl_verify_upstream_trusted_ca": trusted,
        "stream_large_bodies": "64k",
        "listen_host": "127.0.0.1",
        "listen_port": port,
    }
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    pid = stage.start([PROGRAM, *options, "-s", addon])
    stage.until(lambda: listens(port), "mitmproxy")
    return Running(pid=pid, port=port, ca=folder / "mitmproxy-ca-cert.pem")
