"""Checks what the chart tells Prometheus and Grafana: every alert has its runbook, and every metric that a rule or
a panel names is one that the operator has. Reads the rendered chart and the operator's source; writes the rules as
a file for promtool. Does I/O: these files only.

usage: monitoring.py RENDERED RULES-FILE
"""

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "operator" / "src" / "runtime"
SUFFIXES = ("_total", "_bucket", "_sum", "_count", "_info")
problems = []


def metrics_of_the_operator():
    """Names as Prometheus sees them, without the suffix of their type."""
    text = "".join((SOURCES / name).read_text(encoding="utf-8") for name in ("metrics.rs", "figures.rs"))
    names = re.findall(r'(?:registry\.register|\bgauge)\(\s*"([a-z_]+)"', text)
    return {f"tenantry_{name}" for name in names}


def named(expression):
    """Metrics in an expression: our words that are neither in quotes nor a label."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    return set(re.findall(r"\btenantry_[a-z_]+", bare))


def known(where, expression, metrics):
    words = named(expression)
    if not words:
        problems.append(f"{where} names no metric of the operator: {expression}")
    for word in words:
        stems = {word} | {word.removesuffix(s) for s in SUFFIXES if word.endswith(s)}
        if not stems & metrics:
            problems.append(f"{where} names {word}, which the operator does not have")


def check_rules(rule, metrics):
    alerts = [r for group in rule["spec"]["groups"] for r in group["rules"]]
    names = [r["alert"] for r in alerts]
    if len(set(names)) != len(names):
        problems.append("an alert comes twice")
    for alert in alerts:
        name, notes = alert["alert"], alert["annotations"]
        known(name, alert["expr"], metrics)
        if not (ROOT / notes.get("runbook", "none")).is_file():
            problems.append(f"{name}: runbook {notes.get('runbook')} is not there")
        page = Path(notes["runbook"]).stem
        if not notes.get("runbook_url", "").endswith(f"/{page}.html"):
            problems.append(f"{name}: runbook_url does not lead to {page}")
        if alert["labels"].get("severity") not in ("critical", "warning"):
            problems.append(f"{name} has no severity")
        if not alert.get("for") or not notes.get("summary") or not notes.get("description"):
            problems.append(f"{name} lacks for, summary or description")


def check_dashboard(board, metrics):
    ids = [panel["id"] for panel in board["panels"]]
    if len(set(ids)) != len(ids):
        problems.append("two panels have one id")
    for panel in board["panels"]:
        for target in panel["targets"]:
            known(f"panel {panel['title']!r}", target["expr"], metrics)


def main():
    rendered, rules = sys.argv[1:3]
    with open(rendered, encoding="utf-8") as file:
        objects = [o for o in yaml.safe_load_all(file) if o]
    of_kind = {}
    for o in objects:
        of_kind.setdefault(o["kind"], []).append(o)
    metrics = metrics_of_the_operator()
    rule, = of_kind["PrometheusRule"]
    check_rules(rule, metrics)
    with open(rules, "w", encoding="utf-8") as file:
        yaml.safe_dump(rule["spec"], file)
    board, = [o for o in of_kind["ConfigMap"] if o["metadata"]["labels"].get("grafana_dashboard")]
    check_dashboard(json.loads(board["data"]["tenantry.json"]), metrics)
    monitor, = of_kind["ServiceMonitor"]
    service, = [o for o in of_kind["Service"] if o["metadata"]["name"] == monitor["metadata"]["name"]]
    if not monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items():
        problems.append("the ServiceMonitor does not choose the Service")
    for problem in problems:
        print("charts/test:", problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
