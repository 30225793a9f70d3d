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
from pathlib import Path

import pytest

from harness.client import Crowd
from harness.ledger import Verdict
from harness.netns import WEIR_FOR_CLIENTS, Network, server_address
from harness.sink import Sink
from harness.world import SLOW, alive, children_of, wait_for

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
    """All gauges are zero, and every process has the descriptors that one of its role had at rest; control
    has one more while it is asked."""
    weir.at_rest()

    def all_back():
        now = levels(weir)
        return now if all(now.get(role) == before[role] for role in ("master", "worker")) \
            and len(now["control"]) == 1 and abs(now["control"][0] - before["control"][0]) <= 1 else None
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


# ---- the network ----

SERVERS = 3
# Of the conversation with a server, so that a silent one is left soon; and with a client.
SHORT = ("connect-timeout 1s; greeting-timeout 2s; mail-timeout 2s; rcpt-timeout 2s; data-timeout 2s; "
         "idle-timeout 2s; queue 5s; outliers eject-for=1s;")
SHORT_LISTENER = "answer-within 8s; command-timeout 5s; body-timeout 5s;"


@pytest.fixture
def network():
    try:
        made = Network(SERVERS)
    except OSError as error:
        pytest.skip(f"no network namespaces of our own here: {error}")
    yield made
    made.close()


@pytest.fixture
def far(network, tmp_path, weir):
    """Servers on addresses of their own in one namespace, the balancer in the next, the test with it."""
    sinks = []
    with network.inside("weir"):
        try:
            with network.inside("servers"):
                for number in range(1, SERVERS + 1):
                    sinks.append(Sink(tmp_path, f"s{number}", "--slow", "end=2ms"))
                    sinks[-1].address, sinks[-1].port = server_address(number), 2500 + number
                    sinks[-1].start()
            weir.write(sinks, bind=WEIR_FOR_CLIENTS, relay="relay-from 10.77.1.0/24;", pool=SHORT,
                       listener=SHORT_LISTENER, check="check smtp interval=500ms fast-interval=300ms timeout=1s;")
            weir.start().seen_servers()
            yield sinks
            weir.stop()
        finally:
            for sink in sinks:
                sink.stop()


def far_crowd(network, weir, ledger, patience=60):
    """Clients beyond a network; one that hears nothing gives up late, so that each wait of ours ends first."""
    crowd = Crowd((WEIR_FOR_CLIENTS, weir.port), ledger, 10, per_session=20, patience=patience, pause=0.005,
                  retry_after=0.1)
    with network.inside("clients"):
        return crowd.start()


class Rules:
    """What is in force while it goes on: rules at a place, for so long; then none."""

    def __init__(self, network, place, *rules):
        self.network, self.place, self.rules, self.packets = network, place, rules, 0

    def __enter__(self):
        self.network.rules(self.place, *self.rules)
        return self

    def __exit__(self, *_):
        self.packets = self.network.dropped(self.place)
        self.network.rules(self.place)


def more(crowd, count, why, within=60):
    goal = crowd.count + count
    wait_for(lambda: crowd.count >= goal, within, why)


def finished(weir, crowd, ledger, sinks):
    """Mail flows, then all is over: the ledger is clean, nothing hangs, everybody is up again."""
    wait_for(lambda: all(server["state"] == "up" for server in weir.servers().values()), 60, "all servers up")
    more(crowd, 50, "mail flows on")
    crowd.stop()
    crowd.join()
    verdict = Verdict(ledger, [sink.ledger for sink in sinks]).clean()
    weir.at_rest()
    return (f"{crowd.count} messages accepted, {len(ledger.failures)} attempts failed, {ledger.said_ambiguous} "
            f"ambiguous, {ledger.unheard} unheard, {len(verdict.doubled)} doubled with cause, none lost")


def test_servers_that_are_reset(weir, network, far, ledger, say):
    """Every packet to one server after the other is answered by a reset, in the middle of mail."""
    crowd, packets = far_crowd(network, weir, ledger), 0
    for number in range(1, SERVERS + 1):
        more(crowd, 50, "mail flows")
        with Rules(network, "servers", f"ip daddr {server_address(number)} counter reject with tcp reset") as rules:
            wait_for(lambda: weir.state(f"s{number}") in ("down", "ejected"), why="it is found out")
            more(crowd, 50, "mail flows elsewhere")
        packets += rules.packets
    assert packets > 0
    say(f"servers reset: {packets} packets reset; {finished(weir, crowd, ledger, far)}")


def test_servers_that_are_dropped(weir, network, far, ledger, say):
    """Every packet to a server disappears: nothing tells but our own time-outs."""
    crowd, packets, found = far_crowd(network, weir, ledger), 0, []
    for number in range(1, SERVERS + 1):
        more(crowd, 50, "mail flows")
        begun = time.monotonic()
        with Rules(network, "servers", f"ip daddr {server_address(number)} counter drop") as rules:
            wait_for(lambda: weir.state(f"s{number}") in ("down", "ejected"), 30, "it is found out")
            found.append(time.monotonic() - begun)
            # What had not ended there goes on elsewhere within the time-outs above.
            more(crowd, 50, "mail flows elsewhere")
        packets += rules.packets
    assert packets > 0
    figures = finished(weir, crowd, ledger, far)
    # MAIL and RCPT of those who were on their way there: answered in time, by whomever.
    slowest = max(line.get("t_envelope", 0) for line in weir.lines("transaction")) / 1000
    assert slowest < 8 + 2 * SLOW, slowest
    say(f"servers dropped: found out within {max(found):.1f} s, the slowest envelope took {slowest:.1f} s, "
        f"{packets} packets dropped; {figures}")


@pytest.mark.parametrize("what", ["reject with tcp reset", "drop"])
def test_clients_that_are_cut_off(weir, network, far, ledger, say, what):
    """Between the clients and us: sessions whose client is gone end by our time-outs."""
    crowd, packets = far_crowd(network, weir, ledger, patience=10), 0
    for direction in ("weir", "clients"):
        more(crowd, 100, "mail flows")
        port = f"tcp {'dport' if direction == 'weir' else 'sport'} {weir.port}"
        with Rules(network, direction, f"{port} counter {what}") as rules:
            time.sleep(1.5)
        packets += rules.packets
    assert packets > 0
    say(f"clients, {what}: {packets} packets; {finished(weir, crowd, ledger, far)}")
