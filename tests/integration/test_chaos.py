"""Real processes in real trouble: killed, stopped, reset, dropped, without descriptors, disk or memory.

Each storm is bounded and keeps a ledger: what a client heard accepted, a server has, exactly; what a
server has twice, the client has sent again without having had a definite reply.  Each test says on a
line of its own what it has measured.

    MAILWEIR_TEST_SEED=N    the same choices again (each storm prints its seed)
    MAILWEIR_TEST_FULL=1    longer storms

Nothing here fills the disk that messages spill to: there is no spill yet, a message is kept in memory
up to `replay-limit` and passed on beyond.  Its place is beside the log's and the state's below.
"""
import contextlib
import http.client
import os
import random
import signal
import threading
import time

import pytest

from harness.client import Crowd
from harness.ledger import Verdict
from harness.world import SLOW, alive, children_of, wait_for
from pathlib import Path

FULL = bool(os.environ.get("MAILWEIR_TEST_FULL"))


@pytest.fixture
def say(capsys):
    """Prints a line past pytest's capture: figures are wanted of what passes, too."""
    def line(text):
        with capsys.disabled():
            print(f"\nmeasured: {text}", flush=True)
    return line


@pytest.fixture
def seed(say):
    number = int(os.environ.get("MAILWEIR_TEST_SEED", 0)) or random.SystemRandom().randrange(1, 2 ** 31)
    say(f"seed {number}")
    return number


# ---- what the kernel knows of a process ----

def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def role_of(pid):
    """"worker", "control" or None, as the process calls itself: nobody has to be asked for it."""
    with contextlib.suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return {"mailweir-ctl": "control"}.get(name, "worker" if name.startswith("mailweir-w") else None)
    return None


def processes(weir, role):
    return [pid for pid in children_of(weir.process.pid) if role_of(pid) == role and alive(pid)]


def at_rest_again(weir, before, why):
    """All gauges are zero, and every process has the descriptors that one of its role had at rest."""
    weir.at_rest()

    def all_back():
        now = levels(weir)
        return now if now == before else None
    try:
        return wait_for(all_back, 30, why)
    except AssertionError:
        raise AssertionError(f"{why}: descriptors {before} at first, {levels(weir)} now") from None


def levels(weir):
    """{role: the descriptors of each process of that role}, those that carry the mail only."""
    found = {"master": [descriptors(weir.process.pid)]}
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        for role in ("control", "worker"):
            found[role] = sorted(descriptors(pid) for pid in weir.pids(role))
    return found


# ---- the storm ----

class Storm:
    """Does one thing after another to the processes, for so many seconds; what it did is counted."""

    def __init__(self, weir, servers, rng, seconds, write):
        self.weir, self.servers, self.rng, self.write = weir, servers, rng, write
        self.end = time.monotonic() + seconds
        self.done, self.killed, self.later = {}, set(), []
        self.deeds = (
            (4, self.kill_worker), (2, self.kill_control), (3, self.kill_server),
            (3, self.pause_worker), (2, self.pause_control), (3, self.pause_server), (2, self.reload))

    def run(self):
        weights, deeds = zip(*self.deeds)
        while time.monotonic() < self.end:
            deed, = self.rng.choices(deeds, weights)
            if deed():
                self.done[deed.__name__] = self.done.get(deed.__name__, 0) + 1
            time.sleep(self.rng.uniform(0.05, 0.4))
            self.catch_up(time.monotonic())
        self.catch_up(float("inf"))
        return self

    def catch_up(self, now):
        """Ends the pauses that are over, and starts the servers that have been dead for long enough."""
        for item in [item for item in self.later if item[0] <= now]:
            self.later.remove(item)
            item[1]()

    def after(self, what):
        self.later.append((time.monotonic() + self.rng.uniform(0.1, 1.5), what))

    def one_of(self, role):
        found = processes(self.weir, role)
        return self.rng.choice(found) if found else None

    def send(self, pid, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False

    def kill(self, pid):
        if pid and self.send(pid, signal.SIGKILL):
            self.killed.add(pid)
            return True
        return False

    def kill_worker(self):
        return self.kill(self.one_of("worker"))

    def kill_control(self):
        return self.kill(self.one_of("control"))

    def pause(self, pid):
        if not pid or not self.send(pid, signal.SIGSTOP):
            return False
        self.after(lambda: self.send(pid, signal.SIGCONT))
        return True

    def pause_worker(self):
        return self.pause(self.one_of("worker"))

    def pause_control(self):
        return self.pause(self.one_of("control"))

    def living_server(self):
        living = [server for server in self.servers if server.process.poll() is None]
        return self.rng.choice(living) if living else None

    def pause_server(self):
        server = self.living_server()
        return bool(server) and self.pause(server.process.pid)

    def kill_server(self):
        server = self.living_server()
        if not server:
            return False
        server.kill()
        self.after(server.start)
        return True

    def reload(self):
        """Not waited for: the control that knows its answer may be the next to die."""
        self.write(self.rng.randint(1, 4), self.rng.sample(self.servers, self.rng.randint(2, len(self.servers))))
        return self.send(self.weir.process.pid, signal.SIGHUP)


def test_a_storm_of_kills_pauses_and_reloads(weir, sinks, ledger, seed, say):
    servers, rng = sinks(4, "--slow", "end=2ms"), random.Random(seed)
    weir.deaths_expected = True

    def write(workers, some):
        weir.write(some, workers=workers, drain="3s", pool="idle-timeout 1s; connect-timeout 1s; queue 5s;",
                   listener="answer-within 5s;", check="check smtp interval=500ms fast-interval=200ms timeout=2s;")
    write(2, servers)
    weir.start().seen_servers()
    before = at_rest_again(weir, levels(weir), "a first rest")
    crowd = Crowd(weir.port, ledger, 12, per_session=20, patience=60, pause=0.01, retry_after=0.1).start()
    storm = Storm(weir, servers, rng, 180 if FULL else 18, write)
    try:
        storm.run()
        write(2, servers)
        calm(weir)
        goal = crowd.count + 100
        wait_for(lambda: crowd.count >= goal, 60, "mail flows on")
    finally:
        storm.catch_up(float("inf"))
        crowd.stop()
    crowd.join()
    verdict = Verdict(ledger, [server.ledger for server in servers]).clean()
    at_rest_again(weir, before, "back at rest")

    # Who died was killed here, or did not beat for 10 s while it was stopped; nobody else.
    deaths = {line["pid"]: line for line in weir.lines("process", torn=storm.done.get("kill_control", 0) * 2)
              if line["state"] == "died"}
    strangers = [line for pid, line in deaths.items() if pid not in storm.killed]
    assert not strangers, strangers
    say(f"storm: {crowd.count} messages accepted, {len(storm.killed)} of ours killed, "
        f"{' '.join(f'{name} {count}' for name, count in sorted(storm.done.items()))}; "
        f"{len(ledger.failures)} attempts failed, {ledger.said_ambiguous} ambiguous, {ledger.unheard} unheard, "
        f"{len(verdict.doubled)} doubled with cause, none lost; descriptors {before}")


def calm(weir):
    """The last config is in force, and nobody of a generation before is left."""
    def in_force():
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError, AssertionError):
            if weir.reload()["good"]:
                return True
        time.sleep(0.5)
        return False
    wait_for(in_force, 90, "a reload that succeeds")

    def alone():
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            status = weir.status()
            return {one["generation"] for one in status["processes"] if one["role"] != "master"} == \
                {status["generation"]} and len(weir.pids("worker")) == 2
        return False
    wait_for(alone, 60, "the older generations have left")


def test_a_reload_under_load_changes_control_at_once(fast_weir, sinks, ledger, say):
    """Under load the log's rings are never empty: the control that leaves must not wait for that, or the
    next one watches no server meanwhile."""
    weir, servers = fast_weir, sinks(2)
    weir.write(servers, drain="60s").start().seen_servers()
    with Crowd(weir.port, ledger, 16, per_session=50) as crowd:
        old, = weir.pids("control")
        goal = crowd.count + 200
        wait_for(lambda: crowd.count >= goal, why="mail flows")
        begun = time.monotonic()
        assert weir.reload()["good"]
        wait_for(lambda: not alive(old), 20, "the control before has left")
        took = time.monotonic() - begun
        before = {server["name"]: server["checks"] for server in weir.servers().values()}
        wait_for(lambda: all(server["checks"] > before[server["name"]] for server in weir.servers().values()),
                 why="the next one checks the servers")
    Verdict(ledger, [server.ledger for server in servers]).clean()
    assert ledger.failures == [] and ledger.indefinite == {}
    say(f"control changed within {took:.2f} s of a reload at {crowd.count} messages")
