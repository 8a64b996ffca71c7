"""The container file: what its linter says, and what it names is there."""

import re
import tomllib

from conftest import DEPLOY, ROOT, passes, tool

FILE = DEPLOY / "container/Containerfile"
TEXT = FILE.read_text().replace("\\\n", "")


def stages():
    """The text of each stage by its name."""
    parts = re.split(r"^FROM \S+ AS (\w+)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_linter_finds_nothing():
    passes(tool("hadolint"), "--no-color", FILE)


def test_bases_have_tags_and_claim_no_digest():
    images = dict(re.findall(r"^ARG (\w+_IMAGE)=(\S+)$", TEXT, re.MULTILINE))
    assert set(images) == {"RUST_IMAGE", "BASE_IMAGE", "SETUP_IMAGE"}
    for image in images.values():
        _, tag = image.rsplit(":", 1)
        assert tag != "latest"
        assert "@" not in image
    for base in re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE):
        assert base == "base" or base.strip("${}") in images


def test_nothing_runs_as_root():
    found = stages()
    assert {"server", "witness", "cli", "setup"} < set(found)
    for name in ["base", "setup"]:
        assert re.findall(r"^USER (\S+)$", found[name], re.MULTILINE) == ["65532:65532"]
    for name in ["server", "witness", "cli"]:
        assert not re.search(r"^(USER|RUN)", found[name], re.MULTILINE)


def test_the_build_gets_every_crate_and_the_compiler_it_needs():
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]
    ignore = (FILE.parent / "Containerfile.dockerignore").read_text().splitlines()
    for member in manifest["members"]:
        assert f"!{member}" in ignore
    for path in re.findall(r"^COPY --chmod=0555 (\S+)", TEXT, re.MULTILINE):
        assert f"!{path}" in ignore
        assert (ROOT / path).is_file()
    version = re.search(r"^ARG RUST_VERSION=(\d+\.\d+)\.", TEXT, re.MULTILINE)[1]
    assert version == manifest["package"]["rust-version"]
    assert f"ARG VERSION={manifest['package']['version']}" in TEXT


def test_health_checks_are_commands(programs):
    for name, program in [("server", "candor-server"), ("witness", "candor-witness")]:
        command = f'["/usr/bin/{program}", "health"]'
        assert command in stages()[name]
        variable = re.search(r"^ENV (CANDOR_\w+_CONFIG)=", stages()[name], re.MULTILINE)[1]
        assert variable in passes(programs / program, "health", "--help")
