"""Squid with ssl-bump: peeks, then bumps; a second port leaves CONNECT alone.  Names come from a hosts file."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from bench.peers import Running, found
from bench.peers import lacking as _lacking
from bench.processes import Stage, listens
from tests.kit import free_port

CERTGEN = Path("/usr/lib/squid/security_file_certgen")
_USERS = ("proxy", "squid", "nobody")  # of Debian's package, of others', of every system

_CONFIG = """
http_port 127.0.0.1:{port} ssl-bump cert={ca} generate-host-certificates=on dynamic_cert_mem_cache_size=64MB
http_port 127.0.0.1:{plain}
sslcrtd_program {certgen} -s {folder}/leaves -M 64MB
acl hello at_step SslBump1
ssl_bump peek hello
ssl_bump bump all
tls_outgoing_options cafile={trusted}
http_access allow all
cache deny all
hosts_file {hosts}
dns_nameservers 127.0.0.1
pinger_enable off
max_filedescriptors 20000
shutdown_lifetime 0 seconds
visible_hostname squid.bench.example
{user}
pid_filename {folder}/pid
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
coredump_dir {folder}
"""


def lacking() -> str | None:
    if missing := _lacking("squid", "squid-openssl"):
        return missing
    return None if CERTGEN.exists() else "this squid is built without ssl-bump (Debian: squid-openssl)"


def start(stage: Stage, ca: Path, trusted: Path, names: Iterable[str]) -> Running:
    """ca: certificate and key in one file.  names: every host that will be asked for, at 127.0.0.1."""
    folder, port, plain = stage.sub("squid"), free_port(), free_port()
    hosts = folder / "hosts"
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in names))
    own = folder / "ca.pem"
    shutil.copy(ca, own)
    made = subprocess.run([CERTGEN, "-c", "-s", folder / "leaves", "-M", "64MB"], capture_output=True, check=False)
    if made.returncode != 0:
        raise OSError(made.stderr.decode("utf-8", "replace"))
    user = _worker() if os.geteuid() == 0 else None
    if user:
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user)
    config = folder / "squid.conf"
    config.write_text(
        _CONFIG.format(
            port=port,
            plain=plain,
            ca=own,
            certgen=CERTGEN,
            folder=folder,
            trusted=trusted,
            hosts=hosts,
            user=f"cache_effective_user {user}" if user else "",
        )
    )
    program = found("squid")
    assert program
    # A name of its own: otherwise its shared memory is that of a squid which runs already.
    pid = stage.start([program, "-N", "-n", f"bench{os.getpid()}", "-f", config])
    stage.until(lambda: listens(port), "squid")
    return Running(pid=pid, port=port, ports={"tunnel": plain}, ca=ca)


def _worker() -> str:
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)
