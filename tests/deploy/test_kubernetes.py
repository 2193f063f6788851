"""The manifests: taken by the schemas of Kubernetes itself, as strict as can be, and about what is really served."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from typer.main import get_command

from steering.cli.commands import app
from steering.control.binding import fixed
from steering.control.config import Loaded, load_config, parse_listen
from steering.control.joining import follow_plan
from steering.control.listening import Role
from steering.control.openapi import OPENAPI
from tests.kit import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.36", "1.37")
WORKLOADS = ("control", "inspector", "dns")
RUNS_AS = 10001  # the user of the Containerfile


@cache
def files() -> dict[str, list[dict[str, Any]]]:
    return {
        path.name: [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]
        for path in sorted(FOLDER.glob("*.yaml"))
    }


def resources() -> list[dict[str, Any]]:
    return [document for name, found in files().items() if name != "kustomization.yaml" for document in found]


def all_of(kind: str) -> dict[str, dict[str, Any]]:
    return {document["metadata"]["name"]: document for document in resources() if document["kind"] == kind}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A Deployment or StatefulSet: its pod, its one container, and the configuration that the service in it has."""

    name: str
    pod: dict[str, Any]
    labels: dict[str, str]
    container: dict[str, Any]
    claims: list[dict[str, Any]]

    @property
    def parts(self) -> tuple[str, ...]:
        words = self.container["args"]
        return tuple(words[i + 1] for i, word in enumerate(words) if word == "--only")

    @property
    def environment(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for source in self.container["envFrom"]:
            found |= all_of("ConfigMap")[source["configMapRef"]["name"]]["data"]
        return found | {row["name"]: row["value"] for row in self.container["env"]}

    @property
    def loaded(self) -> Loaded:
        """With the image's own file below it."""
        return load_config(ROOT / "deploy" / "container" / "steering.toml", self.environment)

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        return {row["name"]: (row.get("protocol", "TCP"), row["containerPort"]) for row in self.container["ports"]}

    @property
    def mounts(self) -> dict[str, str]:
        """Volume -> where."""
        return {row["name"]: row["mountPath"] for row in self.container["volumeMounts"]}


def workload(name: str) -> Workload:
    found = (all_of("Deployment") | all_of("StatefulSet"))[name]
    template = found["spec"]["template"]
    (container,) = template["spec"]["containers"]
    return Workload(
        name=name,
        pod=template["spec"],
        labels=template["metadata"]["labels"],
        container=container,
        claims=found["spec"].get("volumeClaimTemplates", []),
    )


# Taken by Kubernetes


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_resource(version: str) -> None:
    for document in resources():
        kubernetes_validate.validate(document, version, strict=True)
    broken = all_of("Deployment")["dns"] | {"spec": all_of("Deployment")["dns"]["spec"] | {"replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, version, strict=True)


def test_what_is_applied_is_what_is_there() -> None:
    (top,) = files()["kustomization.yaml"]
    assert sorted(top["resources"]) == sorted(name for name in files() if name != "kustomization.yaml")
    assert top["namespace"] in all_of("Namespace")
    assert [image["name"] for image in top["images"]] == ["steering"]
    assert {(document["kind"], document["metadata"]["name"]) for document in resources()} == {
        ("Namespace", "steering"),
        ("ConfigMap", "addresses"),
        ("StatefulSet", "control"),
        ("Deployment", "inspector"),
        ("Deployment", "dns"),
        *(("Service", name) for name in ("control", "pac", "inspector", "dns")),
        *(("PodDisruptionBudget", name) for name in ("inspector", "dns")),
        *(("HorizontalPodAutoscaler", name) for name in ("inspector", "dns")),
        *(("NetworkPolicy", n) for n in ("nothing-else", "names", "control", "followers", "inspector", "dns")),
    }


# The strictest Pod Security Standard


@pytest.mark.parametrize("name", WORKLOADS)
def test_pods_are_restricted(name: str) -> None:
    at = workload(name)
    pod, container = at.pod["securityContext"], at.container["securityContext"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], pod["fsGroup"]) == (True, RUNS_AS, RUNS_AS)
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (at.pod["automountServiceAccountToken"], at.pod["enableServiceLinks"]) == (False, False)
    assert {"hostNetwork", "hostPID", "hostIPC"} & at.pod.keys() == set()
    assert {next(iter(volume.keys() - {"name"})) for volume in at.pod["volumes"]} <= {"emptyDir", "secret"}
    assert set(at.container["resources"]) == {"requests", "limits"}
    label = all_of("Namespace")["steering"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    assert label == "restricted"


def test_the_image_is_made_for_that_user() -> None:
    assert f"USER {RUNS_AS}:{RUNS_AS}\n" in (ROOT / "Containerfile").read_text("utf-8")


# What is really served

ROLES = {
    "control": {Role.CONTROL},
    "followers": {Role.ENDPOINT_CONTROL},
    "proxy": {Role.EXPLICIT},
    "tls": {Role.TLS},
    "http": {Role.HTTP},
    "dns-udp": {Role.DNS_UDP},
    "dns-tcp": {Role.DNS_TCP},
}


@pytest.mark.parametrize("name", WORKLOADS)
def test_ports_are_those_that_the_service_listens_on(name: str) -> None:
    at = workload(name)
    served = fixed(at.loaded.config, at.parts)
    assert {host for host, _ in served.values()} == {"0.0.0.0"}
    expected = {
        port: ("UDP" if role is Role.DNS_UDP else "TCP", served[role][1])
        for port, roles in ROLES.items()
        for role in roles & served.keys()
    }
    assert at.ports == expected
    assert len(expected) == len(served), "and each of them"


@pytest.mark.parametrize("name", WORKLOADS)
def test_probes_ask_for_what_is_answered(name: str) -> None:
    at = workload(name)
    paths = OPENAPI["paths"]
    assert isinstance(paths, dict)
    probes = {kind: at.container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {kind: probe["path"] for kind, probe in probes.items()} == {
        "startup": "/healthz",
        "liveness": "/healthz",
        "readiness": "/readyz",
    }
    assert {probe["path"] for probe in probes.values()} <= set(paths)
    assert {at.ports[probe["port"]][1] for probe in probes.values()} == {
        parse_listen(at.loaded.config.control.listen)[1]
    }


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_command_line_is_one(name: str) -> None:
    words = workload(name).container["args"]
    command = get_command(app).commands[words[0]]  # type: ignore[attr-defined]
    given = command.make_context("serve", list(words[1:])).params
    assert (tuple(given["only"]), given["log_format"]) == (workload(name).parts, "json")


@pytest.mark.parametrize("name", WORKLOADS)
def test_state_and_secrets_are_where_the_service_looks(name: str) -> None:
    at = workload(name)
    mounts = at.mounts
    volumes = {volume["name"]: volume for volume in (*at.pod["volumes"], *(c["metadata"] for c in at.claims))}
    assert mounts.keys() == volumes.keys()
    assert mounts["state"] == str(at.loaded.state)
    if name == "control":
        assert [claim["metadata"]["name"] for claim in at.claims] == ["state"], "what is kept is kept"
        return
    follow = at.loaded.config.follow
    token = PurePosixPath(follow.token_file)
    assert (str(token.parent), token.name) == (mounts["join"], "token")
    assert mounts.get("ca", "") == follow.ca
    assert {v["secret"]["secretName"] for v in volumes.values() if "secret" in v} == mounts.keys() - {"state", "tmp"}
    # Read by the group, which fsGroup makes ours; by everybody, it would be refused.
    assert {v["secret"]["defaultMode"] for v in volumes.values() if "secret" in v} == {0o440}


@pytest.mark.parametrize("name", ["inspector", "dns"])
def test_followers_follow_control(name: str) -> None:
    at, control = workload(name), workload("control")
    plan = follow_plan(at.loaded, at.parts)
    assert plan is not None
    assert plan.url == control.loaded.config.control.endpoint_url
    host, _, port = plan.url.removeprefix("https://").partition(":")
    (row,) = (row for row in all_of("Service")[host]["spec"]["ports"] if row["port"] == int(port))
    assert control.ports[row["targetPort"]][1] == fixed(control.loaded.config)[Role.ENDPOINT_CONTROL][1]
    assert at.parts == (name, "control"), "the second answers probes"


# Service -> the ports that clients know, and where they lead
SERVICES: Mapping[str, tuple[str, dict[tuple[str, int], str]]] = {
    "control": ("control", {("TCP", 8080): "control", ("TCP", 8444): "followers"}),
    "pac": ("control", {("TCP", 80): "control"}),
    "inspector": ("inspector", {("TCP", 3128): "proxy", ("TCP", 443): "tls", ("TCP", 80): "http"}),
    "dns": ("dns", {("UDP", 53): "dns-udp", ("TCP", 53): "dns-tcp"}),
}


@pytest.mark.parametrize("name", SERVICES)
def test_services_lead_to_ports_that_are_there(name: str) -> None:
    leads_to, ports = SERVICES[name]
    spec, at = all_of("Service")[name]["spec"], workload(leads_to)
    assert spec["selector"].items() <= at.labels.items()
    assert {(row.get("protocol", "TCP"), row["port"]): row["targetPort"] for row in spec["ports"]} == ports
    assert {target: at.ports[target][0] for target in ports.values()} == {t: p for (p, _), t in ports.items()}
    if name != "control":
        assert (spec["type"], spec["externalTrafficPolicy"]) == ("LoadBalancer", "Local")


@pytest.mark.parametrize("name", ["inspector", "dns"])
def test_followers_scale_and_are_not_all_drained_at_once(name: str) -> None:
    budget, scaler = all_of("PodDisruptionBudget")[name]["spec"], all_of("HorizontalPodAutoscaler")[name]["spec"]
    deployment = all_of("Deployment")[name]["spec"]
    labels = workload(name).labels.items()
    for selector in (budget["selector"], deployment["selector"]):
        assert selector["matchLabels"].items() <= labels
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    assert scaler["minReplicas"] >= 2
    assert "replicas" not in deployment, "the scaler's own number would be reset by every apply"
    assert "cpu" in workload(name).container["resources"]["requests"], "what the scaler counts in"
    grace = workload(name).pod["terminationGracePeriodSeconds"]
    assert grace >= 5 + 10 + 5, "the pause, the drain and something to spare"


def test_network_policies_open_what_is_served() -> None:
    found = all_of("NetworkPolicy")
    assert found["nothing-else"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    for name in WORKLOADS:
        spec = found[name]["spec"]
        assert spec["podSelector"]["matchLabels"].items() <= workload(name).labels.items()
        opened = {(port["protocol"], port["port"]) for rule in spec["ingress"] for port in rule["ports"]}
        served = set(workload(name).ports.values())
        assert opened == (served if name == "control" else served - {("TCP", 8080)}), "probes come from the node"
    (rule,) = (rule for rule in found["control"]["spec"]["ingress"] if "from" in rule)
    for name in ("inspector", "dns"):
        assert rule["from"][0]["podSelector"]["matchLabels"].items() <= workload(name).labels.items()
        assert name in found["followers"]["spec"]["podSelector"]["matchExpressions"][0]["values"]
