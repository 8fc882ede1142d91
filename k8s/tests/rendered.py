"""What the tests read: rendered manifests, by combination."""

import functools
import os
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
K8S = ROOT / "k8s"
RENDERED = pathlib.Path(os.environ["K8S_RENDERED"])


@functools.cache
def manifests():
    """Name of a combination to its objects."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {
        file.stem: list(yaml.load_all(file.read_text(), loader))
        for file in sorted(RENDERED.glob("*.yaml"))
        if file.stem.startswith(("base", "postgres"))
    }


def overlays():
    """Every combination but the base, which is not complete."""
    return {name: objects for name, objects in manifests().items() if name != "base"}


def find(objects, kind, name):
    """The one object of a kind with a name; that of a config map may have its hash."""
    pattern = re.compile(re.escape(name) + ("(-[a-z0-9]{10})?" if kind == "ConfigMap" else ""))
    found = [it for it in objects if it["kind"] == kind and pattern.fullmatch(it["metadata"]["name"])]
    assert len(found) == 1, f"{len(found)} objects {kind} {name}"
    return found[0]


def pods(objects):
    """Name and template of everything that makes pods."""
    return {
        it["metadata"]["name"]: it["spec"]["template"]
        for it in objects
        if it["kind"] in ("Deployment", "Job")
    }


def quantity(text):
    """A quantity of Kubernetes, or a size of the service, as a number."""
    units = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "m": 0.001}
    for unit, factor in units.items():
        if str(text).endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)


def seconds(text):
    """A duration such as 280s."""
    assert text.endswith("s") and text[:-1].isdigit(), f"{text!r} is not a number of seconds"
    return int(text[:-1])
