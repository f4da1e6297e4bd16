"""Writes the dashboards, the rules, their tests and the runbook out of `alerts.py` and `panels.py`.

python deploy/observability/generate.py            # after a change of either
python deploy/observability/generate.py --check    # exits with 1 where a file is not what they say
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parents[1]))

from deploy.observability.alerts import ALERTS, RECORDINGS  # noqa: E402
from deploy.observability.panels import DASHBOARDS, Panel  # noqa: E402

RULES = "palaver.rules.yaml"
RULE_TESTS = "palaver.rules.test.yaml"
RUNBOOK_BEGINS = "<!-- runbook: written by generate.py -->"
WIDTH, HEIGHT = 12, 8
"""Of a panel, on Grafana's grid of 24 columns."""
SPAN = re.compile(r"(?<=\[)\d+[mh](?=\])|^\d+[mh]$")
"""A span of time, as a range in a query or alone."""
SHORTEST_SECONDS = 4
"""Of a rehearsal whose Prometheus looks every second: a rate needs two looks, and one may be late."""


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is generated, with its text."""
    for name, panels in DASHBOARDS.items():
        yield FOLDER / "dashboards" / f"{name}.json", _json(_dashboard(name, panels))
    # JSON is YAML, and needs no library to be written.
    yield FOLDER / RULES, "# Written by generate.py.\n" + _json(rules())
    yield FOLDER / RULE_TESTS, "# Written by generate.py.\n" + _json(_rule_tests())
    readme = FOLDER / "README.md"
    by_hand = readme.read_text().partition(RUNBOOK_BEGINS)[0]
    yield readme, by_hand + RUNBOOK_BEGINS + "\n" + "".join(_runbook())


def _dashboard(name: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${source}"}
    return {
        "uid": f"palaver-{name}",
        "title": f"palaver: {name}",
        "tags": ["palaver"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["palaver"], "asDropdown": True, "title": "palaver"}],
        "templating": {
            "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": [
            {
                "id": index + 1,
                "type": "timeseries",
                "title": panel.title,
                "description": panel.meaning,
                "datasource": source,
                "gridPos": {"x": index % 2 * WIDTH, "y": index // 2 * HEIGHT, "w": WIDTH, "h": HEIGHT},
                "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
                "targets": [
                    {"refId": chr(65 + place), "datasource": source, "expr": query, "legendFormat": legend}
                    for place, (query, legend) in enumerate(panel.queries)
                ],
            }
            for index, panel in enumerate(panels)
        ],
    }


def rules(hurry: float = 1) -> dict[str, Any]:
    """Prometheus's rules.

    Args:
        hurry: by how much every span of time in them is shortened, for rehearsals; none becomes shorter than
            ``SHORTEST_SECONDS``.
    """

    def shortened(text: str) -> str:
        return text if hurry == 1 else SPAN.sub(lambda span: _shorter(span[0], hurry), text)

    recorded = [{"record": rule.name, "expr": shortened(rule.expression)} for rule in RECORDINGS]
    alerts = [
        {
            "alert": alert.name,
            "expr": shortened(alert.expression),
            "for": alert.lasts if alert.lasts == "0m" else shortened(alert.lasts),
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "runbook": f"deploy/observability/README.md#{alert.name.lower()}",
            },
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": "palaver", "rules": recorded}, {"name": "palaver alerts", "rules": alerts}]}


def _shorter(span: str, hurry: float) -> str:
    seconds = int(span[:-1]) * {"m": 60, "h": 3600}[span[-1]] / hurry
    return f"{max(round(seconds), SHORTEST_SECONDS)}s"


def _rule_tests() -> dict[str, Any]:
    """For `promtool test rules`: every alert fires, and resolves."""
    return {
        "rule_files": [RULES],
        "evaluation_interval": "1m",
        "tests": [
            {
                "name": alert.name,
                "interval": "1m",
                "input_series": [{"series": series, "values": values} for series, values in alert.fires],
                "alert_rule_test": [
                    {
                        "eval_time": alert.fires_at,
                        "alertname": alert.name,
                        "exp_alerts": [
                            {
                                "exp_labels": {"severity": alert.severity, **alert.labels},
                                "exp_annotations": {
                                    "summary": alert.summary,
                                    "runbook": f"deploy/observability/README.md#{alert.name.lower()}",
                                },
                            }
                        ],
                    },
                    {"eval_time": alert.resolves_at, "alertname": alert.name, "exp_alerts": []},
                ],
            }
            for alert in ALERTS
        ],
    }


def _runbook() -> Iterator[str]:
    for alert in ALERTS:
        lasts = "at once" if alert.lasts == "0m" else f"after {alert.lasts}"
        yield f"\n### {alert.name}\n\n{alert.summary} Told {lasts}, as a {alert.severity}.\n\n{alert.runbook}\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write, or compare."""
    stale = [path for path, text in files() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(FOLDER)} is stale: run deploy/observability/generate.py\n")
        return 1 if stale else 0
    for path, text in list(files()):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
