"""A network of the test's own: three namespaces in a row, and rules between them.

    clients ──── weir ──── servers          nothing of it leads anywhere else
    10.77.1.2    10.77.1.1
                 10.77.2.1   10.77.2.2 ...

`inside` puts this thread into one of them, and with it what it starts there: threads, processes,
sockets.  Rules are nft's, in the way of what comes in.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

PLACES = ("clients", "weir", "servers")
WEIR_FOR_CLIENTS, CLIENTS = "10.77.1.1", "10.77.1.2"


def server_address(number):
    """Of the first, second ... server."""
    return f"10.77.2.{number + 1}"


def _run(*words, text=None):
    done = subprocess.run(words, input=text, text=True, capture_output=True, timeout=30)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


def _enter(file):
    if _libc.setns(file.fileno(), _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    """Raises OSError with the reason where it can't be had."""

    def __init__(self, servers):
        for tool in ("ip", "nft"):
            if not shutil.which(tool):
                raise OSError(f"{tool} is not installed")
        self.made = {}
        try:
            for place in PLACES:
                name = f"mailweir-{os.getpid()}-{place}"
                _run("ip", "netns", "add", name)
                self.made[place] = name
                self._ip(place, "link", "set", "lo", "up")
            self._wire("clients", CLIENTS, "weir", WEIR_FOR_CLIENTS, "mwc")
            self._wire("weir", "10.77.2.1", "servers", server_address(1), "mws")
            for number in range(2, servers + 1):
                self._ip("servers", "address", "add", f"{server_address(number)}/24", "dev", "mws1")
            for place in PLACES:
                self.rules(place)
        except OSError:
            self.close()
            raise

    def _ip(self, place, *words):
        _run("ip", "-n", self.made[place], *words)

    def _wire(self, place, address, other, other_address, name):
        self._ip(place, "link", "add", f"{name}0", "type", "veth", "peer", "name", f"{name}1", "netns",
                 self.made[other])
        for where, what, device in ((place, address, f"{name}0"), (other, other_address, f"{name}1")):
            self._ip(where, "address", "add", f"{what}/24", "dev", device)
            self._ip(where, "link", "set", device, "up")

    def rules(self, place, *rules):
        """From now on these, such as "ip daddr 10.77.2.2 drop", for what comes in; none: all passes."""
        lines = ["table inet mailweir", "delete table inet mailweir", "table inet mailweir {",
                 "chain in { type filter hook input priority 0; policy accept;", *rules, "}", "}", ""]
        _run("ip", "netns", "exec", self.made[place], "nft", "-f", "-", text="\n".join(lines))

    def dropped(self, place):
        """How many packets the rules' counters have seen."""
        words = _run("ip", "netns", "exec", self.made[place], "nft", "list", "ruleset").split()
        return sum(int(words[at + 1]) for at, word in enumerate(words) if word == "packets")

    @contextlib.contextmanager
    def inside(self, place):
        with open("/proc/thread-self/ns/net") as before, open(f"/run/netns/{self.made[place]}") as there:
            _enter(there)
            try:
                yield
            finally:
                _enter(before)

    def close(self):
        for name in self.made.values():
            with contextlib.suppress(OSError):
                _run("ip", "netns", "delete", name)
        self.made.clear()
