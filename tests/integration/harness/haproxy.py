"""A real HAProxy in front of a balancer, with its own config."""
import subprocess
import time

from harness.world import SLOW, end_process, free_port

CONFIG = """\
global
    maxconn 200
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen front
    bind 127.0.0.1:{port}
    server weir 127.0.0.1:{to} {options}
"""


class Haproxy:
    """`options`: of its server line, as "send-proxy"."""

    def __init__(self, folder, to, options):
        self.port = free_port()
        self.config, self.errors = folder / f"haproxy-{self.port}.cfg", folder / f"haproxy-{self.port}.err"
        self.config.write_text(CONFIG.format(port=self.port, to=to, options=options))
        self.process = None

    def __enter__(self):
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(["/usr/sbin/haproxy", "-db", "-f", str(self.config)],
                                            stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)
        end = time.monotonic() + 20 * SLOW
        while not self._listens():
            assert self.process.poll() is None and time.monotonic() < end, self.errors.read_text()
            time.sleep(0.02)
        return self

    def _listens(self):
        """Without a connection, which the balancer would see."""
        with open("/proc/net/tcp") as table:
            return any(line.split()[1].endswith(f":{self.port:04X}") and line.split()[3] == "0A"
                       for line in list(table)[1:])

    def __exit__(self, *_):
        end_process(self.process)
