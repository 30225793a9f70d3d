"""Must show 8: workers and control are killed under load; nothing is lost, what nobody can know is
counted, and no limit is exceeded."""
import contextlib
import http.client
import os
import random
import signal
import threading
import time

import pytest

from harness.client import Crowd
from harness.gate import Gate
from harness.ledger import Verdict
from harness.world import wait_for

LIMIT = 6
WORKER_KILLS, CONTROL_KILLS = 50, 20  # each time control and two or three workers


class Watch:
    """Looks at the places that the board says are taken, whenever there is a control to ask."""

    def __init__(self, weir):
        self.weir, self.done, self.most = weir, False, 0
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while not self.done:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                for server in self.weir.servers().values():
                    self.most = max(self.most, server["connections"])
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done = True
        self.thread.join()


@pytest.fixture
def gates():
    """gates(sinks): one before each."""
    made = []

    def make(sinks):
        made.extend(Gate(sink) for sink in sinks)
        return made
    yield make
    for gate in made:
        gate.close()


def pids(weir, role):
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        return weir.pids(role)
    return []


def kill_some(weir, crowd, rng, workers):
    """Control, which starts anew after a pause that grows, and meanwhile so many workers."""
    def both():
        found = pids(weir, "control"), pids(weir, "worker")
        return found if found[0] and len(found[1]) >= workers else None
    control, ready = wait_for(both, 60, f"control and {workers} workers to kill")
    os.kill(control[0], signal.SIGKILL)
    for pid in rng.sample(ready, workers):
        before = crowd.count
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: crowd.count > before, 60, "mail flowing on")


def test_show_8_workers_and_control_killed_under_load(fast_weir, sinks, gates, ledger):
    weir, rng = fast_weir, random.Random(8)
    weir.deaths_expected = True
    servers = sinks(3, "--slow", "end=2ms")
    before = gates(servers)
    # No checks: they would be a connection beyond the limit.
    weir.write(before, pool=f"max-connections {LIMIT};", check="check none;", workers=4).start()
    crowd = Crowd(weir.port, ledger, 20, per_session=30, patience=60).start()
    with Watch(weir) as watch:
        try:
            for i in range(CONTROL_KILLS):
                kill_some(weir, crowd, rng, 2 + i % 2)
            wait_for(lambda: pids(weir, "worker"), 60, "control's return")
            goal = crowd.count + 200
            wait_for(lambda: crowd.count >= goal, why="mail flows on")
        finally:
            crowd.stop()
        crowd.join()
    verdict = Verdict(ledger, [sink.ledger for sink in servers]).clean()
    weir.at_rest()

    # Control writes the log: what it had in hand when it was killed is written again by the next one.
    deaths = {line["pid"]: line for line in weir.lines("process", torn=CONTROL_KILLS)
              if line["state"] == "died"}
    roles = [line["role"] for line in deaths.values()]
    assert (roles.count("worker"), roles.count("control")) == (WORKER_KILLS, CONTROL_KILLS)
    assert weir.metrics().sum("mailweir_process_deaths_total") == WORKER_KILLS + CONTROL_KILLS

    # Lost connections are all that clients saw: not one reply that refused or deferred.
    assert all(failure.startswith("lost: ") for failure in ledger.failures), ledger.failures[:5]
    # Each copy that no client heard of was in the gap when its worker died, and is counted.
    extra = sum(verdict.copies.values()) - sum(ledger.accepted.values())
    ambiguous = weir.listener("ambiguous_total")
    assert ambiguous == sum(line["ambiguous"] for line in deaths.values()) + ledger.said_ambiguous
    assert extra <= ambiguous + weir.listener("accepted_unheard_total")
    assert ambiguous <= ledger.unheard + ledger.said_ambiguous

    assert LIMIT - 2 <= max(gate.most for gate in before) <= LIMIT, [gate.most for gate in before]
    assert watch.most <= LIMIT
    assert [sink.totals()["unasked"] for sink in servers] == [0, 0, 0]


def test_show_8_the_limit_is_exact_over_all_workers(fast_weir, sinks, ledger):
    # The server counts who comes beyond it; no checks, which have no limit.
    server, = sinks(1, "--max-sessions", str(LIMIT), "--slow", "end=2ms")
    fast_weir.write([server], pool=f"max-connections {LIMIT}; messages-per-connection 7;",
                    check="check none;", workers=4).start()
    with Crowd(fast_weir.port, ledger, 24, each=100, per_session=10, patience=60) as crowd:
        with Watch(fast_weir) as watch:
            crowd.join()
    assert ledger.failures == [] and crowd.refused() == []
    Verdict(ledger, [server.ledger]).clean()
    assert watch.most == LIMIT
    assert server.totals()["over_limit"] == 0
    assert fast_weir.metrics().sum("mailweir_server_too_many_total") == 0
    fast_weir.at_rest()


def test_show_8_a_worker_killed_in_the_gap_is_counted_as_ambiguous(weir, sinks, ledger):
    weir.deaths_expected = True
    server, = sinks(1, "--stall", "end-after-commit")
    weir.write([server], workers=1).start().seen_servers()
    ledger.offer("gap")
    client = weir.client().hello().envelope("a@client.example", "b@dest.example")
    assert client.say("DATA")[0] == 354
    client.send(b"X-Ledger-Id: gap\r\n\r\nbody\r\n.\r\n")
    wait_for(lambda: weir.listener("in_gap") == 1, why="it is in the gap")
    wait_for(server.lines, why="the server has it")
    os.kill(weir.pids("worker")[0], signal.SIGKILL)
    assert client.is_closed()
    client.close()
    wait_for(lambda: weir.listener("ambiguous_total") == 1 and weir.listener("in_gap") == 0)
    died, = wait_for(lambda: [line for line in weir.lines("process") if line["state"] == "died"])
    assert (died["role"], died["signal"], died["ambiguous"]) == ("worker", 9, 1)
