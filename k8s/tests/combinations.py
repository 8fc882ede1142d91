"""Renders base, overlay and every combination of components that makes sense.

    combinations.py OUTPUT_DIR

Out: a file for each, and files for the tools that take nothing else: builtin.yaml (every distinct object
of Kubernetes itself), rules.yaml (the alerts as Prometheus reads them). Fails where a combination
does not render. Combinations are copies of the overlay with a list of components, which is what
README.md tells people to make.
"""

import itertools
import pathlib
import shutil
import subprocess
import sys

import yaml

K8S = pathlib.Path(__file__).resolve().parent.parent
# At most one of them.
MESHES = (None, "istio", "linkerd")
# Each with every other.
OPTIONS = ("prometheus-operator", "hpa", "pgbouncer")
# What kubernetes-validate has no schemas for; custom_resources_test.py has.
CUSTOM_GROUPS = (
    "networking.istio.io",
    "security.istio.io",
    "policy.linkerd.io",
    "monitoring.coreos.com",
)


def combinations():
    """Lists of components, the empty one first."""
    for mesh in MESHES:
        for count in range(len(OPTIONS) + 1):
            for options in itertools.combinations(OPTIONS, count):
                yield [part for part in (mesh, *options) if part]


def is_custom(document):
    """Whether the object's kind is not Kubernetes' own."""
    group = document["apiVersion"].rpartition("/")[0]
    return group in CUSTOM_GROUPS


def kustomize(directory):
    """What `kubectl apply -k` would send."""
    kubectl = pathlib.Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", directory], capture_output=True, text=True)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{directory}: {done.stderr or 'kubectl kustomize failed'}")
    return done.stdout


def main(output):
    """Renders all of it."""
    tree = output / "tree"
    shutil.copytree(K8S, tree)
    # A component that nobody renders would be checked by nobody.
    assert {path.name for path in (tree / "components").iterdir()} == {*MESHES[1:], *OPTIONS}
    rendered = {"base": kustomize(tree / "base")}
    for components in combinations():
        name = "+".join(["postgres", *components])
        overlay = tree / "overlays" / name
        if components:
            shutil.copytree(tree / "overlays" / "postgres", overlay)
            file = overlay / "kustomization.yaml"
            kustomization = yaml.safe_load(file.read_text())
            kustomization["components"] = [f"../../components/{part}" for part in components]
            file.write_text(yaml.safe_dump(kustomization))
        rendered[name] = kustomize(overlay)
    distinct = {}
    for name, text in rendered.items():
        (output / f"{name}.yaml").write_text(text)
        for document in yaml.safe_load_all(text):
            if is_custom(document):
                if document["kind"] == "PrometheusRule":
                    (output / "rules.yaml").write_text(yaml.safe_dump(document["spec"]))
            else:
                distinct.setdefault(yaml.safe_dump(document), None)
    (output / "builtin.yaml").write_text("---\n".join(distinct))
    print(f"{len(rendered)} combinations render, {len(distinct)} distinct objects of Kubernetes' own")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
