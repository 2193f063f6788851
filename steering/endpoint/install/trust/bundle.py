"""A PEM bundle of the system's CAs and ours, for programs that are told of one file, and how each is told.

Never our CA alone: what is bypassed is still proved by the public CAs.  Machine-wide the system's own bundle holds
both, and follows its updates; for one user it is copied and ours appended, and verifying tells when it is outdated.
"""

from pathlib import Path

from steering.endpoint.install.actions import Edit, Step
from steering.endpoint.install.edits import Block, EditError, Whole
from steering.endpoint.install.machine import Machine
from steering.endpoint.install.trust.anchors import family_of

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",  # Alpine, macOS
)

# Variable -> who reads it.  The file replaces their own CAs, but for Node and Deno, which add to them.
BUNDLE_VARIABLES = {
    "SSL_CERT_FILE": "OpenSSL, Python's ssl, Go, Ruby",
    "REQUESTS_CA_BUNDLE": "Python's requests",
    "CURL_CA_BUNDLE": "curl",
    "PIP_CERT": "pip",
    "CONDA_SSL_VERIFY": "conda",
    "AWS_CA_BUNDLE": "AWS' command line and SDKs",
    "CARGO_HTTP_CAINFO": "cargo",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE": "gcloud",
    "NODE_EXTRA_CA_CERTS": "Node",
    "DENO_CERT": "Deno",
}
# Variable -> value and who is told by it to use the system's store.
STORE_VARIABLES = {
    "NODE_USE_SYSTEM_CA": ("1", "Node from 23.8 on"),
    "DENO_TLS_CA_STORE": ("system,mozilla", "Deno"),
    "UV_SYSTEM_CERTS": ("true", "uv"),
    "UV_NATIVE_TLS": ("true", "uv before it knew UV_SYSTEM_CERTS"),
}


def bundle_path(machine: Machine) -> Path | None:
    """The file that programs are told of; None on Windows, where there is no such file to merge with."""
    if machine.system == "windows":
        return None
    family = family_of(machine) if machine.everybody else None
    if family is not None:
        return machine.at(family.bundle)
    folder = machine.at("/etc/steering") if machine.everybody else machine.home / ".config/steering"
    return folder / "ca-bundle.pem"


def steps(machine: Machine, ca_pem: str) -> tuple[Step, ...]:
    """Raises EditError where the system has no bundle to merge with."""
    path = bundle_path(machine)
    if path is None:
        return ()
    actions = []
    if family_of(machine) is None or not machine.everybody:
        actions.append(Edit(path=str(path), change=Whole(content=merged(machine, ca_pem))))
    gitconfig = machine.at("/etc/gitconfig") if machine.everybody else machine.home / ".gitconfig"
    # After the last [http]: of several values git takes the last.
    actions.append(Edit(path=str(gitconfig), change=Block(lines=("[http]", f"\tsslCAInfo = {quoted(path)}"))))
    why = "programs with a CA list of their own (Python, Node, git, curl, cloud tools) trust the inspector's too"
    return (Step(name="CA bundle", why=why, actions=tuple(actions)),)


def variables(machine: Machine) -> dict[str, str]:
    """For ``environment``."""
    path = bundle_path(machine)
    told = {} if path is None else {name: str(path) for name in BUNDLE_VARIABLES}
    # A user's own CA is in no system store.
    return told | ({name: value for name, (value, _) in STORE_VARIABLES.items()} if machine.everybody else {})


def merged(machine: Machine, ca_pem: str) -> str:
    """Raises EditError."""
    found = next((path for name in SYSTEM_BUNDLES if (path := machine.at(name)).is_file()), None)
    if found is None:
        raise EditError("the system has no bundle of CAs to merge with: install the package ca-certificates")
    own = ca_pem.strip() + "\n"
    text = found.read_text("utf-8", errors="replace")
    return text if own in text else text.rstrip("\n") + "\n" + own


def quoted(path: Path) -> str:
    """As git's configuration wants it."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
