"""The admin address: HTTP over TCP or the unix socket, and what comes back taken apart."""
import contextlib
import http.client
import re
import socket


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)


def ask(where, path, method="GET"):
    """(status, headers, text); `where` is a port of this machine or the path of a socket."""
    connection = (http.client.HTTPConnection("127.0.0.1", where, timeout=10) if isinstance(where, int)
                  else _UnixConnection(where))
    with contextlib.closing(connection):
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()


_SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^}]*)\})? (\S+)')
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """A parsed page in Prometheus' text format; bad lines are an AssertionError."""

    def __init__(self, text):
        self.types, self.samples = {}, []
        for line in text.splitlines():
            if line.startswith("# TYPE "):
                _, _, name, kind = line.split(" ")
                assert name not in self.types, f"two TYPE lines for {name}"
                self.types[name] = kind
            elif not line.startswith("# HELP "):
                match = _SAMPLE.fullmatch(line)
                assert match, f"no sample: {line!r}"
                labels = dict(_LABEL.findall(match.group(2) or ""))
                self.samples.append((match.group(1), labels, float(match.group(3))))

    def sum(self, name, **labels):
        """Over all samples of this name with these labels; a name that is not there is a mistake."""
        found = [value for sample, has, value in self.samples
                 if sample == name and labels.items() <= has.items()]
        assert found, f"no metric {name} {labels}"
        return sum(found)
