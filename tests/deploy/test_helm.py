"""The chart: linted, rendered, held against Kubernetes' schemas, and its configuration run."""

import re
import socket
import ssl
import tomllib
from pathlib import Path

import pytest
import yaml
from conftest import DEPLOY, PATIENCE_S, network, passes, tool, until_healthy

helm = pytest.importorskip("helm_python", reason="there is no Helm for this machine")
kubernetes = pytest.importorskip("kubernetes_validate", exc_type=ImportError)

CHART = DEPLOY / "helm/candor"
VERSIONS = ["1.27", "1.37"]

# Kinds of others' resources, for which Kubernetes has no schema.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}

LEAST = {
    "server": {
        "origin": "kt.example/1",
        "keysSecret": "log-keys",
        "policy": "log example\nquorum none\n",
    },
}

ALERTS = """groups:
  - name: candor
    rules:
      - alert: CandorQuorumLost
        expr: candor_quorum_lost == 1
        annotations:
          summary: "{{ $labels.instance }} has lost its quorum"
"""

ISSUER = {"public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "roles": ["update"]}

WITNESS = {
    "enabled": True,
    "keysSecret": "witness-keys",
    "config": 'name = "witness.example/w1"\n',
}

EVERYTHING = {
    "server": {
        **LEAST["server"],
        "tlsSecret": "log-tls",
        "image": {"repository": "registry.example/candor-server", "digest": "sha256:" + "0" * 64},
        "access": {"anonymous": ["lookup"], "issuers": [ISSUER]},
        "tables": '[witness_interval_s]\n"public.example" = 60\n',
        "store": {"engine": "sled", "size": "1Ti", "storageClass": "fast"},
        "anchor": {"size": "1Gi", "storageClass": "other-disk"},
        "service": {"type": "LoadBalancer", "annotations": {"example.org/a": "b"}},
    },
    "witness": {
        **WITNESS,
        "tlsSecret": "witness-tls",
        "state": {"size": "1Gi", "storageClass": "fast"},
        "service": {"type": "NodePort", "annotations": {"example.org/a": "b"}},
    },
    "imagePullSecrets": [{"name": "pull"}],
    "networkPolicy": {"clients": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "alerts": ALERTS},
}

MAINTENANCE = {**EVERYTHING, "maintenance": True}
WITNESS_ALONE = {"server": {"enabled": False}, "witness": WITNESS}
CASES = {
    "least": LEAST,
    "everything": EVERYTHING,
    "maintenance": MAINTENANCE,
    "witness-alone": WITNESS_ALONE,
}


def render(values):
    """The resources that the chart makes of values."""
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name="demo", namespace="kt")
    texts = [text for name, text in files.items() if name.endswith(".yaml")]
    return [thing for text in texts for thing in yaml.safe_load_all(text) if thing]


def of_kind(resources, kind):
    return {thing["metadata"]["name"]: thing for thing in resources if thing["kind"] == kind}


def volumes(pod):
    """The volumes of a pod by name, without claims."""
    return {volume["name"]: volume for volume in pod["volumes"]}


@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_helm_finds_nothing(values):
    found = helm.lint(str(CHART), values, strict=True)
    assert found["errors"] == []
    assert [message["error"] for message in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_kubernetes_knows_every_field(values, version):
    resources = [thing for thing in render(values) if thing["kind"] not in FOREIGN]
    assert len(resources) >= 5
    for resource in resources:
        kubernetes.validate(resource, version, strict=True)


def test_values_and_schema_agree():
    schema = CHART / "values.schema.json"
    passes(tool("check-jsonschema"), "--check-metaschema", schema)
    passes(tool("check-jsonschema"), "--schemafile", schema, CHART / "values.yaml")


@pytest.mark.parametrize(
    ("told", "values"),
    [
        ("additional properties 'sever'", {"sever": {}}),
        ("additional properties 'replicas'", {"server": {"replicas": 2}}),
        ("propertyName 'keys'", {"server": {"settings": {"keys": "/elsewhere"}}}),
        ("propertyName 'x y'", {"server": {"settings": {"x y": 1}}}),
        ("/server/origin", {"server": {"origin": "a log"}}),
        ("/server/image/digest", {"server": {"image": {"repository": "a", "digest": "sha256:1"}}}),
        ("/witness/tlsSecret", {"witness": {"tlsSecret": "a secret"}}),
        ("/server/store/engine", {"server": {"store": {"engine": "rocksdb"}}}),
        ("/networkPolicy/egressPorts/0", {"networkPolicy": {"egressPorts": [0]}}),
    ],
)
def test_senseless_values_are_refused(told, values):
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError) as refused:
        chart.validate_schema(values)
    assert told in str(refused.value)


@pytest.mark.parametrize("missing", ["origin", "keysSecret", "policy"])
def test_what_only_the_operator_knows_has_to_be_said(missing):
    values = {"server": {key: value for key, value in LEAST["server"].items() if key != missing}}
    with pytest.raises(helm.HelmError, match=f"server.{missing}"):
        render(values)


@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_pods_are_restricted_and_alone(values):
    resources = render(values)
    assert not of_kind(resources, "Secret"), "the chart makes no keys"
    for workload in of_kind(resources, "StatefulSet").values():
        spec = workload["spec"]
        assert spec["replicas"] == 1
        claims = [claim["spec"] for claim in spec["volumeClaimTemplates"]]
        assert len(claims) == 2, "the anchor is apart"
        assert all(claim["accessModes"] == ["ReadWriteOncePod"] for claim in claims)
        pod = spec["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for container in pod["initContainers"] + pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert "memory" in container["resources"]["limits"]


def test_witnesses_reach_a_log_that_is_not_ready():
    services = of_kind(render(LEAST), "Service")
    assert services["demo-server-all"]["spec"]["publishNotReadyAddresses"] is True
    assert "publishNotReadyAddresses" not in services["demo-server"]["spec"]


@pytest.mark.parametrize(
    ("part", "values", "scheme"),
    [
        ("server", LEAST, "http"),
        ("server", EVERYTHING, "https"),
        ("witness", WITNESS_ALONE, "http"),
        ("witness", EVERYTHING, "https"),
        # A value that is not there at all, as after an upgrade with the values of an older chart.
        ("server", {"server": {**LEAST["server"], "tlsSecret": None}}, "http"),
        ("witness", {**LEAST, "witness": {**WITNESS, "tlsSecret": None}}, "http"),
    ],
)
def test_what_speaks_tls_is_asked_over_tls(part, values, scheme):
    resources = render(values)
    service = of_kind(resources, "Service")[f"demo-{part}-all"]
    assert service["metadata"]["labels"]["candor/scrape"] == scheme
    config = of_kind(resources, "ConfigMap")[f"demo-{part}"]["data"][f"{part}.toml"]
    assert ("plain_text" in tomllib.loads(config)) == (scheme == "http")
    assert ("tls" in tomllib.loads(config)) == (scheme == "https")
    pod = of_kind(resources, "StatefulSet")[f"demo-{part}"]["spec"]["template"]["spec"]
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        assert pod["containers"][0][probe]["httpGet"]["scheme"] == scheme.upper()
    assert ("tls" in volumes(pod)) == (scheme == "https")


def test_operators_are_told_of_plain_text():
    def notes(values):
        with helm.Chart.load(str(CHART)) as chart:
            files = chart.render(values, name="demo", namespace="kt")
        (text,) = [text for name, text in files.items() if name.endswith("NOTES.txt")]
        return text

    assert "plain text" not in notes(EVERYTHING)
    assert notes(LEAST).count("plain text") == 1
    assert notes(WITNESS_ALONE).count("plain text") == 1
    witness_too = {**LEAST, "witness": WITNESS}
    assert notes(witness_too).count("plain text") == 2


def test_jobs_are_named_as_alerts_name_them():
    (monitor,) = of_kind(render(EVERYTHING), "ServiceMonitor").values()
    compose = yaml.safe_load((DEPLOY / "compose/prometheus.yml").read_text())
    jobs = {job["job_name"] for job in compose["scrape_configs"]}
    for endpoint in monitor["spec"]["endpoints"]:
        (rule,) = [rule for rule in endpoint["relabelings"] if rule.get("targetLabel") == "job"]
        assert {rule["replacement"].replace("$1", part) for part in ["server", "witness"]} == jobs


def test_alerts_arrive_as_they_are():
    path = DEPLOY / "prometheus/alerts.yml"
    alerts = path.read_text() if path.is_file() else ALERTS
    values = {**LEAST, "prometheusRule": {"enabled": True, "alerts": alerts}}
    (rule,) = of_kind(render(values), "PrometheusRule").values()
    assert rule["spec"] == yaml.safe_load(alerts)


def test_a_changed_configuration_starts_the_pod_again():
    def annotations(values):
        (workload,) = of_kind(render(values), "StatefulSet").values()
        return workload["spec"]["template"]["metadata"]["annotations"]

    policy = {"server": {**LEAST["server"], "policy": "log another\n"}}
    assert annotations(LEAST) == annotations(LEAST) != annotations(policy)


def mount(folder, files, mode):
    """Puts files where a Secret is mounted, as kubelet does: links to files of a mode."""
    data = folder / "..data"
    data.mkdir()
    for path in files:
        (data / path.name).write_bytes(path.read_bytes())
        (data / path.name).chmod(mode)
        (folder / path.name).symlink_to(f"..data/{path.name}")


def certificate(folder):
    """What a Secret of type kubernetes.io/tls holds."""
    folder.mkdir()
    files = [folder / "tls.crt", folder / "tls.key"]
    passes(
        tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
        "-nodes", "-days", "2", "-subj", "/CN=kt.example", "-out", files[0], "-keyout", files[1],
    )
    return files


def shown(address):
    """The certificate that a listener shows; none if it speaks plain text."""
    host, port = address.split(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as stream:
        try:
            with context.wrap_socket(stream) as shaken:
                return ssl.DER_cert_to_PEM_cert(shaken.getpeercert(binary_form=True))
        except (ssl.SSLError, ConnectionResetError):
            return None


class Pod:
    """The folders of a pod, and what its first container leaves in them."""

    def __init__(self, folder, resources, name, secrets, tls=()):
        places = ["/etc/candor", "/etc/candor-tls", "/secrets/keys", "/run/candor"]
        places.append("/var/lib/candor")
        self.places = {place: folder / place.strip("/").replace("/", "-") for place in places}
        self.places["/var/lib/candor-anchor"] = folder / "anchor"
        for place in self.places.values():
            place.mkdir(parents=True)
        for key, text in of_kind(resources, "ConfigMap")[name]["data"].items():
            (self.places["/etc/candor"] / key).write_text(self.local(text))
        mount(self.places["/secrets/keys"], secrets, 0o440)
        pod = of_kind(resources, "StatefulSet")[name]["spec"]["template"]["spec"]
        if tls:
            # Not for everybody: a program refuses the key otherwise.
            mode = volumes(pod)["tls"]["secret"].get("defaultMode", 0o644)
            mounts = pod["containers"][0]["volumeMounts"]
            (place,) = [there["mountPath"] for there in mounts if there["name"] == "tls"]
            mount(self.places[place], tls, mode)
        (container,) = pod["initContainers"]
        shell, flags, script = container["command"]
        passes(shell, flags, self.local(script))
        (variable,) = pod["containers"][0]["env"]
        self.config = Path(self.local(variable["value"]))

    def local(self, text):
        """The text with folders and addresses of this machine."""
        for place, folder in sorted(self.places.items(), key=lambda pair: -len(pair[0])):
            text = re.sub(re.escape(place) + r"(?![-\w])", str(folder), text)
        return text.replace("0.0.0.0", network() + "7")


TLS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


@TLS
def test_the_servers_configuration_runs(tmp_path, programs, processes, tls):
    made = tmp_path / "made"
    passes(programs / "candor-server", "init", made, "--origin", "kt.example/1")
    settings = {"disk_reserve_mib": 64, "epoch_interval_ms": 200}
    server = {**LEAST["server"], "policy": (made / "policy.txt").read_text(), "settings": settings}
    tables = '[key]\nvrf = { kind = "file", path = "keys/vrf" }\n'
    access = {"anonymous": ["lookup", "metrics"], "issuers": [ISSUER]}
    server |= {"access": access, "tables": tables, "tlsSecret": "log-tls" if tls else ""}
    resources = render({"server": server})
    secrets = [made / "keys" / name for name in ["log-ed25519", "log-ml-dsa-44", "vrf"]]
    files = certificate(tmp_path / "tls") if tls else []
    pod = Pod(tmp_path / "pod", resources, "demo-server", secrets, files)
    config = pod.config
    read = tomllib.loads(config.read_text())
    assert read["key"]["vrf"]["kind"] == "file"
    assert read["access"] == {"anonymous": access["anonymous"], "issuer": [ISSUER]}
    # What README.md has an operator do in a maintenance.
    (made / "store").rename(pod.places["/var/lib/candor"] / "store")
    passes(programs / "candor-server", "check-config", "--config", config)
    command = [programs / "candor-server", "run", "--config", config]
    process = processes.start(*command, output=tmp_path / "server.log")
    ready = until_healthy(process, programs / "candor-server", "health", "--config", config)
    assert ready.startswith("ready")
    shows = files[0].read_text() if tls else None
    assert shown(read["http_listen"]) == shown(read["grpc_listen"]) == shows
    assert processes.stop() == [0]
    assert (pod.places["/var/lib/candor-anchor"] / "anchor").is_file()


@TLS
def test_the_witnesss_configuration_runs(tmp_path, programs, processes, tls):
    made = tmp_path / "made"
    log = tmp_path / "log"
    passes(programs / "candor-server", "init", log, "--origin", "kt.example/1")
    (key, *_) = re.findall(r"^log (\S+)", (log / "policy.txt").read_text(), re.M)
    passes(programs / "candor-witness", "init", made, "--name", "witness.example/w1")
    # Its last table is a log's, as in the file that `init` writes.
    text = WITNESS["config"] + f'[[log]]\nvkeys = ["{key}"]\n'
    witness = {**WITNESS, "config": text, "tlsSecret": "witness-tls" if tls else ""}
    resources = render({"server": {"enabled": False}, "witness": witness})
    files = certificate(tmp_path / "tls") if tls else []
    pod = Pod(tmp_path / "pod", resources, "demo-witness", (made / "keys").iterdir(), files)
    (made / "state/anchor").rename(pod.places["/var/lib/candor-anchor"] / "anchor")
    (made / "state").rename(pod.places["/var/lib/candor"] / "state")
    config = pod.config
    passes(programs / "candor-witness", "check-config", "--config", config)
    command = [programs / "candor-witness", "run", "--config", config]
    process = processes.start(*command, output=tmp_path / "witness.log")
    until_healthy(process, programs / "candor-witness", "health", "--config", config)
    read = tomllib.loads(config.read_text())
    shows = files[0].read_text() if tls else None
    assert shown(read["http"]) == shown(read["grpc"]) == shows
    assert processes.stop() == [0]
