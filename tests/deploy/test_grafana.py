"""The dashboard: its grid, what panels say of themselves, and whether its queries are queries."""

import json
import re
import shutil
from itertools import combinations

import pytest
import yaml
from conftest import DEPLOY, ROOT, passes

TEXT = (DEPLOY / "grafana/candor.json").read_text()
PANELS = json.loads(TEXT)["panels"]
ROWS = [panel for panel in PANELS if panel["type"] == "row"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in GRAPHS for target in panel["targets"]]

# What Grafana puts in the place of variables.
VARIABLES = {"$server": "a:1|b:1", "$witness": "c:1", "$__rate_interval": "1m"}


def test_the_file_is_written_in_one_way():
    assert json.dumps(json.loads(TEXT), indent=1) + "\n" == TEXT


def test_panels_lie_beside_each_other():
    numbers = [panel["id"] for panel in PANELS]
    assert len(set(numbers)) == len(numbers)
    places = [panel["gridPos"] for panel in PANELS]
    # Grafana reads rows from the order of the list.
    order = [(place["y"], place["x"]) for place in places]
    assert order == sorted(order)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"], (one, other)
    for place in places:
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24


def test_there_is_a_row_for_each_subject():
    titles = [row["title"] for row in ROWS]
    assert len(set(titles)) == len(titles)
    assert {"Limits", "TLS", "Erasure"} <= set(titles)
    for row, following in zip(PANELS, PANELS[1:]):
        assert row["type"] != "row" or following["type"] != "row", "a row is empty"
    assert PANELS[-1]["type"] != "row"


@pytest.mark.parametrize("panel", GRAPHS, ids=lambda panel: f"{panel['id']}-{panel['title']}")
def test_panels_say_what_they_show(panel):
    assert panel["title"] and panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    references = [target["refId"] for target in panel["targets"]]
    assert references == [chr(ord("A") + n) for n in range(len(references))]
    for target in panel["targets"]:
        query = target["expr"]
        selectors = re.findall(r"\{[^}]*\}", query)
        chosen = [re.match(r'\{instance=~"\$(server|witness)"', one) for one in selectors]
        assert selectors and all(chosen), query
        # Of what is added up, only the labels that it is added up by are left.
        kept = [set(re.split(r",\s*", labels)) for labels in re.findall(r"by \(([^)]*)\)", query)]
        named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert all(named <= labels for labels in kept), query


def test_promtool_understands_the_queries(tmp_path):
    # Installed, or where `make tools` puts it.
    promtool = shutil.which("promtool") or shutil.which(ROOT / "target/promtool")
    if promtool is None:
        pytest.skip("promtool is not there: `make tools` fetches it")
    rules = []
    for number, query in enumerate(QUERIES):
        for variable, value in VARIABLES.items():
            query = query.replace(variable, value)
        assert "$" not in query
        rules.append({"record": f"query:{number}", "expr": query})
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(QUERIES)} rules found" in passes(promtool, "check", "rules", file)
