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
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.client import Client, Crowd, Gone, message, stuffed
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
            (3, self.pause_worker), (2, self.pause_control), (3, self.pause_server), (1, self.pause_master),
            (2, self.reload))

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

    def pause_master(self):
        return self.pause(self.weir.process.pid)

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


# ---- descriptors ----

def limited(weir, limits):
    """The balancer is started under limits of the shell's ulimit."""
    script = weir.folder / "limited"
    script.write_text(f'#!/bin/sh\n{limits} || exit 71\nexec {weir.binary} "$@"\n')
    script.chmod(0o755)
    weir.binary = script
    return weir


def cpu(pid):
    """Seconds of processor time so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def open_until_refused(weir, most):
    """Sessions that were greeted, and what the first one beyond was told, to the end of its connection."""
    welcome = []
    for _ in range(most):
        client = Client(weir.port, banner=False)
        if client.line().startswith("220 "):
            welcome.append(client)
            continue
        refusal = client.sock.recv(1000)
        client.close()
        return welcome, refusal
    raise AssertionError(f"{most} sessions, and none was refused")


class Sampler:
    """The highest of many looks at a figure."""

    def __init__(self, look):
        self.look, self.most, self.done = look, 0, threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.done.wait(0.01):
            self.most = max(self.most, self.look())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def send_at_once(clients, ledger):
    """One message on each of these sessions, all at the same time."""
    def send(client, name):
        ended = False
        try:
            client.hello()
            client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\n")
            replies = [client.reply() for _ in range(3)]
            if replies[-1][0] == 354:
                ended = True
                client.send(stuffed(message(name)))
                replies.append(client.reply())
            ledger.told(name, next((reply for reply in replies if reply[0] >= 400), replies[-1]))
        except Gone as error:
            ledger.lost(name, ended, error)

    threads = []
    for number, client in enumerate(clients):
        ledger.offer(f"at-once-{number}")
        threads.append(threading.Thread(target=send, args=(client, f"at-once-{number}")))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_descriptors_run_out(fast_weir, sinks, ledger, say):
    weir, servers = limited(fast_weir, "ulimit -n 400"), sinks(3, "--slow", "end=300ms")
    weir.write(servers, workers=1, pool="max-connections 500; idle-timeout 1s;",
               listener="max-sessions 5000; max-sessions-per-client 5000;").start().seen_servers()
    before, (worker,) = levels(weir), weir.pids("worker")

    # All places are taken by sessions; one of them is in the middle of a message.
    half = weir.client().hello().envelope("a@client.example", "b@dest.example")
    assert half.say("DATA")[0] == 354
    half.send(b"X-Ledger-Id: half\r\n\r\nfirst half\r\n")
    ledger.offer("half")
    sessions, _ = open_until_refused(weir, 400)
    begun, used = time.monotonic(), cpu(worker)
    for _ in range(60):
        with Client(weir.port, banner=False) as client:
            assert client.reply()[0] == 421
            assert client.is_closed()
    time.sleep(1.5)
    share = (cpu(worker) - used) / (time.monotonic() - begun)
    refused = weir.listener("sessions_refused_total")
    assert refused >= 61
    half.send(b"second half\r\n.\r\n")
    reply = half.reply()
    ledger.told("half", reply)
    assert reply[0] == 250, reply
    half.say("QUIT")
    half.close()

    # And now all of them want a connection to a server, for which there are not enough descriptors.
    with Sampler(lambda: descriptors(worker)) as held:
        send_at_once(sessions, ledger)
    verdict = Verdict(ledger, [server.ledger for server in servers]).clean()
    assert not ledger.failures and not ledger.indefinite, ledger.failures[:3]
    metrics = weir.metrics()
    for name in ("connects_failed_total", "timeouts_total", "broken_total"):
        assert metrics.sum(f"mailweir_server_{name}") == 0, name
    assert not weir.lines("server-state"), weir.lines("server-state")

    # And afterwards all is as before.
    for client in sessions:
        client.close()
    at_rest_again(weir, before, "descriptors come back")
    again, _ = open_until_refused(weir, 400)
    assert len(again) >= len(sessions)
    for client in again:
        client.close()
    assert share < 0.3, share
    say(f"descriptors: of 400, {before['worker'][0]} at rest, {len(sessions)} sessions, {held.most} at most; {refused:.0f} "
        f"refused by 421, {share:.1%} of a processor meanwhile; {sum(verdict.copies.values())} messages, none lost")


def test_too_few_descriptors_are_refused_at_the_start(fast_weir, sinks):
    weir = limited(fast_weir, "ulimit -n 120").write(sinks(1))
    run = weir.command("run")
    assert run.returncode == 69
    assert "only 120 descriptors" in run.stderr, run.stderr


# ---- disks ----

@pytest.fixture
def small_disk(tmp_path):
    """small_disk("64k") is the path of a disk of that size."""
    made = []

    def mount(size):
        place = tmp_path / f"disk{len(made)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "mailweir-test", str(place)],
                              capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk of our own here: {done.stderr.strip()}")
        made.append(place)
        return place
    yield mount
    for place in made:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def dropped(weir):
    return weir.metrics().sum("mailweir_process_log_dropped_total")


def test_the_logs_disk_is_full(fast_weir, sinks, ledger, small_disk, say):
    weir, servers, disk = fast_weir, sinks(2), small_disk("64k")
    weir.log = disk / "weir.log"
    # Whole addresses make the lines long: the rings are to be full soon.
    weir.write(servers, workers=1, listener="log-addresses full; max-sessions-per-client 1000;")
    weir.start().seen_servers()
    with Crowd(weir.port, ledger, 8, per_session=1000) as crowd:
        wait_for(lambda: "the log can't be written" in weir.errors.read_text(), 60, "the full disk is said")
        full_at = crowd.count
        wait_for(lambda: dropped(weir) > 0, 120, "the rings are full")
        lost_at = crowd.count
        more(crowd, 200, "mail flows on")
        assert all(line.get("event") for line in weir.lines()), "no line is torn"
        before = disk.stat().st_size, len(weir.lines())
        subprocess.run(["mount", "-o", "remount,size=200m", str(disk)], check=True)
        wait_for(lambda: [line for line in weir.lines("alarm") if line.get("reason") == "log"], 30, "it is written again")
        more(crowd, 50, "mail flows on")
    Verdict(ledger, [server.ledger for server in servers]).clean()
    assert not ledger.failures and not ledger.indefinite
    weir.at_rest()
    weir.stop()
    # Each message of which there is no line is one that was counted as dropped.
    lines, lost = weir.lines(), weir_alarm(weir)
    transactions = sum(line["event"] == "transaction" for line in lines)
    attempts = sum(line["event"] == "attempt" for line in lines)
    assert "lines are lost" in weir.errors.read_text()
    assert lost > 0 and 2 * crowd.count - transactions - attempts == lost, (crowd.count, transactions, attempts, lost)
    say(f"log on a full disk: said after {full_at} messages, lines lost from {lost_at} on, {lost} of "
        f"{2 * crowd.count} in all, each counted; {before[1]} lines were whole; {crowd.count} messages, none lost")


def weir_alarm(weir):
    """How many lines the log says it has lost."""
    return sum(int(re.search(r"(\d+) lines are lost", line["text"]).group(1))
               for line in weir.lines("alarm") if line.get("reason") == "log")


def test_the_states_disk_is_full(weir, sinks, ledger, small_disk, say):
    servers, disk = sinks(2), small_disk("64k")
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    weir.write(servers, top=f"state {disk};").start().seen_servers()

    def alarms():
        return [line["text"] for line in weir.lines("alarm") if line.get("reason") == "state"]
    wait_for(alarms, 30, "it is said")
    with Crowd(weir.port, ledger, 4, each=25) as crowd:
        crowd.join()
    time.sleep(1)
    assert len(alarms()) == 1 and "No space left" in alarms()[0], alarms()
    assert sorted(path.name for path in disk.iterdir()) == ["filler"], "no half of a file is left"
    filler.unlink()
    wait_for(lambda: (disk / "offers").exists(), 30, "it is saved when there is room")
    assert "farm/s1" in (disk / "offers").read_text()
    wait_for(lambda: len(alarms()) == 2, why="that is said as well")
    Verdict(ledger, [server.ledger for server in servers]).clean()
    say(f"state on a full disk: {alarms()}; {crowd.count} messages meanwhile")


# ---- memory ----

BIG = 10 * 1024 * 1024


def virtual_size(pid):
    return int(re.search(r"VmSize:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()).group(1)) * 1024


def send_big(weir, ledger, name):
    ended = False
    try:
        with weir.client(60).hello() as client:
            client.envelope("a@client.example", "big@dest.example")
            if (reply := client.say("DATA"))[0] == 354:
                body = stuffed(message(name, BIG))
                client.send(body[:-3])
                ended = True
                client.send(body[-3:])
                reply = client.reply()
            ledger.told(name, reply)
            return reply[0] == 250
    except (Gone, OSError, AssertionError) as error:
        ledger.lost(name, ended, error)
        return False


def test_memory_runs_out(fast_weir, sinks, ledger, say):
    """Bodies pile up before servers that stand still just before their end, until a worker gets no more memory: it dies at once
    and cleanly, its clients know that nothing was accepted, the other worker's notice nothing."""
    weir, servers = fast_weir, sinks(2)
    weir.deaths_expected = True
    weir.write(servers, workers=2).start()
    room = virtual_size(weir.pids("worker")[0]) + 80 * 1024 * 1024
    weir.stop()
    limited(weir, f"ulimit -v {room // 1024}")
    weir.write(servers, workers=2, listener="replay-limit 16MiB; answer-within 1min;").start().seen_servers()
    for server in servers:
        server.turn("stall body:9000000,match=big@dest")
    done, few = set(), threading.Semaphore(2)

    def big(name):
        ledger.offer(name)
        if send_big(weir, ledger, name):
            done.add(name)
            return
        # It comes again as an MTA would: later, and not all at once.
        for _ in range(50):
            healthy.wait()
            with few:
                if send_big(weir, ledger, name):
                    done.add(name)
                    return
            time.sleep(0.1)

    def died():
        return [line for line in weir.lines("process") if line["state"] == "died"]
    healthy = threading.Event()
    names = [f"big-{number}" for number in range(24)]
    threads = [threading.Thread(target=big, args=(name,)) for name in names]
    with Crowd(weir.port, ledger, 6, per_session=20, patience=60, retry_after=0.1) as crowd:
        for thread in threads:
            thread.start()
        try:
            wait_for(died, 60, "a worker dies for want of memory")
            more(crowd, 100, "mail flows on")
        finally:
            for server in servers:
                server.kill()
                server.faults.write_text("")
                server.start()
            healthy.set()
            for thread in threads:
                thread.join(120 * SLOW)
        more(crowd, 100, "mail flows on")
    verdict = Verdict(ledger, [server.ledger for server in servers]).clean()
    assert done == set(names)
    weir.at_rest()
    assert "out of memory" in weir.errors.read_text()
    deaths = died()
    assert {(line["role"], line["signal"]) for line in deaths} == {("worker", signal.SIGABRT)}, deaths
    say(f"memory: {room // 2 ** 20} MiB a process, {len(names)} bodies of {BIG // 2 ** 20} MiB at once: {len(deaths)} "
        f"workers died; {crowd.count} small messages meanwhile, {len(ledger.failures)} attempts failed, "
        f"{len(verdict.doubled)} doubled with cause, none lost")
