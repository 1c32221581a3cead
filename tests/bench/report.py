"""Results of a run: rows are added by the figures, printed as a table and kept as JSON. Does I/O (files)."""

import json
import os
import platform
import statistics
import sys
import time

RESULT = os.environ["TENANTRY_BENCH_RESULT"]


def load():
    if os.path.exists(RESULT):
        with open(RESULT, encoding="utf-8") as file:
            return json.load(file)
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "profile": os.environ.get("TENANTRY_BENCH_PROFILE"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "load_at_start": os.getloadavg()},
        "rows": [],
        "details": {},
    }


def save(result):
    with open(RESULT + ".new", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1, ensure_ascii=False)
    os.replace(RESULT + ".new", RESULT)


def row(figure, what, unit, tenantry, beside, beside_what, ratio, goal=None):
    """Adds a figure. `goal` is a text such as `<= 1.25`, held against the ratio."""
    met = None
    if goal and ratio is not None:
        sign, limit = goal.split()
        met = ratio <= float(limit) if sign == "<=" else ratio >= float(limit)
    result = load()
    result["rows"].append({
        "figure": figure, "what": what, "unit": unit, "tenantry": tenantry, "beside": beside,
        "beside_what": beside_what, "ratio": ratio, "goal": goal, "met": met,
    })
    save(result)
    print("  " + "  ".join(cells(result["rows"][-1])), file=sys.stderr, flush=True)


def detail(figure, **values):
    """Keeps values in the JSON file that are no row of the table."""
    result = load()
    result["details"].setdefault(figure, {}).update(values)
    save(result)


def median(values):
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}"


def cells(r):
    verdict = {True: "met", False: "MISSED", None: ""}[r["met"]]
    beside = f"{number(r['beside'])} {r['beside_what']}" if r["beside"] is not None else r["beside_what"]
    return [r["figure"], r["what"], f"{number(r['tenantry'])} {r['unit']}", beside, number(r["ratio"]),
            f"{r['goal'] or ''} {verdict}".strip()]


def main():
    result = load()
    table = [["FIGURE", "WHAT", "TENANTRY", "BESIDE, SAME RUN", "RATIO", "GOAL"]] + [cells(r) for r in result["rows"]]
    widths = [max(len(line[i]) for line in table) for i in range(6)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    latest = os.path.join(os.path.dirname(RESULT), "latest.json")
    with open(latest, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1, ensure_ascii=False)
    print(f"\n{result['profile']} build, {result['machine']['cores']} cores; details: {RESULT}")


if __name__ == "__main__":
    main()
