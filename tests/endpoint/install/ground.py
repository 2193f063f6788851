"""What tests of an installation stand on: a CA and a server under it, a machine in a folder, and how to undo it all."""

import datetime
import os
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steering.endpoint.install.actions import Argv, Step
from steering.endpoint.install.carry import Carrier, Ended, install, run_program, uninstall
from steering.endpoint.install.journal import Journal
from steering.endpoint.install.machine import Machine

PEM = serialization.Encoding.PEM
Snapshot = dict[str, tuple[int, bytes | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """A CA, and below it a server's leaf and a client's, each with its key, as PEM."""

    pem: str
    leaf: bytes
    client: bytes


def make_authority() -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test inspection CA")])
    now = datetime.datetime.now(datetime.UTC)

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )

    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    ca = (
        certificate(name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(**(usage | {"key_cert_sign": True, "crl_sign": True})), critical=True)
        .sign(key, hashes.SHA256())
    )

    def leaf(purpose: x509.ObjectIdentifier) -> bytes:
        own = ec.generate_private_key(ec.SECP256R1())
        made = (
            certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), own.public_key())
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .sign(key, hashes.SHA256())
        )
        secret = own.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return made.public_bytes(PEM) + secret

    return Authority(
        pem=ca.public_bytes(PEM).decode(),
        leaf=leaf(ExtendedKeyUsageOID.SERVER_AUTH),
        client=leaf(ExtendedKeyUsageOID.CLIENT_AUTH),
    )


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        # git takes this for an empty repository spoken the old way.
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # who does not trust us hangs up


@contextmanager
def serving(authority: Authority, folder: Path) -> Iterator[int]:
    """The port of a TLS server for "localhost"."""
    (folder / "leaf.pem").write_bytes(authority.leaf)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    server = _Server(("127.0.0.1", 0), _Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(slots=True, kw_only=True)
class Ground:
    """A machine in a folder.  told: what the last installation said."""

    machine: Machine
    run: Callable[[Argv], Ended] = run_program
    told: list[str] = field(default_factory=list)

    @property
    def carrier(self) -> Carrier:
        """Anew each time, as another process would."""
        return Carrier(journal=Journal(self.machine.journal), run=self.run)

    def install(self, steps: Sequence[Step], *, dry_run: bool = False) -> list[str]:
        """The problems."""
        self.told.clear()
        outcomes = install(steps, self.carrier, self.told.append, dry_run=dry_run)
        return [f"{outcome.step}: {outcome.problem}" for outcome in outcomes if outcome.problem]

    def uninstall(self) -> list[str]:
        self.told.clear()
        outcomes = uninstall(self.carrier, self.told.append)
        return [f"{outcome.step}: {outcome.problem}" for outcome in outcomes if outcome.problem]

    def file(self, path: str, content: str, mode: int = 0o644) -> Path:
        """A file of this machine's."""
        there = self.machine.at(path)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_text(content)
        there.chmod(mode)
        return there

    def snapshot(self) -> Snapshot:
        return snapshot(self.machine.root)


def ground(
    root: Path,
    *,
    everybody: bool = True,
    system: Literal["linux", "macos", "windows"] = "linux",
    has: Sequence[str] = (),
    run: Callable[[Argv], Ended] = run_program,
) -> Ground:
    home = root / "home/alice"
    home.mkdir(parents=True)
    (root / "var/lib").mkdir(parents=True)
    machine = Machine(
        system=system,
        everybody=everybody,
        root=root,
        home=home,
        user="alice",
        state=root / "state",
        command=("/usr/bin/python3", "-m", "steering", "endpoint", "run"),
        homes=(("root", home),),
        has=lambda program: program in has,
    )
    return Ground(machine=machine, run=run)


def snapshot(root: Path) -> Snapshot:
    """Every file and folder below, but for databases' locks."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() and not path.is_symlink() else None,
        )
        for path in sorted(root.rglob("*"))
    }


def bare_environment(home: Path, **more: str) -> dict[str, str]:
    """Without what this process was told of proxies and CAs."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"} | more


def succeeds(argv: Sequence[str | Path], environment: Mapping[str, str]) -> bool:
    return subprocess.run(argv, env=environment, capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
