"""`mailweir sink` as a server behind the balancer."""
import json
import os
import signal
import subprocess

from harness.world import alive, end_process, environment, program, sanitizer_report, wait_for


class Sink:
    def __init__(self, folder, name, *options, binary=None, write=False):
        self.name, self.folder = name, folder
        self.ledger = folder / f"{name}.ledger"
        self.faults = folder / f"{name}.faults"
        self.output = folder / f"{name}.out"
        self.errors = folder / f"{name}.err"
        self.write = folder / f"{name}.mail" if write else None
        self.options, self.address, self.port = options, "127.0.0.1", 0
        self.binary = binary or program("fast")
        self.process = None
        self.faults.write_text("")
        if self.write:
            self.write.mkdir()

    def start(self):
        """Also again, on the same port."""
        self.output.write_text("")
        command = [self.binary, "sink", "--listen", f"{self.address}:{self.port}", "--name", self.name, "--count",
                   "--ledger", self.ledger, "--faults", self.faults, *self.options]
        if self.write:
            command += ["--write", self.write]
        with self.output.open("wb") as output, self.errors.open("ab") as errors:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                                            stdout=output, stderr=errors, env=environment())
        self.port = wait_for(self._listening, why=f"{self.name} listening")
        return self

    def _listening(self):
        assert self.process.poll() is None, self.errors.read_text()
        for line in self.output.read_text().splitlines():
            if line.startswith("listening "):
                return int(line.rsplit(":", 1)[1])
        return None

    def turn(self, *faults):
        """From now on these, one "reply rcpt=451 4.3.0 busy" each; none: healthy."""
        before = self.output.read_text().count("faults read")
        self.faults.write_text("".join(f"{fault}\n" for fault in faults))
        self.process.send_signal(signal.SIGHUP)
        wait_for(lambda: self.output.read_text().count("faults read") > before, why="faults read")

    def totals(self):
        """The sink's own counters, now."""
        before = self.output.read_text().count("{")
        self.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: self.output.read_text().count("}") > before, why="totals")
        return json.loads(self.output.read_text().splitlines()[-1])

    def lines(self):
        return [json.loads(line) for line in self.ledger.read_text().splitlines()] \
            if self.ledger.exists() else []

    def mails(self):
        """What arrived, in order, byte for byte."""
        files = sorted(self.write.glob("*.eml"), key=lambda file: int(file.stem))
        return [file.read_bytes() for file in files]

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process and alive(self.process.pid):
            self.signal(signal.SIGCONT)
            end_process(self.process)
        if self.process:
            report = sanitizer_report(self.errors.read_text())
            assert not report, report
