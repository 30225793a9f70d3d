"""Must show 1: the demo proves on its own that every message arrived once, evenly spread."""
import re
import subprocess

import pytest

from harness.world import environment, free_port, program, sanitizer_report


def demo(kind, *arguments):
    run = subprocess.run([program(kind), "demo", "--port", str(free_port()), "--admin-port", str(free_port()),
                          "--log", "/dev/null", *arguments], capture_output=True, text=True, timeout=240,
                         stdin=subprocess.DEVNULL, env=environment())
    assert not sanitizer_report(run.stderr), run.stderr
    return run


def table(output):
    """The last table: {server: accepted}, and the sums below it."""
    rows = re.findall(r"^(sink\d) +(\d+) ", output, re.M)
    sums = re.search(r"^sent (\d+), accepted (\d+), lost (\d+), doubled (\d+)$", output, re.M)
    assert sums, output
    return {name: int(count) for name, count in rows[-3:]}, tuple(int(word) for word in sums.groups())


@pytest.mark.parametrize("kind", ["careful", "fast"])
def test_show_1_three_hundred_messages_are_spread_evenly(kind):
    run = demo(kind, "--messages", "300")
    assert run.returncode == 0, run.stdout + run.stderr
    servers, (sent, accepted, lost, doubled) = table(run.stdout)
    assert (sent, accepted, lost, doubled) == (300, 300, 0, 0)
    assert len(servers) == 3 and all(abs(count - 100) <= 3 for count in servers.values()), servers


@pytest.mark.parametrize("kind", ["careful", "fast"])
def test_show_1_a_killed_server_loses_nothing(kind):
    run = demo(kind, "--messages", "3000", "--kill-one")
    assert run.returncode == 0, run.stdout + run.stderr
    servers, (sent, accepted, lost, _) = table(run.stdout)
    assert (sent, accepted, lost) == (3000, 3000, 0)
    assert "killed" in run.stdout
    assert 0 < servers["sink1"] < min(servers["sink2"], servers["sink3"]), servers


def test_show_1_a_taken_port_is_named():
    import socket
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        run = subprocess.run([program(), "demo", "--port", str(port), "--admin-port", str(free_port())],
                             capture_output=True, text=True, timeout=30, env=environment())
    assert run.returncode == 69
    assert f"127.0.0.1:{port}" in run.stderr and "--port" in run.stderr
