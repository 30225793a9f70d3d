"""A running mailweir with its config, log and admin addresses in a folder of its own."""
import contextlib
import http.client
import json
import os
import signal
import subprocess

from harness import admin
from harness.client import Client
from harness.world import (alive, children_of, end_process, environment, free_port, program,
                           sanitizer_report, wait_for)

# Quick enough for tests, slow enough for a busy machine.
CHECK = "check smtp interval=500ms fast-interval=200ms timeout=3s rise=1;"


class Balancer:
    def __init__(self, folder, binary=None):
        self.folder = folder
        self.binary = binary or program()
        self.config, self.log = folder / "weir.conf", folder / "weir.log"
        self.socket, self.errors = folder / "admin.sock", folder / "weir.err"
        self.port, self.admin_port = free_port(), free_port()
        self.process = None
        self.deaths_expected = False

    # ---- the config ----

    def write(self, servers, workers=2, pool="", listener="", top="", check=CHECK,
              relay="relay-from 127.0.0.0/8;", drain="3s", more="", bind="127.0.0.1"):
        """`servers`: sinks, or (name, port, options) tuples."""
        lines = []
        for server in servers:
            name, port, options = server if isinstance(server, tuple) else (server.name, server.port, "")
            address = getattr(server, "address", "127.0.0.1")
            lines.append(f"    server {name} {address}:{port}{' ' + options if options else ''};")
        self.config.write_text("\n".join((
            "hostname weir.example;", f"workers {workers};", f"drain-timeout {drain};", top,
            f"log {self.log} format=json;",
            f"admin {{ bind unix:{self.socket} 127.0.0.1:{self.admin_port}; }}",
            f"listener in {{ bind {bind}:{self.port}; {relay} send-to farm; {listener} }}",
            f"pool farm {{ pass-client none; {check} {pool}", *lines, "}", more, "")))
        return self

    # ---- life ----

    def start(self, ready=True):
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen([str(self.binary), "run", "-c", str(self.config)],
                                            stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                            env=environment())
        wait_for(self.is_ready if ready else self.is_up, 30, "mailweir ready")
        return self

    def is_up(self):
        assert self.process.poll() is None, f"ended: {self.errors.read_text()}"
        with contextlib.suppress(OSError, http.client.HTTPException):
            return admin.ask(self.admin_port, "/healthz")[0] == 200
        return False

    def is_ready(self):
        return self.is_up() and admin.ask(self.admin_port, "/readyz")[0] == 200

    def seen_servers(self, names=None):
        """Wait until each server's EHLO has been seen and it is up."""
        def seen():
            servers = self.servers()
            return all(servers[name]["state"] == "up" and servers[name]["checks"] > 0
                       for name in (names or servers))
        wait_for(seen, why="servers seen")
        return self

    def stop(self, within=30.0):
        """SIGTERM, and what must hold at every end."""
        status = end_process(self.process, within)
        errors = self.errors.read_text()
        report = sanitizer_report(errors)
        assert not report, report
        assert status == 0, f"exit status {status}: {errors[-3000:]}"
        if not self.deaths_expected:
            died = [line for line in self.lines("process") if line["state"] in ("died", "hung")]
            assert not died, died

    def kill(self):
        """At the end of a test that failed."""
        if self.process and self.process.poll() is None:
            children = children_of(self.process.pid)
            self.process.kill()
            self.process.wait(10)
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def running(self):
        return self.process is not None and self.process.poll() is None

    # ---- talking to it ----

    def client(self, patience=30.0, **options):
        return Client(self.port, patience, **options)

    def command(self, name, *arguments):
        return subprocess.run([str(self.binary), name, "-c", str(self.config), *arguments], text=True,
                              capture_output=True, timeout=90, env=environment())

    def ask(self, path, method="GET"):
        return admin.ask(self.admin_port, path, method)

    def metrics(self):
        status, _, text = self.ask("/metrics")
        assert status == 200, text
        return admin.Metrics(text)

    def listener(self, name):
        """A number of the listener's."""
        return self.metrics().sum(f"mailweir_listener_{name}")

    def status(self):
        return json.loads(self.ask("/api/v1/status")[2])

    def servers(self):
        """By name; names are unique in the tests' configs."""
        return {server["name"]: server for pool in self.status()["pools"] for server in pool["servers"]}

    def state(self, server):
        return self.servers()[server]["state"]

    def pids(self, role):
        return [process["pid"] for process in self.status()["processes"]
                if process["role"] == role and process["ready"] and alive(process["pid"])]

    def reload(self, force=False):
        """By SIGHUP, or through admin with force; the answer once it is there."""
        before = self.status()["reload"]["number"]
        if force:
            admin.ask(self.socket, "/api/v1/reload?force=1", "POST")
        else:
            self.process.send_signal(signal.SIGHUP)

        def answered():
            with contextlib.suppress(OSError, http.client.HTTPException):
                answer = self.status()["reload"]
                return answer if answer["number"] != before else None
            return None
        return wait_for(answered, 60, "a reload's answer")

    def lines(self, event=None, torn=0):
        """The log so far; a last line that is being written is left out.  So many may be torn."""
        lines = []
        for line in self.log.read_bytes().split(b"\n")[:-1] if self.log.exists() else []:
            try:
                lines.append(json.loads(line))
            except ValueError:
                assert torn > 0, line
                torn -= 1
        return [line for line in lines if event in (None, line["event"])]

    def at_rest(self):
        """Wait until nothing is in progress, and the gauges say so."""
        def rest():
            with contextlib.suppress(OSError, http.client.HTTPException):
                metrics = self.metrics()
                servers = self.servers().values()
                return (metrics.sum("mailweir_listener_sessions") == 0
                        and metrics.sum("mailweir_listener_in_gap") == 0
                        and metrics.sum("mailweir_pool_waiting") == 0
                        and all(server["transactions"] == 0 for server in servers)
                        and all(server["connections"] == server["idle"] for server in servers))
            return False
        wait_for(rest, 40, f"at rest: {[line for line in self.ask('/metrics')[2].splitlines() if 'gap' in line]}")
