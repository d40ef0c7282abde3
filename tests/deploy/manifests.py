"""What a Kustomize overlay of ours renders to.

Only what ours use is known: resources, namespace and image names. Anything else in a kustomization is refused, so that
this cannot silently render less than the real program; where that is installed, a test compares the two.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "namespace", "resources", "images"}
CLUSTER_WIDE = {"Namespace"}


def overlays() -> list[str]:
    """Return the folders that people apply."""
    return sorted(path.parent.name for path in FOLDER.glob("*/kustomization.yaml") if path.parent.name != "base")


def render(folder: Path) -> list[Manifest]:
    """Return the manifests of a folder."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert set(kustomization) <= KNOWN, set(kustomization) - KNOWN
    found: list[Manifest] = []
    for name in kustomization["resources"]:
        path = folder / name
        found += render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))
    images = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in kustomization.get("images", [])}
    for manifest in found:
        if manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = kustomization["namespace"]
        for container in containers(manifest):
            container["image"] = images.get(container["image"], container["image"])
    return found


def pod(manifest: Manifest) -> Manifest | None:
    """Return the template of the pods, if there is one."""
    spec = manifest.get("spec", {})
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template: Manifest | None = spec.get("template")
    return template


def containers(manifest: Manifest) -> list[Manifest]:
    """Return the containers of its pods."""
    template = pod(manifest)
    if template is None:
        return []
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]


def selectors(node: Any) -> Iterator[dict[str, str]]:
    """Yield every set of labels by which something else in the namespace is chosen."""
    if isinstance(node, dict):
        for key, below in node.items():
            if key in {"podSelector", "labelSelector", "selector"} and isinstance(below, dict):
                yield below.get("matchLabels", {} if set(below) <= {"matchLabels"} else below)
            yield from selectors(below)
    elif isinstance(node, list):
        for below in node:
            yield from selectors(below)
