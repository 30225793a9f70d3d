"""A server that does what a test tells it, phase by phase; it writes down what it has accepted."""
import contextlib
import socket
import struct
import threading

DROP, RESET, STALL = "drop", "reset", "stall"
USUAL = ("PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING")


class Scripted:
    """`say(phase, line, session)` gives a reply, DROP, RESET, STALL, a list of these, or None for
    the usual answer.  Phases: banner ehlo mail rcpt data chunk end rset quit."""

    def __init__(self, name, caps=USUAL, say=None):
        self.name, self.caps, self.say = name, caps, say
        self.accepted, self.seen, self.sessions = [], [], 0
        self.lock, self.over = threading.Lock(), threading.Event()
        self.live = []
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            self.sessions += 1
            self.live.append(sock)
            threading.Thread(target=Session(self, sock).run, daemon=True).start()

    def hang_up_all(self):
        for sock in self.live:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.live.clear()

    def close(self):
        self.over.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
        self.hang_up_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Ended(Exception):
    pass


class Session:
    def __init__(self, server, sock):
        self.server, self.sock, self.rest = server, sock, b""
        self.number = server.sessions
        self.sender, self.recipients, self.body, self.bad, self.mails = None, [], b"", False, 0

    def run(self):
        try:
            self.answer("banner", "", f"220 {self.server.name} ESMTP")
            while self.command():
                pass
        except (Ended, OSError):
            pass
        finally:
            self.sock.close()

    def more(self):
        octets = self.sock.recv(65536)
        if not octets:
            raise Ended
        self.rest += octets

    def line(self):
        while b"\r\n" not in self.rest:
            self.more()
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line.decode("latin-1")

    def act(self, what):
        if what == DROP:
            self.sock.shutdown(socket.SHUT_RDWR)
            raise Ended
        if what == RESET:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raise Ended
        if what == STALL:
            self.server.over.wait()
            raise Ended
        self.sock.sendall(what.encode() + b"\r\n")

    def answer(self, phase, line, usual):
        said = self.server.say(phase, line, self) if self.server.say else None
        with self.server.lock:
            self.server.seen.append((self.number, phase, line))
        said = [usual] if said is None else said if isinstance(said, list) else [said]
        for one in said:
            self.act(one)
        return next((one for one in said if one[:1].isdigit()), "")

    def forget(self):
        self.sender, self.recipients, self.body, self.bad = None, [], b"", False

    def command(self):
        line = self.line()
        verb = line.upper().split(" ")[0].split(":")[0]
        if verb in ("EHLO", "HELO"):
            caps = (self.server.name, *self.server.caps)
            lines = [f"250-{cap}" for cap in caps[:-1]] + [f"250 {caps[-1]}"]
            self.answer("ehlo", line, "\r\n".join(lines))
        elif verb == "MAIL":
            self.forget()
            self.mails += 1
            if self.answer("mail", line, "250 2.1.0 Ok")[:1] == "2":
                self.sender = line
        elif verb == "RCPT":
            if self.sender is None:
                self.act("503 5.5.1 need MAIL")
            elif self.answer("rcpt", line, "250 2.1.5 Ok")[:1] == "2":
                self.recipients.append(line[8:].split(" ")[0].strip("<>"))
        elif verb == "DATA":
            if not self.recipients:
                self.act("503 5.5.1 no recipients")
            elif self.answer("data", line, "354 go")[:1] == "3":
                self.data()
        elif verb == "BDAT":
            self.chunk(line)
        elif verb == "RSET":
            self.forget()
            self.answer("rset", line, "250 2.0.0 Ok")
        elif verb == "QUIT":
            self.answer("quit", line, "221 2.0.0 Bye")
            return False
        else:
            self.act("500 5.5.2 what?")
        return True

    def data(self):
        lines = []
        while (line := self.line()) != ".":
            lines.append(line[1:] if line.startswith(".") else line)
        self.body = "".join(line + "\r\n" for line in lines).encode("latin-1")
        self.end("DATA")

    def chunk(self, line):
        words = line.upper().split()
        left, last = int(words[1]), words[-1] == "LAST"
        while len(self.rest) < left:
            self.more()
        self.body += self.rest[:left]
        self.rest = self.rest[left:]
        if not self.recipients or self.bad:
            self.act("503 5.5.1 no recipients")
        elif last:
            self.end(line)
        elif self.answer("chunk", line, "250 2.0.0 Ok")[:1] != "2":
            self.bad = True

    def end(self, line):
        said = self.server.say("end", line, self) if self.server.say else None
        with self.server.lock:
            self.server.seen.append((self.number, "end", line))
        said = ["250 2.0.0 Ok: queued as AB12"] if said is None else said if isinstance(said, list) else [said]
        if any(one[:1] == "2" for one in said) or "keep" in said:
            with self.server.lock:
                self.server.accepted.append((tuple(self.recipients), self.body))
        self.forget()
        for one in said:
            if one != "keep":
                self.act(one)
