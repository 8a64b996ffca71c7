"""The units: systemd reads them, they are as closed as said, and they run what the programs do."""

import os
import re

import pytest
from conftest import DEPLOY, passes, run, tool

UNITS = sorted((DEPLOY / "systemd").glob("candor-*"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]

# The greatest exposure by `systemd-analyze security`, in tenths: what listens, and what does not.
LISTENING, OFFLINE = 13, 3


def place(unit, folder, change=lambda text: text):
    """A unit whose programs are there: only they are replaced."""
    text = re.sub(r"/usr/bin/candor-\w+", "/bin/true", change(unit.read_text()))
    (folder / unit.name).write_text(text)
    return folder / unit.name


def verify(*units):
    return run(tool("systemd-analyze"), "verify", "--man=no", *units)


def test_units_are_verified(tmp_path):
    assert len(SERVICES) == 4
    done = verify(*[place(unit, tmp_path) for unit in UNITS])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_is_misspelt_is_noticed(tmp_path):
    unit = place(SERVICES[0], tmp_path, lambda text: text.replace("ProtectHome=", "ProtectHouse="))
    assert "ProtectHouse" in verify(unit).stderr


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_services_are_closed(unit, tmp_path):
    listens = unit.stem in ("candor-server", "candor-witness")
    threshold = LISTENING if listens else OFFLINE
    security = ["security", "--no-pager", "--offline=true", f"--threshold={threshold}"]
    passes(tool("systemd-analyze"), *security, place(unit, tmp_path))


def commands():
    """Every command of ours that a unit runs, with its options."""
    for unit in SERVICES:
        text = unit.read_text().replace("\\\n", "")
        for line in re.findall(r"^ExecStart\w*=(.*)$", text, re.MULTILINE):
            for command in re.findall(r"/usr/bin/(candor-\w+) (\w+)(.*)", line):
                yield pytest.param(*command, id=" ".join(command[:2]))


@pytest.mark.parametrize(("program", "command", "rest"), list(commands()))
def test_programs_know_what_units_ask_of_them(program, command, rest, programs):
    printed = passes(programs / program, command, "--help")
    for option in re.findall(r"--[a-z-]+", rest):
        assert option in printed


def test_users_and_folders_are_made(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root makes users")
    for kind in ["sysusers", "tmpfiles"]:
        folder = tmp_path / f"usr/lib/{kind}.d"
        folder.mkdir(parents=True)
        (folder / "candor.conf").write_bytes((DEPLOY / f"systemd/candor.{kind}").read_bytes())
    (tmp_path / "etc").mkdir()
    passes(tool("systemd-sysusers"), f"--root={tmp_path}")
    passes(tool("systemd-tmpfiles"), f"--root={tmp_path}", "--create")
    users = (tmp_path / "etc/passwd").read_text().splitlines()
    users = {user.split(":")[0]: user.split(":") for user in users}
    for service in ["candor-server", "candor-witness"]:
        folder = tmp_path / "var/lib" / service
        assert users[service][5:] == [f"/var/lib/{service}", "/usr/sbin/nologin"]
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.stat().st_uid == int(users[service][2])
        text = (DEPLOY / f"systemd/{service}.service").read_text()
        assert f"\nUser={service}\n" in text
