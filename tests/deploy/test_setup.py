"""What the compose file runs first, with the programs that it runs then, as processes here.

Each program has an address on loopback, in the place of a name on the compose network.
"""

import hashlib
import os
import re
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from conftest import (
    DEPLOY,
    PATIENCE_S,
    ROOT,
    network,
    passes,
    run,
    tool,
    until,
    until_healthy,
)

SETUP = DEPLOY / "compose/setup.sh"
WITNESSES = ["witness-1", "witness-2", "witness-3"]

# A `sync` that does nothing, but ends its caller when it is called the n-th time, as a power
# failure would.
SYNC = """#!/bin/sh
echo >> "$SYNCS"
[ "$(wc -l < "$SYNCS")" != "$SYNC_FAILS" ]
"""


ORIGIN = "kt.example/1"


def checkpoint(number):
    """The newest checkpoint of the log that a witness shows, with its own signatures."""
    path = hashlib.sha256(ORIGIN.encode()).hexdigest()
    url = f"http://{network()}{number}:7380/{path}/checkpoint"
    try:
        with urlopen(url, timeout=PATIENCE_S) as page:
            return page.read().decode()
    except HTTPError as error:
        # A witness that has not cosigned yet has none.
        if error.code != 404:
            raise
        return ""


class System:
    """The volumes of a compose project, and what runs on them."""

    def __init__(self, folder, programs):
        self.root = folder / "candor"
        for name in ["server", "client", *WITNESSES]:
            (self.root / name).mkdir(parents=True)
        self.anchor = folder / "anchor"
        self.anchor.mkdir()
        self.programs = programs
        shims = folder / "shims"
        shims.mkdir()
        (shims / "sync").write_text(SYNC)
        (shims / "sync").chmod(0o755)
        self.environment = {
            "PATH": f"{shims}:{programs}:{os.environ['PATH']}",
            "SYNCS": str(folder / "syncs"),
            "CANDOR_ORIGIN": ORIGIN,
            "SETUP_ROOT": str(self.root),
            "SETUP_ANCHOR": str(self.anchor / "anchor"),
            "SETUP_SERVER_HOST": network() + "9",
            "SETUP_CLIENT_HOST": network() + "9",
            "SETUP_WITNESS_HOST": network(),
        }

    def setup(self, **environment):
        (self.root.parent / "syncs").write_text("")
        return run("sh", SETUP, env=self.environment | environment)

    def move(self, name):
        self.root = self.root.rename(self.root.parent / name)

    def make(self):
        done = self.setup()
        assert done.returncode == 0, done.stderr
        return done.stdout

    def home(self, name):
        return self.root / name / "home"

    def files(self):
        """Every file with a hash of what is in it."""
        files = [path for path in self.root.rglob("*") if path.is_file()]
        return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    def log_keys(self):
        policy = (self.home("server") / "policy.txt").read_text()
        return re.findall(r"^log (\S+)$", policy, re.MULTILINE)


@pytest.fixture
def system(tmp_path, programs):
    return System(tmp_path, programs)


def command(system, name, what):
    """The command line of a service of the compose file."""
    program = "candor-server" if name == "server" else "candor-witness"
    config = system.home(name) / ("server.toml" if name == "server" else "witness.toml")
    return system.programs / program, what, "--config", config


def test_what_is_set_up_runs_and_serves(system, processes):
    assert "with 3 witnesses" in system.make()
    # Each volume is mounted at another place by the service that it is for.
    system.move("mounted")
    for name in [*WITNESSES, "server"]:
        output = system.root.parent / f"{name}.log"
        processes.start(*command(system, name, "run"), output=output)
    for name, process in zip([*WITNESSES, "server"], processes.running, strict=True):
        until_healthy(process, *command(system, name, "health"))

    client = [system.programs / "candor", "--profile", system.root / "client/profile"]
    assert "witnesses" in passes(*client, "head")
    for number, name in enumerate(WITNESSES, 1):
        both = [f"\n\u2014 {name}.{ORIGIN}{suffix} " for suffix in ["", "/map"]]
        until(lambda number=number, both=both: all(line in checkpoint(number) for line in both))
    key = system.root / "phone.pub"
    key.write_bytes(os.urandom(32))
    device = ["--device-name", "phone", "--key", f"sign=@{key}"]
    assert "version 0 is visible" in passes(*client, "register", "alice@example.org", *device)
    assert "version 0" in passes(*client, "lookup", "alice@example.org")
    assert processes.stop() == [0, 0, 0, 0]
    assert (system.anchor / "anchor").is_file(), "the anchor is on its own volume"
    refused = run(*command(system, "server", "health"))
    assert refused.returncode == 1
    assert "does not answer" in refused.stderr

    system.move("candor")
    before = system.files()
    system.make()
    assert system.files() == before, "a second set-up changes nothing"


def test_files_are_for_their_owner_only(system):
    system.make()
    for path in system.files():
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_power_failure_at_any_time_is_made_good(tmp_path, programs):
    whole = System(tmp_path / "whole", programs)
    whole.make()
    system = System(tmp_path / "cut", programs)
    folders = ["server", "client", *WITNESSES]
    for _ in folders:
        # Before the next folder has its place, and just after.
        for step in ["1", "2"]:
            assert system.setup(SYNC_FAILS=step).returncode != 0
    system.make()
    assert not list(system.root.glob("*/*.new"))
    keys = system.log_keys()
    assert len(keys) == 2
    for name in WITNESSES:
        config = (system.home(name) / "witness.toml").read_text()
        assert all(f'"{key}"' in config for key in keys), name
    names = {path.relative_to(system.root) for path in system.files()}
    assert names == {path.relative_to(whole.root) for path in whole.files()}


def test_a_lost_log_is_not_replaced_by_another(system):
    system.make()
    before = system.files()
    lost = system.root.parent / "lost"
    system.home("server").rename(lost)
    done = system.setup()
    assert done.returncode == 1
    assert "put the server's volume back" in done.stderr
    assert not list((system.root / "server").iterdir()), "no second log is made"
    lost.rename(system.home("server"))
    system.make()
    assert system.files() == before


def test_another_log_does_not_get_the_witnesses_of_this_one(tmp_path, programs):
    systems = [System(tmp_path / name, programs) for name in ["one", "another"]]
    for system in systems:
        system.make()
    one, another = systems
    one.home("server").rename(tmp_path / "away")
    another.home("server").rename(one.home("server"))
    done = one.setup()
    assert done.returncode == 1
    assert "witness-1 is another log's" in done.stderr


def test_a_log_has_a_name(system):
    del system.environment["CANDOR_ORIGIN"]
    done = system.setup()
    assert done.returncode != 0
    assert "the name of the log" in done.stderr
    assert not system.files()


def allowed(service):
    """The system calls that a unit allows."""
    calls = set()
    text = (DEPLOY / f"systemd/{service}.service").read_text()
    for line in re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE):
        named = set()
        for item in line.removeprefix("~").split():
            named |= members(item) if item.startswith("@") else {item}
        calls = calls - named if line.startswith("~") else calls | named
    return calls


def members(group):
    """The system calls of a group, and of those that it contains."""
    lines = passes(tool("systemd-analyze"), "--no-pager", "syscall-filter", group).splitlines()
    items = [line.strip() for line in lines[1:] if line.startswith(" ")]
    found = set()
    for item in items:
        if item.startswith("@"):
            found |= members(item)
        elif not item.startswith("#"):
            found.add(item)
    return found


def test_units_allow_what_the_programs_call(system, processes, tmp_path):
    strace = tool("strace")
    system.make()
    for name in ["witness-1", "witness-2", "server"]:
        trace = [strace, "-D", "-f", "-qq", "-c", "-U", "name", "-o", tmp_path / f"{name}.calls"]
        output = tmp_path / f"{name}.log"
        server = processes.start(*trace, *command(system, name, "run"), output=output)
    until_healthy(server, *command(system, "server", "health"))
    client = [system.programs / "candor", "--profile", system.root / "client/profile"]
    sample = ROOT / "tests/data/debian-keyring-sample.pgp"
    passes(*client, "import", "openpgp", sample, "--at", "1671840000")
    processes.stop()
    # What traces ends after what is traced.
    until(lambda: "total" in (tmp_path / "server.calls").read_text())
    for name, service in [("server", "candor-server"), ("witness-1", "candor-witness")]:
        calls = (tmp_path / f"{name}.calls").read_text().split()
        called = {call for call in calls if re.fullmatch(r"[a-z_]\w*", call)} - {"syscall", "total"}
        assert {"openat", "futex", "fsync", "accept4"} <= called
        assert called <= allowed(service), f"{service}: {called - allowed(service)}"
