"""Alerts and dashboard use series that exist, and are whole themselves."""

import json
import re
import unittest

import yaml
from rendered import K8S, RENDERED, ROOT

DASHBOARD = K8S / "components/prometheus-operator/dashboard.json"
# Those of kube-state-metrics and of the kubelet.
FOREIGN = {
    "container_cpu_usage_seconds_total",
    "container_memory_working_set_bytes",
    "kube_deployment_spec_replicas",
    "kube_deployment_status_replicas_ready",
    "kube_pod_container_resource_limits",
}
# Labels that the scrape adds.
SCRAPE_LABELS = {"namespace", "pod", "container", "deployment", "resource", "le"}
NAME = r"\b(?:rowlift|rpc|db|container|kube)_[a-z0-9_]+"
MATCHER = r'([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"'


def metrics():
    """metrics.txt: name, type and labels of each, a label with its values where they are closed."""
    for line in (K8S / "metrics.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, kind, *labels = line.split()
            assert kind in ("histogram", "gauge", "counter"), line
            assert (kind == "counter") == name.endswith("_total"), line
            labels = dict(label.partition("=")[::2] for label in labels)
            yield name, kind, {label: set(filter(None, it.split(","))) for label, it in labels.items()}


def series():
    """The same by the names that queries use."""
    found = {}
    for name, kind, labels in metrics():
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            assert name + suffix not in found, name
            found[name + suffix] = labels
    return found


def rules():
    """The alerts."""
    groups = yaml.safe_load((RENDERED / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard():
    """The dashboard."""
    return json.loads(DASHBOARD.read_text())


def expressions():
    """Where it stands, and PromQL."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield f"panel {panel['title']}", target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["definition"].split("(")[1].rpartition(",")[0]


class Series(unittest.TestCase):
    """Names, labels and values."""

    def test_every_name_is_one_that_the_service_shows(self):
        known = series()
        for where, expression in expressions():
            bare = self.without_labels(expression)
            with self.subTest(where):
                names = set(re.findall(NAME, bare))
                self.assertTrue(names)
                self.assertLessEqual(names, known.keys() | FOREIGN)

    def test_every_label_is_one_of_its_series(self):
        known = series()
        for where, expression in expressions():
            for name, matchers in re.findall(rf"({NAME})\{{([^}}]*)\}}", expression):
                for label, operator, value in re.findall(MATCHER, matchers):
                    with self.subTest(f"{where}: {name}{{{label}}}"):
                        if label in SCRAPE_LABELS:
                            continue
                        self.assertIn(label, known[name])
                        values = known[name][label]
                        used = set(value.split("|")) if "~" in operator else {value}
                        if values:
                            self.assertLessEqual(used, values)

    def test_every_grouping_is_by_a_label_that_some_series_of_it_has(self):
        known = series()
        for where, expression in expressions():
            labels = set(SCRAPE_LABELS)
            for name in re.findall(NAME, self.without_labels(expression)):
                labels |= set(known.get(name, ()))
            for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", expression):
                with self.subTest(where):
                    self.assertLessEqual({it.strip() for it in group.split(",")}, labels)

    @staticmethod
    def without_labels(expression):
        """What is neither a matcher nor the list of a grouping: labels look like names."""
        return re.sub(r"\b(by|on)\s*\([^)]*\)", "", re.sub(r"\{[^}]*\}", "", expression))


class Names(unittest.TestCase):
    """metrics.txt and the service's own list of names."""

    # Names that the service is to have and has not yet. Delete one here once it is in names.rs.
    COMING = set()
    # To Prometheus a name that ends in _count is a part of a histogram.
    SCRAPED_AS = {"db_client_connection_count": "db_client_connections"}
    UNITS = ("", "_seconds", "_bytes", "_total", "_bytes_total")

    def test_both_name_the_same(self):
        source = (ROOT / "src/metrics/names.rs").read_text()
        own = set(re.findall(r'pub const [A-Z_]+: &str = "([a-z_.]+)";', source))
        self.assertGreater(len(own), 20)
        self.assertEqual(own & self.COMING, set(), "delete these names from COMING")
        listed = {name for name, _, _ in metrics()}
        for name in own | self.COMING:
            scraped = name.replace(".", "_")
            scraped = self.SCRAPED_AS.get(scraped, scraped)
            found = listed & {scraped + unit for unit in self.UNITS}
            self.assertEqual(len(found), 1, name)
            listed -= found
        self.assertEqual(listed, set())


class Alerts(unittest.TestCase):
    """Each is tested and explained."""

    def test_each_has_a_case_and_a_section(self):
        sections = re.findall(r"^### (Rowlift\w+)$", (ROOT / "docs/OPERATIONS.md").read_text(), re.M)
        cases = yaml.safe_load((K8S / "tests/alerts.yaml").read_text())["tests"]
        fired = {it["alertname"] for case in cases for it in case["alert_rule_test"] if it.get("exp_alerts")}
        names = [rule["alert"] for rule in rules()]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(set(names), fired)
        self.assertEqual(set(names), set(sections))
        for rule in rules():
            self.assertTrue(rule["annotations"]["runbook"].endswith(f"#{rule['alert'].lower()}"))


class Dashboard(unittest.TestCase):
    """Whole as Grafana needs it."""

    def test_panels_have_what_a_reader_needs(self):
        panels = dashboard()["panels"]
        self.assertEqual(len({it["id"] for it in panels}), len(panels))
        for panel in panels:
            with self.subTest(panel["title"]):
                if panel["type"] == "row":
                    continue
                self.assertTrue(panel["description"].endswith("."))
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                self.assertEqual(panel["datasource"]["uid"], "${datasource}")
                refs = [it["refId"] for it in panel["targets"]]
                self.assertEqual(len(set(refs)), len(refs))

    def test_panels_do_not_overlap(self):
        taken = {}
        for panel in dashboard()["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24)
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    self.assertNotIn((x, y), taken, f"{panel['title']} on {taken.get((x, y))}")
                    taken[x, y] = panel["title"]

    def test_variables_are_defined_and_used(self):
        text = DASHBOARD.read_text()
        defined = {it["name"] for it in dashboard()["templating"]["list"]}
        used = set(re.findall(r"\$\{?([a-z]+)\}?", text))
        self.assertEqual(used, defined)


if __name__ == "__main__":
    unittest.main()
