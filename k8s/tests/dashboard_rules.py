"""Prints the dashboard's queries as recording rules, for promtool to parse: dashboard_rules.py"""

import re

import yaml
from metrics_test import dashboard

rules = []
for panel in dashboard()["panels"]:
    for target in panel.get("targets", []):
        expression = re.sub(r"\$__(rate_interval|range)", "5m", target["expr"])
        record = f"panel:{panel['id']}:{target['refId']}"
        rules.append({"record": record, "expr": re.sub(r"\$[a-z]+", "x", expression)})
print(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
