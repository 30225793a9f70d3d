"""Master, workers and control: start, stop, reload, death, on real processes."""
import contextlib
import http.client
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SANITIZERS = {"UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}


def binary():
    if "MAILWEIR_BINARY" in os.environ:
        return Path(os.environ["MAILWEIR_BINARY"])
    for folder in ("build-test", "build"):
        if (ROOT / folder / "mailweir").exists():
            return ROOT / folder / "mailweir"
    pytest.fail("mailweir is not built")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(what, within=10.0):
    """The first true value of what(); fails when there is none in time."""
    end = time.monotonic() + within
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < end, f"not within {within} s"
        time.sleep(0.02)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self.path))


class Weir:
    """One mailweir with its config, log and admin socket in a folder of its own."""

    def __init__(self, folder, program=None):
        self.folder = folder
        self.program = program or binary()
        self.config = folder / "weir.conf"
        self.log = folder / "log"
        self.admin = folder / "admin.sock"
        self.stderr = folder / "stderr"
        self.port = free_port()
        self.process = None

    def write(self, workers=2, drain="20s", servers=("s1", "s2"), ports=None, log=None, extra="",
              pools=""):
        binds = " ".join(f"127.0.0.1:{port}" for port in ports or [self.port])
        lines = [f"server {name} 127.0.0.1:{2 + i};" for i, name in enumerate(servers)]
        self.config.write_text(
            "hostname weir.test.example;\n"
            f"workers {workers};\n"
            f"drain-timeout {drain};\n"
            f"log {log or self.log} format=json;\n"
            f"admin {{ bind unix:{self.admin}; }}\n"
            f"listener in {{ bind {binds}; relay-from 127.0.0.0/8; send-to farm; }}\n"
            f"pool farm {{ pass-client none; check none; {' '.join(lines)} }}\n{pools}{extra}\n")

    def start(self):
        self.process = subprocess.Popen(
            [str(self.program), "run", "-c", str(self.config)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=self.stderr.open("wb"),
            env={**os.environ, **SANITIZERS})
        wait_for(self.serves)
        return self

    def serves(self):
        assert self.process.poll() is None, self.stderr.read_text()
        try:
            return self.status()["generation"] >= 1
        except OSError:
            return False

    def ask(self, method, path, tries=3):
        """A reload may replace control while it answers."""
        try:
            return self.ask_once(method, path)
        except (ConnectionResetError, BrokenPipeError, http.client.HTTPException):
            if tries == 1:
                raise
        return self.ask(method, path, tries - 1)

    def ask_once(self, method, path):
        connection = UnixConnection(self.admin)
        with contextlib.closing(connection):
            connection.request(method, path)
            return connection.getresponse().read()

    def status(self):
        return json.loads(self.ask("GET", "/api/v1/status"))

    def pids(self, role, generation=None):
        return {p["pid"] for p in self.status()["processes"] if p["role"] == role
                and (generation is None or p["generation"] == generation)
                and p["ready"] and p["alive"]}

    def answer(self):
        return self.status()["reload"]

    def reload(self, force=None, within=40.0):
        """SIGHUP, or through admin when `force` is said; returns the answer."""
        before = self.answer()["number"]
        if force is None:
            self.process.send_signal(signal.SIGHUP)
        else:
            self.ask("POST", "/api/v1/reload" + ("?force=1" if force else ""))

        def answered():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = self.answer()
                return answer if answer["number"] != before else None
        return wait_for(answered, within)

    def connect(self, port=None):
        """A session: its socket as a file, the banner read."""
        sock = socket.create_connection(("127.0.0.1", port or self.port), timeout=10)
        session = sock.makefile("rwb", buffering=0)
        sock.close()
        assert session.readline().startswith(b"220 ")
        return session

    def lines(self, event=None):
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if event in (None, line["event"])]

    def stop(self, within=20.0):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def errors(self):
        return self.stderr.read_text()


def say(session, line):
    session.write(line + b"\r\n")
    return session.readline()


def children_of(pid):
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def weir(tmp_path):
    made = Weir(tmp_path)
    made.write()
    yield made
    if made.process:
        children = children_of(made.process.pid)
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        errors = made.errors()
        assert "Sanitizer" not in errors and "runtime error" not in errors, errors


# ---- start and stop ----

def test_it_starts_and_stops(weir):
    weir.start()
    assert len(weir.pids("worker")) == 2
    assert len(weir.pids("control")) == 1
    say(weir.connect(), b"QUIT")
    assert weir.stop() == 0
    assert weir.errors() == ""
    assert not weir.admin.exists()
    states = [(line["role"], line["state"]) for line in weir.lines("process")]
    assert states[0] == ("master", "started")
    assert states.count(("worker", "started")) == 2
    assert states.count(("worker", "left")) == 2
    assert ("master", "stopping") in states


def test_a_taken_port_is_named(weir):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", weir.port))
        sock.listen()
        run = subprocess.run([weir.program, "run", "-c", weir.config], capture_output=True, text=True,
                             timeout=20)
    assert run.returncode == 69
    assert f"127.0.0.1:{weir.port}" in run.stderr and "in use" in run.stderr


def test_a_second_instance_on_the_same_port_is_refused(weir):
    weir.start()
    other = weir.folder / "other.conf"
    other.write_text(weir.config.read_text().replace("admin.sock", "other.sock"))
    run = subprocess.run([weir.program, "run", "-c", other], capture_output=True, text=True, timeout=20)
    assert run.returncode == 69
    assert f"127.0.0.1:{weir.port}" in run.stderr


def test_a_broken_config_is_shown(weir):
    weir.config.write_text(weir.config.read_text().replace("workers", "wokers"))
    run = subprocess.run([weir.program, "run", "-c", weir.config], capture_output=True, text=True,
                         timeout=20)
    assert run.returncode == 78
    assert f"{weir.config}:2:1" in run.stderr and "workers" in run.stderr


def test_a_missing_config_is_named(weir):
    run = subprocess.run([weir.program, "run", "-c", "/nowhere.conf"], capture_output=True, text=True,
                         timeout=20)
    assert run.returncode == 66
    assert "/nowhere.conf" in run.stderr


def test_a_log_that_cannot_be_opened_stops_the_start(weir):
    weir.write(log="/nowhere/at/all")
    run = subprocess.run([weir.program, "run", "-c", weir.config], capture_output=True, text=True,
                         timeout=60)
    assert run.returncode == 69
    assert "/nowhere/at/all" in run.stderr


def test_sigterm_lets_a_session_end(weir):
    weir.start()
    session = weir.connect()
    weir.process.send_signal(signal.SIGTERM)
    time.sleep(1.5)
    assert weir.process.poll() is None
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", weir.port), timeout=5)
    session.write(b"QUIT\r\n")
    assert session.readline().startswith((b"221", b"421"))
    session.close()
    assert weir.process.wait(10) == 0
    # Whoever drained last is in the log: control stays until then.
    assert [line["role"] for line in weir.lines("process") if line["state"] == "left"].count("worker") == 2


def test_a_second_sigterm_stops_at_once(weir):
    weir.write(drain="1h")
    weir.start()
    session = weir.connect()
    say(session, b"EHLO client.example")
    begun = time.monotonic()
    weir.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    weir.process.send_signal(signal.SIGTERM)
    assert weir.process.wait(10) == 0
    assert time.monotonic() - begun < 7


def test_nobody_outstays_the_drain_timeout(weir):
    weir.write(drain="1s")
    weir.start()
    session = weir.connect()
    session.write(b"NOO")
    weir.process.send_signal(signal.SIGTERM)
    assert weir.process.wait(10) == 0


def test_sigterm_to_one_worker_drains_it_alone(weir):
    weir.start()
    victim = min(weir.pids("worker"))
    os.kill(victim, signal.SIGTERM)
    wait_for(lambda: not alive(victim))
    wait_for(lambda: len(weir.pids("worker")) == 2)
    left = wait_for(lambda: [line for line in weir.lines("process") if line["state"] == "left"])
    assert [line["pid"] for line in left] == [victim]


def test_an_idle_machine_sleeps(weir):
    weir.start()

    def switches(pid):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M).group(1))
    pids = [weir.process.pid, *weir.pids("worker"), *weir.pids("control")]
    time.sleep(1)
    before = {pid: switches(pid) for pid in pids}
    time.sleep(3)
    for pid in pids:
        assert (switches(pid) - before[pid]) / 3 < 25, pid


# ---- reload ----

def test_sighup_begins_a_generation_and_keeps_the_pid(weir):
    weir.start()
    workers = weir.pids("worker")
    session = weir.connect()
    weir.write(workers=3)
    answer = weir.reload()
    assert answer["good"], answer
    assert weir.status()["generation"] == 2
    assert len(weir.pids("worker", 2)) == 3
    # The old session goes on, with its old worker.
    assert say(session, b"NOOP").startswith(b"250")
    wait_for(lambda: len(weir.pids("worker", 1) & workers) == 1)
    say(session, b"QUIT")
    session.close()
    wait_for(lambda: not weir.pids("worker", 1))
    wait_for(lambda: len(weir.pids("control")) == 1)
    assert weir.stop() == 0
    assert weir.errors() == ""


def test_a_reload_through_admin(weir):
    weir.start()
    assert weir.reload(force=False)["good"]
    assert weir.status()["generation"] == 2


def test_a_broken_config_leaves_the_old_generation(weir):
    weir.start()
    workers = weir.pids("worker")
    weir.config.write_text(weir.config.read_text().replace("workers", "wokers"))
    answer = weir.reload()
    assert not answer["good"]
    assert f"{weir.config}:2:1" in answer["message"]
    assert weir.pids("worker") == workers
    weir.connect()
    weir.write()
    assert weir.reload()["good"]


def test_an_address_that_is_taken_leaves_the_old_generation(weir):
    weir.start()
    workers = weir.pids("worker")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        taken = sock.getsockname()[1]
        weir.write(ports=[weir.port, taken])
        answer = weir.reload()
    assert not answer["good"] and f"127.0.0.1:{taken}" in answer["message"]
    assert weir.pids("worker") == workers


def test_a_generation_that_does_not_start_is_taken_away(weir):
    weir.start()
    workers = weir.pids("worker")
    session = weir.connect()
    # The preflight opens no log: control finds out.
    weir.write(log="/nowhere/at/all")
    answer = weir.reload()
    assert not answer["good"]
    assert "generation 2 did not start" in answer["message"]
    assert "control with status 69" in answer["message"]
    assert [line for line in weir.lines("alarm") if "/nowhere/at/all" in line["text"]]
    wait_for(lambda: weir.pids("worker") == workers)
    assert weir.status()["generation"] == 1
    assert say(session, b"NOOP").startswith(b"250")
    # The image has changed, and the old generation is still looked after.
    victim = min(workers)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in weir.pids("worker") and len(weir.pids("worker")) == 2)
    weir.write()
    assert weir.reload()["good"]
    session.close()
    assert weir.stop() == 0


def test_emptying_a_pool_needs_force(weir):
    weir.start()
    weir.write(servers=("t1", "t2"))
    answer = weir.reload()
    assert not answer["good"] and "farm" in answer["message"] and "--force" in answer["message"]
    weir.write(servers=("s2", "t1"))
    assert weir.reload()["good"]
    weir.write(servers=("u1",))
    assert not weir.reload(force=False)["good"]
    assert weir.reload(force=True)["good"]


def test_a_pool_that_disappears_needs_force(weir):
    weir.write(pools="pool spare { pass-client none; check none; server x 127.0.0.1:9; }")
    weir.start()
    weir.write()
    answer = weir.reload()
    assert not answer["good"] and "spare" in answer["message"]
    assert weir.reload(force=True)["good"]


def test_addresses_come_and_go(weir):
    other = free_port()
    weir.start()
    weir.write(ports=[weir.port, other])
    assert weir.reload()["good"]
    weir.connect(other)
    weir.connect()
    weir.write(ports=[weir.port])
    assert weir.reload()["good"]

    def refused():
        try:
            socket.create_connection(("127.0.0.1", other), timeout=5).close()
        except ConnectionRefusedError:
            return True
    wait_for(refused)
    weir.connect()


def test_a_replaced_binary_is_the_one_that_runs(weir, tmp_path):
    program = tmp_path / "bin" / "mailweir"
    program.parent.mkdir()
    shutil.copy(binary(), program)
    weir.program = program
    weir.start()
    first = os.stat(f"/proc/{weir.process.pid}/exe").st_ino
    new = tmp_path / "new"
    shutil.copy(binary(), new)
    new.replace(program)
    assert os.readlink(f"/proc/{weir.process.pid}/exe").endswith("(deleted)")
    assert weir.reload()["good"]
    assert os.stat(f"/proc/{weir.process.pid}/exe").st_ino == os.stat(program).st_ino != first
    # And once more, from the image that came by exec.
    shutil.copy(binary(), new)
    new.replace(program)
    assert weir.reload()["good"]
    assert os.stat(f"/proc/{weir.process.pid}/exe").st_ino == os.stat(program).st_ino


@pytest.mark.parametrize("harm", ["gone", "torn", "other"])
def test_a_binary_that_does_not_run_leaves_the_old_generation(weir, tmp_path, harm):
    program = tmp_path / "bin" / "mailweir"
    program.parent.mkdir()
    shutil.copy(binary(), program)
    weir.program = program
    weir.start()
    workers = weir.pids("worker")
    program.unlink()
    if harm == "torn":
        program.write_bytes(binary().read_bytes()[:5000])
    elif harm == "other":
        program.write_text("#!/bin/sh\necho I am something else >&2\nexit 3\n")
    if harm != "gone":
        program.chmod(0o755)
    answer = weir.reload()
    assert not answer["good"]
    assert ("I am something else" if harm == "other" else str(program)) in answer["message"]
    assert weir.pids("worker") == workers
    weir.connect()


class Load:
    """Clients that connect, greet and leave, as fast as they can; what goes wrong is kept."""

    def __init__(self, weir, clients):
        self.weir, self.done, self.count, self.failures = weir, False, 0, []
        self.threads = [threading.Thread(target=self.client) for _ in range(clients)]

    def client(self):
        while not self.done:
            try:
                with contextlib.closing(self.weir.connect()) as session:
                    for line, reply in ((b"EHLO c.example", b"250"), (b"QUIT", b"221")):
                        answer = say(session, line)
                        while answer[3:4] == b"-":
                            answer = session.readline()
                        # 421: it was draining; a reply, and an orderly end.
                        assert answer.startswith((reply, b"421")), answer
                        if answer.startswith(b"421"):
                            break
                self.count += 1
            except (OSError, AssertionError) as failure:
                self.failures.append(repr(failure))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done = True
        for thread in self.threads:
            thread.join()


def test_fifty_reloads_under_load_lose_no_connection(weir):
    weir.write(workers=4)
    weir.start()
    descriptors = len(os.listdir(f"/proc/{weir.process.pid}/fd"))
    with Load(weir, 4) as load:
        for i in range(50):
            weir.write(workers=1 + i % 4, servers=("s1", f"s{2 + i % 3}", f"s{5 + i % 2}"))
            answer = weir.reload()
            assert answer["good"], answer
    assert load.failures == []
    assert load.count > 500
    assert weir.status()["generation"] == 51
    assert len(os.listdir(f"/proc/{weir.process.pid}/fd")) == descriptors
    wait_for(lambda: len(weir.pids("worker")) == 2, 20)
    assert weir.stop() == 0
    assert weir.errors() == ""


# ---- deaths ----

def test_a_dead_worker_is_replaced(weir):
    weir.start()
    victim = min(weir.pids("worker"))
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: victim not in weir.pids("worker") and len(weir.pids("worker")) == 2, 3)
    died = wait_for(lambda: [line for line in weir.lines("process") if line["state"] == "died"])
    assert (died[0]["pid"], died[0]["signal"], died[0]["ambiguous"]) == (victim, 9, 0)


def test_connections_wait_for_nobody_while_a_worker_keeps_dying(weir):
    weir.start()
    stay = max(weir.pids("worker"))
    for _ in range(6):
        victim = wait_for(lambda: weir.pids("worker") - {stay}, 10).pop()
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: not alive(victim))
    # Its successor is held back now, and the other one serves both sockets.
    begun = time.monotonic()
    for _ in range(20):
        weir.connect().close()
    assert time.monotonic() - begun < 1
    assert weir.pids("worker") == {stay}
    wait_for(lambda: len(weir.pids("worker")) == 2, 10)


def test_control_dead_means_mail_flows_on(weir):
    weir.start()
    session = weir.connect()
    victim = weir.pids("control").pop()
    os.kill(victim, signal.SIGKILL)
    assert say(session, b"NOOP").startswith(b"250")
    weir.connect()

    def replaced():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return weir.pids("control") - {victim}
    wait_for(replaced, 5)
    wait_for(lambda: [line for line in weir.lines("process")
                      if line["state"] == "died" and line["pid"] == victim], 5)


def test_a_hung_worker_is_killed(weir):
    weir.start()
    victim = min(weir.pids("worker"))
    os.kill(victim, signal.SIGSTOP)
    begun = time.monotonic()
    wait_for(lambda: not alive(victim), 20)
    assert time.monotonic() - begun > 8
    wait_for(lambda: len(weir.pids("worker")) == 2, 5)
    hung = wait_for(lambda: [line for line in weir.lines("process") if line["state"] == "hung"])
    assert [line["pid"] for line in hung] == [victim]


def test_without_the_master_workers_drain(weir):
    weir.start()
    children = children_of(weir.process.pid)
    session = weir.connect()
    weir.process.kill()
    weir.process.wait()
    try:
        time.sleep(2)
        assert say(session, b"NOOP").startswith(b"250")
        say(session, b"QUIT")
        session.close()
        wait_for(lambda: not any(alive(pid) for pid in children), 20)
    finally:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_a_sleep_of_all_kills_nobody(weir):
    """Ctrl-Z and fg: nobody's heart beat, and nobody may be called dead."""
    weir.start()
    pids = [weir.process.pid, *children_of(weir.process.pid)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(11)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    assert sorted(pids[1:]) == sorted(children_of(weir.process.pid))
    assert not [line for line in weir.lines("process") if line["state"] in ("hung", "died", "left")]
    weir.connect()


# ---- the log ----

def test_on_a_terminal_the_log_is_for_people(weir):
    weir.config.write_text(re.sub(r"log .* format=json;", "log stderr;", weir.config.read_text()))
    ours, theirs = pty.openpty()
    weir.process = subprocess.Popen([weir.program, "run", "-c", weir.config], stdin=subprocess.DEVNULL,
                                    stdout=subprocess.DEVNULL, stderr=theirs)
    weir.stderr.touch()
    os.close(theirs)
    wait_for(weir.serves)
    assert weir.stop() == 0
    text = b""
    with contextlib.suppress(OSError):
        while part := os.read(ours, 65536):
            text += part
    lines = text.decode().replace("\r\n", "\n").splitlines()
    assert [line for line in lines if re.fullmatch(
        r"\d\d:\d\d:\d\d  worker     started \(pid \d+, generation 1\)", line)], lines
    assert not [line for line in lines if line.startswith("{")]
