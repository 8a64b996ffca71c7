"""What the tests of deploy/ share: where things are, and how programs are run."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"

# How long anything may take to answer or end before it counts as failed.
PATIENCE_S = 60


def run(*arguments, **options):
    """Runs a program to its end; its output is in the result, whatever it was."""
    arguments = [str(argument) for argument in arguments]
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options
    )


def passes(*arguments, **options):
    """Runs a program that has to succeed, and returns what it printed."""
    done = run(*arguments, **options)
    assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def tool(name):
    """A program of the environment that these tests run in, or of the machine."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="session")
def programs():
    """The folder of our programs, which cargo has built."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    for name in ["candor-server", "candor-witness", "candor"]:
        if not (folder / name).is_file():
            pytest.skip(f"{name} is not built: run `make build` first")
    return folder


def network():
    """The first three numbers of addresses on loopback that no other run of the tests uses."""
    number = os.getpid()
    return f"127.{100 + number // 250 % 100}.{number % 250}."


class Processes:
    """Programs that run until the test is over."""

    def __init__(self):
        self.running = []

    def start(self, *arguments, output):
        """Starts a program that writes to the file `output`."""
        with open(output, "w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [str(argument) for argument in arguments],
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )
        process.output = output
        self.running.append(process)
        return process

    def stop(self):
        """Ends all of them in order, and returns their exit codes."""
        for process in self.running:
            process.terminate()
        codes = [process.wait(timeout=PATIENCE_S) for process in self.running]
        self.running = []
        return codes


@pytest.fixture
def processes():
    """Programs that are killed if the test has not stopped them."""
    started = Processes()
    yield started
    for process in started.running:
        process.kill()
        process.wait()


def until(condition, told=lambda: ""):
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.1)


def until_healthy(process, *command):
    """Waits until the health check of a container would succeed, and returns what it says."""
    checks = []

    def is_healthy():
        checks.append(run(*command))
        if process.poll() is not None:
            pytest.fail(f"it ended with {process.returncode}: {process.output.read_text()}")
        return checks[-1].returncode == 0

    until(is_healthy, lambda: checks[-1].stderr)
    return checks[-1].stdout
