"""Numbers that stand in different places and must fit each other; README.md has the arithmetic."""

import re
import tomllib
import unittest

import yaml
from rendered import K8S, ROOT, find, overlays, pods, quantity, seconds

MIB = 2**20
# Memory of the service beside decoders and bytes in flight: connections, buffers, code.
SERVICE_BYTES = 512 * MIB  # OTHER_BYTES of src/config/memory.rs
SPOOL_SHARE_MAX = 0.75
WORKBOOK_DEFAULT = "256Mi"  # limits.workbook_bytes_max of src/decode/limits.rs
# Connections of a replica beside its writers (design: a control pool of two).
CONTROL_CONNECTIONS = 2
# PostgreSQL's default, less what it reserves.
POSTGRES_CONNECTIONS = 97


def stop_seconds():
    """What a stop may take after the drain, as the service has it: each use of a bound, in turn."""
    total = 0
    for file, bound in (("src/app.rs", "STOP_BOUND"), ("src/cli/serve.rs", "FLUSH_BOUND")):
        source = (ROOT / file).read_text()
        seconds_each = int(re.search(rf"{bound}: Duration = Duration::from_secs\((\d+)\)", source)[1])
        total += seconds_each * (len(re.findall(rf"\b{bound}\b", source)) - 1)
    return total


class Numbers(unittest.TestCase):
    """Each over every combination."""

    def every(self, check):
        for name, objects in overlays().items():
            template = pods(objects)["rowlift"]
            container = template["spec"]["containers"][0]
            env = find(objects, "ConfigMap", "rowlift-env")["data"]
            with self.subTest(name):
                check(objects, template, container, env)

    def test_a_drain_ends_before_the_kubelet_kills(self):
        def check(_objects, template, container, env):
            pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            drain = seconds(env["ROWLIFT_LAME_DUCK"]) + seconds(env["ROWLIFT_DRAIN_GRACE"])
            end = stop_seconds()
            grace = template["spec"]["terminationGracePeriodSeconds"]
            self.assertGreaterEqual(pre_stop + seconds(env["ROWLIFT_LAME_DUCK"]), 10)
            self.assertLessEqual(pre_stop + drain + end, grace - 10)
            self.check_proxies(template, pre_stop + drain + end, grace)

        self.every(check)

    def check_proxies(self, template, needed, grace):
        annotations = template["metadata"]["annotations"]
        proxy = yaml.safe_load(annotations.get("proxy.istio.io/config", "{}"))
        bounds = [
            proxy.get("terminationDrainDuration"),
            annotations.get("config.linkerd.io/shutdown-grace-period"),
        ]
        for bound in filter(None, bounds):
            self.assertGreaterEqual(seconds(bound), needed)
            self.assertLess(seconds(bound), grace)

    def test_a_mesh_has_a_drain_of_its_own(self):
        for name, objects in overlays().items():
            annotations = pods(objects)["rowlift"]["metadata"]["annotations"]
            with self.subTest(name):
                self.assertEqual("istio" in name.split("+"), "proxy.istio.io/config" in annotations)
                self.assertEqual(
                    "linkerd" in name.split("+"),
                    "config.linkerd.io/shutdown-grace-period" in annotations,
                )

    def test_a_pod_waits_for_the_longest_migration(self):
        def check(objects, _template, container, _env):
            probe = container["startupProbe"]
            job = find(objects, "Job", "rowlift-migrate")
            waits = probe["periodSeconds"] * probe["failureThreshold"]
            self.assertGreater(waits, job["spec"]["activeDeadlineSeconds"])

        self.every(check)

    def test_the_memory_limit_holds_all_decoders(self):
        def check(_objects, _template, container, env):
            resources = container["resources"]
            limit = quantity(resources["limits"]["memory"])
            decoders = int(env["ROWLIFT_DECODERS_MAX"])
            child = quantity(env["ROWLIFT_LIMITS_CHILD_ADDRESS_SPACE_BYTES"])
            in_flight = quantity(env["ROWLIFT_BYTES_IN_FLIGHT_MAX"])
            self.assertLessEqual(decoders * child + in_flight + SERVICE_BYTES, limit)
            self.assertEqual(resources["requests"]["memory"], resources["limits"]["memory"])
            self.assertNotIn("cpu", resources["limits"])

        self.every(check)

    def test_the_spool_stays_below_its_volume(self):
        def check(_objects, template, container, env):
            volumes = {it["name"]: it for it in template["spec"]["volumes"]}
            mounts = {it["mountPath"]: it["name"] for it in container["volumeMounts"]}
            volume = volumes[mounts[env["ROWLIFT_SPOOL_DIR"]]]["emptyDir"]
            size = quantity(volume["sizeLimit"])
            spool = quantity(env["ROWLIFT_SPOOL_BYTES_MAX"])
            self.assertLessEqual(spool, SPOOL_SHARE_MAX * size)
            workbook = env.get("ROWLIFT_LIMITS_WORKBOOK_BYTES_MAX", WORKBOOK_DEFAULT)
            self.assertLessEqual(2 * quantity(workbook), spool)
            for kind in ("requests", "limits"):
                self.assertGreater(quantity(container["resources"][kind]["ephemeral-storage"]), size)

        self.every(check)

    def test_the_database_has_connections_for_all_replicas(self):
        def check(objects, _template, _container, env):
            autoscaler = [it for it in objects if it["kind"] == "HorizontalPodAutoscaler"]
            deployment = find(objects, "Deployment", "rowlift")
            if autoscaler:
                self.assertNotIn("replicas", deployment["spec"])
                replicas = autoscaler[0]["spec"]["maxReplicas"]
            else:
                replicas = deployment["spec"]["replicas"]
            replicas += deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
            needed = replicas * (int(env["ROWLIFT_WRITERS_MAX"]) + CONTROL_CONNECTIONS)
            if env.get("ROWLIFT_DATABASE_POOLED") == "true":
                pooler = find(objects, "ConfigMap", "rowlift-pgbouncer")["data"]["pgbouncer.ini"]
                self.assertLessEqual(needed, int(re.search(r"max_client_conn = (\d+)", pooler)[1]))
                pool = int(re.search(r"default_pool_size = (\d+)", pooler)[1])
                needed = pool * (find(objects, "Deployment", "rowlift-pgbouncer")["spec"]["replicas"] + 1)
            self.assertLessEqual(needed, POSTGRES_CONNECTIONS)

        self.every(check)

    def test_replicas_scale_before_they_are_full(self):
        def check(objects, _template, _container, env):
            for it in objects:
                if it["kind"] == "HorizontalPodAutoscaler":
                    metric = it["spec"]["metrics"][0]["pods"]
                    self.assertEqual(metric["metric"]["name"], "rowlift_imports_active")
                    target = int(metric["target"]["averageValue"])
                    self.assertLess(target, int(env["ROWLIFT_IMPORTS_MAX"]))

        self.every(check)

    def test_ports_are_those_that_the_service_listens_on(self):
        def check(objects, _template, container, env):
            ports = {it["name"]: it["containerPort"] for it in container["ports"]}
            self.assertEqual(env["ROWLIFT_LISTEN"], f"0.0.0.0:{ports['grpc']}")
            self.assertEqual(env["ROWLIFT_ADMIN_LISTEN"], f"0.0.0.0:{ports['admin']}")
            for probe, path in (("startup", "startupz"), ("readiness", "readyz"), ("liveness", "livez")):
                self.assertEqual(container[f"{probe}Probe"]["httpGet"], {"path": f"/{path}", "port": "admin"})
            for service in ("rowlift", "rowlift-headless"):
                port = find(objects, "Service", service)["spec"]["ports"][0]
                self.assertEqual((port["name"], port["appProtocol"], port["targetPort"]), ("grpc", "grpc", "grpc"))

        self.every(check)


class Settings(unittest.TestCase):
    """What the manifests set is what the service knows: it ignores variables that it does not."""

    # Keys that the service is to have and has not yet. Delete a name here once it is in keys.rs.
    COMING = set()

    def known(self):
        source = (ROOT / "src/config/keys.rs").read_text()
        keys = set(re.findall(r'\bkey\(\s*"([a-z0-9_.]+)"', source))
        self.assertGreater(len(keys), 30)
        return keys

    def test_every_variable_is_a_key(self):
        variables = {self.variable(key) for key in self.known() | self.COMING} | {"ROWLIFT_CONFIG"}
        for name, objects in overlays().items():
            for pod, template in pods(objects).items():
                for container in template["spec"]["containers"]:
                    for variable in self.variables(objects, container):
                        with self.subTest(f"{name}: {pod}"):
                            if variable.startswith("ROWLIFT_"):
                                self.assertIn(variable, variables)

    def test_what_has_come_is_not_coming(self):
        self.assertEqual(self.COMING & self.known(), set(), "delete these names from COMING")

    @staticmethod
    def variable(key):
        return "ROWLIFT_" + key.upper().replace(".", "_")

    @staticmethod
    def variables(objects, container):
        for source in container.get("envFrom", []):
            yield from find(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        for it in container.get("env", []):
            yield it["name"]

    def test_the_files_are_toml_with_tables(self):
        for directory in ("base", "overlays/postgres"):
            with self.subTest(directory):
                tables = tomllib.loads((K8S / directory / "rowlift.toml").read_text())["tables"]
                names = {table["name"] for table in tables}
                callers = tomllib.loads((K8S / directory / "policy.toml").read_text()).get("callers", [])
                for caller in callers:
                    self.assertLessEqual(set(caller["tables"]), names)


if __name__ == "__main__":
    unittest.main()
