"""The documentation agrees with the code: settings, configuration, metrics, commands"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

from tests.support import ROOT
from xray.command_line import COMMANDS, MODULES
from xray.settings import Settings, case_settings

DOCS = ROOT / "docs"


def rows(page: Path, heading: str) -> dict[str, list[str]]:
    """The rows of the first table whose header's first cell is ``heading``, by the first cell."""
    lines = iter(page.read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            break
    else:
        raise AssertionError(f"{page.name} has no table that begins with {heading}")
    next(lines)
    found = {}
    for line in lines:
        if not line.startswith("|"):
            break
        first, *rest = [cell.strip() for cell in line.strip("|").split("|")]
        found[first.strip("`")] = rest
    return found


def test_every_setting_is_documented_with_its_default() -> None:
    documented = rows(DOCS / "cases.md", "setting")
    defaults = Settings().to_mapping()
    assert set(documented) == set(defaults)
    for name, value in defaults.items():
        default = documented[name][0]
        if name == "patient_pattern":
            assert default == "the demo's keys"
        elif isinstance(value, bool):
            assert default == str(value).lower()
        elif isinstance(value, str):
            assert default.strip("`") == str(value)
        else:
            assert float(default) == value
    assert set(case_settings()) < set(documented)


def test_every_option_of_airflows_configuration_is_documented() -> None:
    documented = rows(DOCS / "cases.md", "environment")
    code = (ROOT / "plugins" / "xray" / "airflow" / "config.py").read_text()
    options = re.findall(r'conf\.get\w*\(\s*\w+,\s*"(\w+)"', code)
    assert {f"AIRFLOW__XRAY__{name.upper()}" for name in options} == set(documented)
    assert len(options) == 9


def test_every_metric_is_documented() -> None:
    documented = rows(DOCS / "monitoring.md", "metric")
    package = ROOT / "plugins" / "xray" / "airflow"
    in_code = {}
    for part in ("listener", "case", "watch"):
        docstring = ast.get_docstring(ast.parse((package / part / "metrics.py").read_text())) or ""
        found = dict(re.findall(r"^\| `(xray\.[\w.]+)` \| (\w+)", docstring, flags=re.M))
        assert found, part
        in_code |= found
    notices = re.findall(r'_count\("(\w+)"', (package / "notices.py").read_text())
    in_code |= {f"xray.notices.{name}": "counter" for name in notices}
    assert {name: kind for name, (kind, *_) in documented.items()} == in_code


def test_every_value_of_a_tag_is_documented() -> None:
    from xray.airflow.case import metrics
    from xray.case import Decision
    from xray.errors import ImageFault
    from xray.settings import Label

    documented = rows(DOCS / "monitoring.md", "tag")
    named = {tag: set(re.findall(r"`(\w+)`", values)) for tag, (values,) in documented.items()}
    assert named["label"] == set(Label)
    assert named["origin"] == set(metrics.ORIGINS)
    decisions = {decision.name.lower() for decision in Decision}
    assert named["decision"] == decisions | {metrics.RELEASED, metrics.KEPT}
    reasons = metrics.GATE_REASONS + metrics.HEADER_REASONS
    gate = {re.sub(r"\W", "_", reason) for reason in reasons}
    assert named["reason"] == gate | set(ImageFault) | {"object"}


def test_every_metric_of_the_docstring_is_sent() -> None:
    """The names in the code are the counters of the listener and the calls in metrics.py."""
    from xray.airflow.listener import metrics
    from xray.airflow.listener.listener import COUNTERS

    text = Path(metrics.__file__).read_text()
    sent = {f"{metrics.PREFIX}{name}" for name in COUNTERS}
    calls = re.findall(r'Stats\.\w+\((?:PREFIX \+ |f"\{PREFIX\})"?([\w.{}]+)"', text)
    sent |= {f"{metrics.PREFIX}{name}" for name in calls}
    docstring = ast.get_docstring(ast.parse(text)) or ""
    named = set(re.findall(r"`(xray\.[\w.]+)`", docstring))
    assert {
        name.replace("{partition}", "N").replace("{sensor}", "SENSOR")
        for name in sent - {f"{metrics.PREFIX}name"}
    } == named


def test_every_command_is_documented() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        spelling = f"xray {name}" if name in MODULES else f"xray.{name}"
        assert f"`python -m {spelling} " in readme
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.M)
    for target in set(targets) - {"help", "env", "lint", "lock", "clean", "images"}:
        assert f"make {target}" in readme, target


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    pages += [ROOT / "deploy" / "README.md", *(ROOT / "include").rglob("README.md")]
    for page in pages:
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            assert linked.exists(), f"{page.name}: {target}"
            if anchor and linked.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", linked.read_text(), flags=re.M)
                anchors = {
                    re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
                    for heading in headings
                }
                assert anchor in anchors, f"{page.name}: {target}"


def test_the_times_of_the_page_cases_are_those_recorded() -> None:
    recorded = json.loads((ROOT / "bench" / "results.json").read_text())["cases_page"]
    for name, cells in rows(DOCS / "performance.md", "request").items():
        one = recorded["requests"][name]
        few, many, ratio = one["few"], one["many"], one["ratio"]
        assert cells == [
            f"{few['rows']}, {many['rows']}",
            f"{few['median']:.1f}",
            f"{many['median']:.1f}",
            f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})",
        ]
    text = " ".join((DOCS / "performance.md").read_text().split())
    assert f"the worst ratio is {recorded['worst_ratio']['median']:.2f}," in text
    assert recorded["met"] == {"ratio": True, "ms": True}
