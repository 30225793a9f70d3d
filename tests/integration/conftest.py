"""Fixtures: what a test asks for by name is started for it and ended after it, whatever happens."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.balancer import Balancer  # noqa: E402
from harness.ledger import Ledger  # noqa: E402
from harness.postfix import Postfix  # noqa: E402
from harness.sink import Sink  # noqa: E402
from harness.world import program  # noqa: E402


@pytest.fixture
def sinks(tmp_path):
    """sinks(3, "--no-chunking") starts three of them: s1, s2, s3."""
    started = []

    def start(count, *options, **more):
        for _ in range(count):
            sink = Sink(tmp_path, f"s{len(started) + 1}", *options, **more)
            started.append(sink)
            sink.start()
        return started[-count:]
    yield start
    for sink in started:
        sink.stop()


@pytest.fixture
def weir(tmp_path):
    """A balancer to be configured and started, the build with sanitizers if there is one."""
    yield from _balancer(tmp_path, program("careful"))


@pytest.fixture
def fast_weir(tmp_path):
    """The same of the build for users, where the load is what matters."""
    yield from _balancer(tmp_path, program("fast"))


def _balancer(folder, binary):
    balancer = Balancer(folder, binary)
    try:
        yield balancer
        if balancer.running():
            balancer.stop()
    finally:
        balancer.kill()


@pytest.fixture
def ledger():
    return Ledger()


@pytest.fixture(scope="session")
def postfixes():
    """Three real Postfix that trust us."""
    made = []
    try:
        for name in ("pf1", "pf2", "pf3"):
            made.append(Postfix(name))
            made[-1].start()
        yield made
    finally:
        for postfix in made:
            postfix.stop()


@pytest.fixture
def postfix(postfixes):
    """Three of them, their mailboxes empty."""
    for one in postfixes:
        one.quiet().empty()
    return postfixes
