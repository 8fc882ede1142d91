"""What holds of every pod and object, and between objects."""

import json
import unittest

import jsonschema
from combinations import is_custom
from rendered import K8S, find, manifests, overlays, pods


class Pods(unittest.TestCase):
    """Pod security standard "restricted", and what is beyond it."""

    def test_every_pod_is_restricted(self):
        for name, objects in manifests().items():
            for pod, template in pods(objects).items():
                with self.subTest(f"{name}: {pod}"):
                    spec = template["spec"]
                    self.assertFalse(spec["automountServiceAccountToken"])
                    self.assertFalse(spec["enableServiceLinks"])
                    security = spec["securityContext"]
                    self.assertTrue(security["runAsNonRoot"])
                    self.assertEqual((security["runAsUser"], security["runAsGroup"]), (65532, 65532))
                    self.assertEqual(security["seccompProfile"], {"type": "RuntimeDefault"})
                    for it in spec["containers"]:
                        self.check_container(it)
                    kinds = {key for it in spec["volumes"] for key in it if key != "name"}
                    self.assertLessEqual(kinds, {"configMap", "secret", "emptyDir"})

    def check_container(self, container):
        security = container["securityContext"]
        self.assertFalse(security["allowPrivilegeEscalation"])
        self.assertTrue(security["readOnlyRootFilesystem"])
        self.assertEqual(security["capabilities"], {"drop": ["ALL"]})
        self.assertNotIn("hostPort", json.dumps(container))

    def test_secrets_come_as_files(self):
        for name, objects in manifests().items():
            with self.subTest(name):
                self.assertNotIn("Secret", {it["kind"] for it in objects})
                self.assertNotIn("secretKeyRef", json.dumps(objects))
                self.assertNotIn("secretRef", json.dumps(objects))


class References(unittest.TestCase):
    """Names that must be there."""

    def test_config_maps_are_made_and_secrets_explained(self):
        readme = (K8S / "README.md").read_text()
        for name, objects in overlays().items():
            made = {it["metadata"]["name"] for it in objects if it["kind"] == "ConfigMap"}
            for pod, template in pods(objects).items():
                for volume in template["spec"]["volumes"]:
                    with self.subTest(f"{name}: {pod}: {volume['name']}"):
                        if "configMap" in volume:
                            self.assertIn(volume["configMap"]["name"], made)
                        if "secret" in volume:
                            self.assertIn(f"`{volume['secret']['secretName']}`", readme)

    def test_files_that_variables_name_are_mounted(self):
        for name, objects in overlays().items():
            container = pods(objects)["rowlift"]["spec"]["containers"][0]
            mounts = [it["mountPath"] for it in container["volumeMounts"]]
            for variable, value in find(objects, "ConfigMap", "rowlift-env")["data"].items():
                if value.startswith("/"):
                    with self.subTest(f"{name}: {variable}"):
                        self.assertTrue(any(f"{value}/".startswith(f"{it}/") for it in mounts), value)

    def test_selectors_find_pods_of_one_kind(self):
        for name, objects in overlays().items():
            labels = {pod: it["metadata"]["labels"] for pod, it in pods(objects).items()}
            for it in objects:
                if it["kind"] not in ("Service", "PodDisruptionBudget", "PodMonitor"):
                    continue
                selector = it["spec"]["selector"]
                selector = selector.get("matchLabels", selector)
                found = [pod for pod, own in labels.items() if selector.items() <= own.items()]
                with self.subTest(f"{name}: {it['kind']} {it['metadata']['name']}"):
                    self.assertEqual(len(found), 1, found)

    def test_everything_lives_in_the_namespace(self):
        for name, objects in overlays().items():
            for it in objects:
                if it["kind"] != "Namespace":
                    with self.subTest(f"{name}: {it['kind']} {it['metadata']['name']}"):
                        self.assertEqual(it["metadata"].get("namespace"), "rowlift")

    def test_exactly_one_way_to_know_a_caller(self):
        expected = {"istio": "xfcc", "linkerd": "token"}
        for name, objects in overlays().items():
            env = find(objects, "ConfigMap", "rowlift-env")["data"]
            identity = next((expected[it] for it in name.split("+") if it in expected), "mtls")
            with self.subTest(name):
                self.assertEqual(env["ROWLIFT_IDENTITY"], identity)
                self.assertEqual(bool(env.get("ROWLIFT_TLS_CERT_FILE")), identity == "mtls")
                self.assertEqual(bool(env.get("ROWLIFT_TRUSTED_PROXIES")), identity == "xfcc")
                self.assertEqual(bool(env.get("ROWLIFT_TOKENS_FILE")), identity == "token")
                self.assertNotIn("ROWLIFT_INSECURE", env)


class CustomResources(unittest.TestCase):
    """Kinds of meshes and operators, against schemas/: the fields that these manifests use, written
    down by hand after the projects' own definitions. A field that is not there is refused, so a
    misspelt one is; what a definition allows beyond that is not known here."""

    def test_custom_resources_have_the_shape_of_their_kind(self):
        seen = set()
        for name, objects in manifests().items():
            for it in filter(is_custom, objects):
                kind = f"{it['apiVersion'].replace('/', '_')}_{it['kind']}"
                schema = json.loads((K8S / "tests/schemas" / f"{kind}.json").read_text())
                jsonschema.Draft202012Validator.check_schema(schema)
                with self.subTest(f"{name}: {kind}"):
                    jsonschema.validate(it, schema)
                seen.add(f"{kind}.json")
        self.assertEqual(seen, {it.name for it in (K8S / "tests/schemas").iterdir()})

    def test_a_misspelt_field_is_refused(self):
        schema = json.loads((K8S / "tests/schemas/networking.istio.io_v1_VirtualService.json").read_text())
        it = find(manifests()["postgres+istio"], "VirtualService", "rowlift")
        spoiled = json.loads(json.dumps(it).replace('"timeout"', '"timeOut"'))
        self.assertRaises(jsonschema.ValidationError, jsonschema.validate, spoiled, schema)


if __name__ == "__main__":
    unittest.main()
