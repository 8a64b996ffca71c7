"""The compose file: valid, closed, and of one piece with what it mounts."""

import re
import shutil

import pytest
import yaml
from conftest import DEPLOY, passes, run, tool

FOLDER = DEPLOY / "compose"
FILE = FOLDER / "compose.yaml"
TEXT = FILE.read_text()
SYSTEM = yaml.safe_load(TEXT)
SERVICES = SYSTEM["services"]
WITNESSES = ["witness-1", "witness-2", "witness-3"]


def test_the_schema_holds():
    schema = ["--builtin-schema", "vendor.compose-spec"]
    passes(tool("check-jsonschema"), *schema, FILE)


def test_docker_reads_it():
    docker = shutil.which("docker")
    if docker is None or run(docker, "compose", "version").returncode != 0:
        pytest.skip("docker compose is not installed")
    environment = {"CANDOR_ORIGIN": "kt.example/1", "GRAFANA_PASSWORD": "x"}
    passes(docker, "compose", "-f", FILE, "config", "--quiet", env=environment)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_closed_and_bounded(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert {"mem_limit", "cpus", "pids_limit"} < set(service)
    assert not {"privileged", "cap_add"} & set(service)
    image = re.sub(r"\$\{\w+:-(.*)\}", r"\1", service["image"])
    assert re.search(r":v?\d+\.\d+\.\d+$", image), image


def test_only_loopback_is_published():
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(published) == {"server", "grafana"}
    for ports in published.values():
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert SYSTEM["networks"]["log"] == {"internal": True}
    for name in WITNESSES:
        assert SERVICES[name]["networks"] == ["log"]
    assert SERVICES["setup"]["network_mode"] == "none"


def test_keys_are_where_they_are_used():
    for name in SERVICES.keys() - {"setup"}:
        mounted = {volume.split(":")[0] for volume in SERVICES[name].get("volumes", [])}
        others = {"server", "anchor", "client", *WITNESSES}
        own = {"server": {"server", "anchor"}, "candor": {"client"}}.get(name, {name})
        assert not mounted & (others - own), name


@pytest.mark.parametrize("name", ["setup", "server", "candor", *WITNESSES])
def test_volumes_belong_to_the_programs(name):
    """A new volume takes the owner of what the image has in its place, or root."""
    image = (DEPLOY / "container/Containerfile").read_text()
    target = SERVICES[name]["build"]["target"]
    text = image.partition(f" AS {'setup' if target == 'setup' else 'base'}\n")[2]
    text = text.partition("\nFROM ")[0]
    for volume in SERVICES[name]["volumes"]:
        place = volume.split(":")[1]
        assert f"COPY --from=build --chown={SERVICES[name]['user']} /volume {place}\n" in text


def test_variables_without_a_default_are_in_the_example():
    example = (FOLDER / ".env.example").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert required == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def mounts():
    """Every file that is mounted, by service."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            if volume.startswith("."):
                yield name, volume


@pytest.mark.parametrize(("service", "volume"), list(mounts()))
def test_what_is_mounted_is_there(service, volume):
    source, _, mode = volume.split(":")
    assert mode == "ro"
    path = FOLDER / source
    assert path.is_file(), f"{service} mounts {source}"


def test_prometheus_asks_services():
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    found = {
        target
        for job in config["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    assert found == {"server:8431"} | {f"{name}:7380" for name in WITNESSES}
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    for rules in config["rule_files"]:
        assert f"/etc/prometheus/{rules}" in mounted


def test_grafana_is_given_source_and_dashboard():
    source = yaml.safe_load((FOLDER / "grafana/datasources.yaml").read_text())["datasources"][0]
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()
    assert (host in SERVICES, port) == (True, "9090")
    provider = yaml.safe_load((FOLDER / "grafana/dashboards.yaml").read_text())["providers"][0]
    mounted = " ".join(SERVICES["grafana"]["volumes"])
    assert f":{provider['options']['path']}/candor.json:ro" in mounted


def test_the_script_is_clean():
    passes(tool("shellcheck"), FOLDER / "setup.sh")
