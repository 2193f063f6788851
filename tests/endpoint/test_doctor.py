"""Looking for real: a TLS server that wants the device's certificate, a machine in a folder, no helper anywhere."""

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from steering.endpoint import device, doctor
from steering.endpoint.device import Credential
from steering.endpoint.findings import State
from steering.endpoint.identify import selftest
from steering.endpoint.identify.identity import Identity
from steering.endpoint.install.plan import Wanted, plan
from steering.endpoint.lock import holder
from steering.endpoint.settings import EndpointSettings
from steering.policy.facts import System
from tests.endpoint.install.ground import Authority, Ground, ground, make_authority
from tests.kit import free_port


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(404 if self.path != "/bundle/metadata/timestamp.json" else 200)
        self.end_headers()

    def do_OPTIONS(self) -> None:
        self.send_response(200 if (self.path, self.headers["Host"]) == ("*", "steering") else 400)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    port: int
    authority: Authority


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Whoever shows no certificate of its CA is not let in."""
    authority, folder = make_authority(), tmp_path_factory.mktemp("service")
    (folder / "leaf.pem").write_bytes(authority.leaf)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    context.load_verify_locations(cadata=authority.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    server = _Server(("127.0.0.1", 0), _Answers)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield Service(port=int(server.server_address[1]), authority=authority)
    server.shutdown()
    thread.join()
    server.server_close()


def enrol(folder: Path, port: int, authority: Authority) -> Credential:
    credential = Credential(
        device_id="ab" * 16,
        group="",
        key=_client_key(authority),
        certificate=x509.load_pem_x509_certificate(authority.client),
        authority_pem=authority.pem.encode(),
        service_url=f"https://localhost:{port}",
    )
    device.save(folder, credential)
    return credential


def _client_key(authority: Authority) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(authority.client, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def test_service_and_inspector_are_asked_with_the_certificate(tmp_path: Path, service: Service) -> None:
    credential = enrol(tmp_path, service.port, service.authority)
    answer = doctor.ask_service(tmp_path, credential)
    assert (answer.peer, answer.status, answer.problem) == (f"localhost:{service.port}", 200, "")
    assert answer.date is not None
    assert doctor.ask_inspector(tmp_path, f"localhost:{service.port}").status == 200


def test_a_service_under_another_ca_is_not_believed(tmp_path: Path, service: Service) -> None:
    credential = enrol(tmp_path, service.port, make_authority())
    assert "CERTIFICATE_VERIFY_FAILED" in doctor.ask_service(tmp_path, credential).problem


def test_nobody_there(tmp_path: Path, service: Service) -> None:
    credential = enrol(tmp_path, free_port(), service.authority)
    assert "refused" in doctor.ask_service(tmp_path, credential).problem
    assert doctor.ask_inspector(tmp_path, "no colon").problem


def test_whether_somebody_listens(service: Service) -> None:
    assert doctor.is_listening(f"127.0.0.1:{service.port}") == ""
    port = free_port()
    assert doctor.is_listening(f"127.0.0.1:{port}").startswith(f"it does not run: nobody listens on 127.0.0.1:{port}")


@pytest.mark.needs("linux", "root")
def test_capabilities_of_root() -> None:
    found = doctor.effective_capabilities()
    assert found is not None
    assert found >> 12 & 1


@pytest.mark.needs("linux", "root", "setpriv")
def test_capabilities_are_those_of_the_helper_that_runs(tmp_path: Path) -> None:
    hold = "import fcntl, os, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True); input()"
    lock = tmp_path / "lock"
    assert holder(tmp_path) is None
    lock.touch()
    assert holder(tmp_path) is None
    command = ("setpriv", "--bounding-set", "-all,+bpf", "--inh-caps", "-all,+bpf", sys.executable, "-c", hold, lock)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        assert holder(tmp_path) == process.pid
        found = doctor.examine(tmp_path, OFF, bundle=None)
        (lacking,) = [finding.text for finding in found if finding.subject == "identification"]
        process.stdin.close()
    assert lacking.startswith(f"process {process.pid}, the helper, has not CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_")
    assert holder(tmp_path) is None


@pytest.fixture
def here(tmp_path: Path) -> Ground:
    here = ground(tmp_path / "root", everybody=False, has=("kwriteconfig5",))
    here.file("/etc/ssl/cert.pem", "public\n")
    return here


def wanted(service: Service) -> Wanted:
    return Wanted(ca_pem=service.authority.pem, listen="127.0.0.1:3129", service=False)


OFF = EndpointSettings(listen="127.0.0.1:1")


def test_drift_of_an_installation(here: Ground, service: Service) -> None:
    def drift() -> dict[str, str]:
        return doctor.drift(here.machine.state, OFF, tested=TESTED, machine=here.machine, wanted=wanted(service))

    rest = {"self_test": "ok", "capture": "off"}
    assert drift() == rest | {"proxy_setting": "not installed", "ca_present": "not installed"}
    assert here.install(plan(here.machine, wanted(service))) == []
    assert drift() == rest | {"proxy_setting": "ok", "ca_present": "ok"}
    kde, ca = here.machine.home / ".config/kioslaverc", here.machine.home / ".config/steering/inspection-ca.pem"
    kde.write_text("[Proxy Settings]\nProxyType=0\n")
    ca.unlink()
    assert drift() == rest | {
        "proxy_setting": f"{kde} is not as it was set",
        "ca_present": f"{ca} is not as it was set",
    }


TESTED = (selftest.Tested("IPv4", Identity(system=System.LINUX), ""),)


def test_drift_without_an_installation(tmp_path: Path) -> None:
    settings = EndpointSettings(capture=True)
    tested = (*TESTED, selftest.Tested("IPv6", Identity(system=System.LINUX), "a deadline"))
    assert doctor.drift(tmp_path, settings, tested=tested) == {
        "self_test": "IPv6: a deadline",
        "capture": "capture was never put in force",
        "proxy_setting": "not installed",
        "ca_present": "not installed",
    }
    assert doctor.drift(tmp_path, OFF)["self_test"] == "not run"


def test_examine_a_bare_machine(here: Ground, service: Service) -> None:
    found = doctor.examine(here.machine.state, OFF, bundle=None, machine=here.machine, wanted=wanted(service))
    bad = {finding.subject for finding in found if finding.state is State.PROBLEM}
    assert bad == {"enrolment", "policy", "helper"}


def test_examine_an_installation(here: Ground, service: Service) -> None:
    enrol(here.machine.state, service.port, service.authority)
    here.install(plan(here.machine, wanted(service)))
    (here.machine.home / ".profile").unlink()
    settings = EndpointSettings(listen=f"127.0.0.1:{service.port}")
    found = doctor.examine(here.machine.state, settings, bundle=None, machine=here.machine, wanted=wanted(service))
    states = {finding.subject: finding.state for finding in found}
    for subject in ("enrolment", "device certificate", "control service", "clock"):
        assert states[subject] is State.OK
    assert states["environment"] is State.PROBLEM
    assert "helper" not in states
