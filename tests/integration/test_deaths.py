"""Must show 8: workers and control are killed under load; nothing is lost, what nobody can know is
counted, and no limit is exceeded."""
import contextlib
import http.client
import os
import signal
import threading
import time

from harness.client import Crowd
from harness.ledger import Verdict
from harness.world import wait_for

LIMIT = 6
WORKER_KILLS, CONTROL_KILLS = 50, 20


class Watch:
    """Looks at the servers' connections all the time."""

    def __init__(self, weir):
        self.weir, self.most, self.looks, self.done = weir, 0, 0, False
        self.thread = threading.Thread(target=self._look)

    def _look(self):
        while not self.done:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                for server in self.weir.servers().values():
                    self.most = max(self.most, server["connections"])
                self.looks += 1
            time.sleep(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done = True
        self.thread.join()


def pids(weir, role):
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        return weir.pids(role)
    return []


def kill_one(weir, role, at_least):
    """One of the processes of this role, when so many are there."""
    ready = wait_for(lambda: (lambda now: now if len(now) >= at_least else None)(pids(weir, role)), 40,
                     f"a {role} to kill")
    os.kill(ready[0], signal.SIGKILL)
    wait_for(lambda: ready[0] not in pids(weir, role) and pids(weir, "control"), 40, "its burial")


def test_show_8_workers_and_control_killed_under_load(fast_weir, sinks, ledger):
    weir = fast_weir
    weir.deaths_expected = True
    # The servers themselves count who comes beyond the limit; no checks, which have no limit.
    servers = sinks(3, "--max-sessions", str(LIMIT), "--slow", "end=2ms")
    weir.write(servers, pool=f"max-connections {LIMIT};", check="check none;", workers=3).start()
    crowd = Crowd(weir.port, ledger, 20, per_session=30, patience=60).start()
    with Watch(weir) as watch:
        try:
            for i in range(WORKER_KILLS):
                kill_one(weir, "worker", 1)
                if i < CONTROL_KILLS:
                    kill_one(weir, "control", 1)
            goal = crowd.count + 200
            wait_for(lambda: crowd.count >= goal, why="mail flows on")
        finally:
            crowd.stop()
        crowd.join()
    verdict = Verdict(ledger, [sink.ledger for sink in servers]).clean()
    weir.at_rest()

    deaths = [line for line in weir.lines("process") if line["state"] == "died"]
    assert sum(line["role"] == "worker" for line in deaths) == WORKER_KILLS
    assert sum(line["role"] == "control" for line in deaths) == CONTROL_KILLS
    assert weir.metrics().sum("mailweir_process_deaths_total") == WORKER_KILLS + CONTROL_KILLS

    # Lost connections are all that clients saw: not one reply that refused or deferred.
    assert all(failure.startswith("lost: ") for failure in ledger.failures), ledger.failures[:5]
    # Each copy that no client heard of was in the gap when its worker died, and is counted.
    extra = sum(verdict.copies.values()) - sum(ledger.accepted.values())
    ambiguous = weir.listener("ambiguous_total")
    assert ambiguous == sum(line["ambiguous"] for line in deaths) + ledger.said_ambiguous
    assert extra <= ambiguous + weir.listener("accepted_unheard_total")
    assert ambiguous <= ledger.unheard + ledger.said_ambiguous

    assert watch.looks > 20 and watch.most <= LIMIT, watch.most
    assert [sink.totals()["over_limit"] for sink in servers] == [0, 0, 0]
    assert [sink.totals()["unasked"] for sink in servers] == [0, 0, 0]


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
