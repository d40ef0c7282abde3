"""The manifests fit the schemas of Kubernetes, each other, and the application."""

import json
import re
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.cli import app as commands
from service.settings import Settings
from tests.deploy import dockerfile
from tests.deploy.manifests import FOLDER, Manifest, containers, overlays, pod, render, selectors

VERSIONS = ["1.30", "1.34", "1.37"]
CUSTOM = {"ServiceMonitor"}
"""Kinds that an operator adds: Kubernetes has no schema for them."""
GIVEN = {("Secret", "lazaretto-settings"), ("Secret", "lazaretto-redteam"), ("ConfigMap", "lazaretto-redteam")}
"""What whoever runs it makes; docs/operations.md says how."""
KUBE_SYSTEM = {"k8s-app": "kube-dns"}
MINIMUM = (5, 0)
ROOM_BYTES = 2 * 1024**3
"""For the API process while a report is rendered beside it."""


def _all(overlay: str) -> list[Manifest]:
    """Return an overlay with what it needs of others: monitoring and red team are applied beside a variant."""
    beside = [] if overlay in {"embedded", "postgres"} else render(FOLDER / "postgres")
    return [*render(FOLDER / overlay), *beside]


def _of(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def _pods(manifests: list[Manifest]) -> list[Manifest]:
    return [template for manifest in manifests if (template := pod(manifest)) is not None]


def _chosen(labels: dict[str, str], manifests: list[Manifest]) -> list[Manifest]:
    return [one for one in _pods(manifests) if labels.items() <= one["metadata"]["labels"].items()]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", overlays())
def test_every_manifest_fits_its_schema(overlay: str, version: str) -> None:
    seen = 0
    for manifest in render(FOLDER / overlay):
        if manifest["kind"] not in CUSTOM:
            kubernetes_validate.validate(manifest, version, strict=True)
            seen += 1
    assert seen or overlay == "monitoring"


def test_the_schemas_find_a_mistake() -> None:
    (manifest,) = _of(render(FOLDER / "embedded"), "StatefulSet")
    manifest["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("overlay", overlays())
def test_kustomize_renders_the_same(overlay: str) -> None:
    try:
        told = subprocess.run(
            ["kubectl", "version", "--client", "--output=json"], capture_output=True, text=True, check=False
        )
        release = json.loads(told.stdout)["kustomizeVersion"]
    except (OSError, ValueError, KeyError):
        pytest.skip("kubectl is not here; the other tests render the same files by themselves")
    if tuple(map(int, re.findall(r"\d+", release)[:2])) < MINIMUM:
        pytest.skip(f"kubectl has an old Kustomize: {release}")
    result = subprocess.run(["kubectl", "kustomize", FOLDER / overlay], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""

    def key(manifest: Manifest) -> tuple[str, str]:
        return manifest["kind"], manifest["metadata"]["name"]

    assert sorted(yaml.safe_load_all(result.stdout), key=key) == sorted(render(FOLDER / overlay), key=key)


@pytest.mark.parametrize("overlay", overlays())
def test_every_selector_finds_pods(overlay: str) -> None:
    manifests = _all(overlay)
    manifests += render(FOLDER / "redteam") if overlay != "redteam" else []
    lost = []
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":
            wanted = manifest["spec"]["selector"]["matchLabels"]
            assert (
                len([one for one in _of(manifests, "Service") if wanted.items() <= one["metadata"]["labels"].items()])
                == 1
            )
            continue
        lost += [one for one in selectors(manifest) if one != KUBE_SYSTEM and not _chosen(one, manifests)]
    assert lost == []


@pytest.mark.parametrize("overlay", ["embedded", "postgres", "redteam"])
def test_workloads_choose_their_own_pods_and_nobody_elses(overlay: str) -> None:
    manifests = render(FOLDER / overlay)
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "StatefulSet"}:
            assert _chosen(manifest["spec"]["selector"]["matchLabels"], manifests) == [pod(manifest)]


@pytest.mark.parametrize("overlay", overlays())
def test_ports_are_named_exist_and_are_what_the_image_listens_on(overlay: str) -> None:
    manifests = _all(overlay)
    (exposed,) = dockerfile.values(dockerfile.shipped(), "EXPOSE")
    for service in _of(manifests, "Service"):
        for port in service["spec"]["ports"]:
            for template in _chosen(service["spec"]["selector"], manifests):
                named = {
                    one["name"]: one["containerPort"] for box in template["spec"]["containers"] for one in box["ports"]
                }
                assert named[port["targetPort"]] == int(exposed) == port["port"]
    for monitor in _of(manifests, "ServiceMonitor"):
        names = {port["name"] for service in _of(manifests, "Service") for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= names


@pytest.mark.parametrize("overlay", overlays())
def test_probes_ask_what_the_application_answers(overlay: str) -> None:
    paths = set(_answered())
    for manifest in render(FOLDER / overlay):
        if manifest["kind"] not in {"Deployment", "StatefulSet"}:
            continue
        for box in containers(manifest):
            named = {port["name"] for port in box.get("ports", [])}
            probes = {name: box[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in box}
            http = {name: probe["httpGet"] for name, probe in probes.items() if "httpGet" in probe}
            assert {get["path"] for get in http.values()} <= paths
            assert {get["port"] for get in http.values()} <= named
            if box["args"] == ["worker"]:
                told = {name: probe["exec"]["command"] for name, probe in probes.items()}
                assert told == {name: ["lazaretto", "health", "--worker"] for name in ("startupProbe", "livenessProbe")}
            else:
                # A store that is away must not restart the API: alive is asked for the one, ready for the other.
                wanted = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
                assert {name: get["path"] for name, get in http.items()} == wanted
    for monitor in _of(render(FOLDER / overlay), "ServiceMonitor"):
        assert {endpoint["path"] for endpoint in monitor["spec"]["endpoints"]} <= paths


def _answered() -> list[str]:
    from service.api.routes.system import router

    return [route.path for route in router.routes if hasattr(route, "path")]


@pytest.mark.parametrize("overlay", overlays())
def test_what_pods_read_is_there_or_is_told_to_be_made(overlay: str) -> None:
    manifests = _all(overlay)
    there = {(one["kind"], one["metadata"]["name"]) for one in manifests}
    page = (dockerfile.ROOT / "docs" / "operations.md").read_text() + (FOLDER / "redteam" / "cronjob.yaml").read_text()
    for kind, name in _read_by(manifests) - there:
        assert (kind, name) in GIVEN
        assert name in page
    for template in _pods(manifests):
        spec = template["spec"]
        claimed = [
            one["metadata"]["name"] for m in manifests for one in m.get("spec", {}).get("volumeClaimTemplates", [])
        ]
        volumes = {volume["name"] for volume in spec.get("volumes", [])} | set(claimed)
        assert {mount["name"] for box in spec["containers"] for mount in box["volumeMounts"]} <= volumes
        assert ("ServiceAccount", spec["serviceAccountName"]) in there


def _read_by(node: Any) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    if isinstance(node, dict):
        for key, below in node.items():
            if key in {"configMapRef", "configMapKeyRef", "configMap"}:
                found.add(("ConfigMap", below["name"]))
            elif key in {"secretRef", "secretKeyRef"}:
                found.add(("Secret", below["name"]))
            elif key == "secret":
                found.add(("Secret", below["secretName"]))
            found |= _read_by(below)
    elif isinstance(node, list):
        found = {pair for below in node for pair in _read_by(below)}
    return found


@pytest.mark.parametrize("overlay", overlays())
def test_every_variable_is_a_setting_and_has_a_value_that_is_allowed(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {"LAZARETTO_CONFIG", "LAZARETTO_URL", "LAZARETTO_API_KEY"}
    known = {f"LAZARETTO_{name.upper()}" for name in Settings.model_fields}
    for manifest in render(FOLDER / overlay):
        named = set(re.findall(r"\bLAZARETTO_\w+", json.dumps(manifest)))
        assert named - known - elsewhere == set()
        if manifest["kind"] == "ConfigMap":
            for name, value in manifest["data"].items():
                if name not in elsewhere:
                    monkeypatch.setenv(name, value)
            settings = Settings()
            assert settings.shutdown_seconds < 60 - 5


@pytest.mark.parametrize("overlay", overlays())
def test_what_is_run_is_a_command_of_the_image(overlay: str) -> None:
    names = {command.name for command in commands.registered_commands} | {
        group.name for group in commands.registered_groups
    }
    for manifest in render(FOLDER / overlay):
        for box in containers(manifest):
            words = box["args"] if "args" in box else box["command"][1:]
            assert words[0] in names


@pytest.mark.parametrize("overlay", ["embedded", "postgres", "redteam"])
def test_no_pod_may_do_more_than_it_needs(overlay: str) -> None:
    for template in _pods(render(FOLDER / overlay)):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        together = spec["securityContext"]
        assert (together["runAsNonRoot"], together["runAsUser"], together["fsGroup"]) == (True, 10001, 10001)
        assert together["seccompProfile"] == {"type": "RuntimeDefault"}
        for box in spec["containers"]:
            assert box["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert set(box["resources"]["requests"]) == {"cpu", "memory"}
            assert "memory" in box["resources"]["limits"]
        for volume in spec.get("volumes", []):
            assert "hostPath" not in volume
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": ""})


@pytest.mark.parametrize("overlay", ["embedded", "postgres"])
def test_nothing_is_reached_but_what_is_named(overlay: str) -> None:
    policies = _of(render(FOLDER / overlay), "NetworkPolicy")
    denying = [
        one["spec"]
        for one in policies
        if one["spec"]["podSelector"] == {} and set(one["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    ]
    assert [("ingress" in one, "egress" in one) for one in denying] == [(False, False)]
    rules = [rule for one in policies for way in ("ingress", "egress") for rule in one["spec"].get(way, [])]
    assert rules
    assert [rule for rule in rules if not rule.get("ports") or not (rule.get("from") or rule.get("to"))] == []
    open_to = [peer["ipBlock"] for rule in rules for peer in rule.get("to", []) if "ipBlock" in peer]
    assert [block for block in open_to if "169.254.0.0/16" not in block["except"]] == []


@pytest.mark.parametrize("overlay", ["embedded", "postgres"])
def test_what_renders_reports_fits_beside_the_service(overlay: str) -> None:
    variables = dockerfile.environment(" ".join(dockerfile.values(dockerfile.shipped(), "ENV")), {"PATH": ""})
    renders = int(variables["LAZARETTO_REPORTS_MEMORY_BYTES_MAX"])
    for template in _pods(render(FOLDER / overlay)):
        for box in template["spec"]["containers"]:
            if box["args"][0] != "worker":
                limit = int(box["resources"]["limits"]["memory"].removesuffix("Gi")) * 1024**3
                assert limit - renders >= ROOM_BYTES, "the kernel would end the service for a report's sake"


def test_a_budget_leaves_pods_to_evict_and_pods_to_serve() -> None:
    manifests = render(FOLDER / "postgres")
    replicas = {json.dumps(one["spec"]["selector"]): one["spec"]["replicas"] for one in _of(manifests, "Deployment")}
    budgets = {
        json.dumps(one["spec"]["selector"]): one["spec"]["minAvailable"]
        for one in _of(manifests, "PodDisruptionBudget")
    }
    assert set(budgets) == set(replicas)
    assert [key for key, least in budgets.items() if not 1 <= least < replicas[key]] == []


def test_embedded_is_one_pod_with_a_volume_of_its_own() -> None:
    manifests = render(FOLDER / "embedded")
    (workload,) = _of(manifests, "StatefulSet")
    assert workload["spec"]["replicas"] == 1
    (claim,) = workload["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert (
        int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 1024**3 > Settings().log_bytes_max
    )
    assert _of(manifests, "PodDisruptionBudget") == []
