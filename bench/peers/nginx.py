"""nginx: the origin behind the proxies (TLS 1.3, P-256), and a server of plain files."""

import os
import urllib.request
from pathlib import Path

from bench.cost import pin
from bench.peers import Running, found
from bench.peers import lacking as _lacking
from bench.processes import CLIENT_CPU, SERVER_CPU, Stage, listens
from tests.kit import free_port

KIB, MIB = 1024, 1024 * 1024


def lacking() -> str | None:
    return _lacking("nginx", "nginx-light")


_COMMON = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 16000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 100000000; keepalive_timeout {keepalive_s}s;
  {http}
}}
"""

# An upload is read whole before it is answered: the location behind sees a request without a body.
_ORIGIN = """
  client_max_body_size 0; client_body_buffer_size 11m;
  server {{
    listen 127.0.0.1:{port} ssl backlog=4096;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    ssl_protocols TLSv1.3; ssl_session_tickets off; ssl_ecdh_curve prime256v1;
    root {folder}/files;
    location /upload {{
      proxy_pass http://unix:{folder}/sink:/; proxy_pass_request_body off; proxy_set_header Content-Length "";
    }}
  }}
  server {{ listen unix:{folder}/sink; location / {{ return 200 "done\\n"; }} }}
"""

_FILES = """
  server {{
    listen 127.0.0.1:{port} backlog=4096; root {folder}/files;
    types {{ application/x-ns-proxy-autoconfig pac; }}
  }}
"""


def _start(stage: Stage, folder: Path, port: int, http: str, cpu: int, keepalive_s: int = 600) -> Running:
    user = "user root;" if os.geteuid() == 0 else ""
    config = folder / "nginx.conf"
    config.write_text(_COMMON.format(folder=folder, user=user, http=http, keepalive_s=keepalive_s))
    program = found("nginx")
    assert program
    pid = stage.start([program, "-c", config, "-p", folder, "-e", folder / "error.log"], cpu=cpu)
    stage.until(lambda: listens(port), "nginx")
    pin(pid, cpu)
    return Running(pid=pid, port=port)


def origin(stage: Stage, certificate: Path, key: Path, keepalive_s: int = 600) -> Running:
    """Files of 1 KiB (/1k) and 10 MiB (/10m), and /upload."""
    folder, port = stage.sub("origin"), free_port()
    (folder / "files").mkdir()
    (folder / "files" / "1k").write_bytes(bytes(KIB))
    (folder / "files" / "10m").write_bytes(os.urandom(MIB) * 10)
    http = _ORIGIN.format(folder=folder, port=port, certificate=certificate, key=key)
    return _start(stage, folder, port, http, CLIENT_CPU, keepalive_s)


def files(stage: Stage, name: str, body: bytes) -> Running:
    """One file over plain HTTP."""
    folder, port = stage.sub("files"), free_port()
    (folder / "files").mkdir()
    (folder / "files" / name).write_bytes(body)
    return _start(stage, folder, port, _FILES.format(folder=folder, port=port), SERVER_CPU)


def etag(server: Running, path: str) -> str:
    """What it says of one of its files."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}") as response:
        return str(response.headers["ETag"])
