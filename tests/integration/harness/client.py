"""Clients: one that says exactly what it is told to, and a crowd that sends mail as fast as it can
and writes down in the ledger what it was told."""
import itertools
import socket
import threading
import time

from harness.world import SLOW


class Gone(Exception):
    """The connection ended or the patience did, before a reply was complete."""


class Client:
    """Octets out, replies in.  A reply is (code, text): the lines' texts, divided by newlines.
    `port`: of this machine, or (address, port); `source`: the address to come from; `first`: octets
    sent before the banner is awaited."""

    def __init__(self, port, patience=30.0, banner=True, source="", first=b""):
        to = port if isinstance(port, tuple) else ("127.0.0.1", port)
        self.sock = socket.create_connection(to, timeout=patience * SLOW, source_address=(source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        if first:
            self.send(first)
        self.greeting = self.reply() if banner else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, octets):
        try:
            self.sock.sendall(octets)
        except OSError as error:
            raise Gone(f"sending: {error}") from error

    def line(self):
        while b"\n" not in self.rest:
            try:
                more = self.sock.recv(65536)
            except OSError as error:
                raise Gone(f"reading: {error}") from error
            if not more:
                raise Gone(f"closed; unread: {self.rest!r}")
            self.rest += more
        line, _, self.rest = self.rest.partition(b"\n")
        assert line.endswith(b"\r") and len(line) <= 511, f"a reply's line: {line!r}"
        return line[:-1].decode("utf-8", "surrogateescape")

    def reply(self):
        texts = []
        while True:
            line = self.line()
            assert line[:3].isdigit() and line[3:4] in ("", " ", "-"), f"no reply: {line!r}"
            texts.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), "\n".join(texts)

    def say(self, line):
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return self.reply()

    def hello(self, name="client.example"):
        reply = self.say(f"EHLO {name}")
        assert reply[0] == 250, reply
        return self

    def envelope(self, sender="a@client.example", *recipients):
        """MAIL and RCPTs, all to be taken."""
        for line in (f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{to}>" for to in recipients)):
            reply = self.say(line)
            assert reply[0] == 250, (line, reply)
        return self

    def is_closed(self):
        """True when the other side ends the connection without a further word."""
        try:
            return self.rest == b"" and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def message(name, size=500):
    """A mail with its ledger id, about so many octets, without the final dot."""
    head = (f"From: <a@client.example>\r\nTo: <b@dest.example>\r\nSubject: {name}\r\n"
            f"Message-ID: <{name}@client.example>\r\nX-Ledger-Id: {name}\r\n\r\n").encode()
    line = b"The quick brown fox jumps over the lazy dog, and .dots stay where they are.\r\n"
    return head + b".leading dot\r\n" + line * max(1, (size - len(head)) // len(line))


def stuffed(body):
    return (b"." if body.startswith(b".") else b"") + body.replace(b"\r\n.", b"\r\n..") + b".\r\n"


class Sender:
    """One client that sends message after message on one connection, tries again what was not
    accepted as an MTA would, and records each try."""

    def __init__(self, port, ledger, patience, per_session, size, pause=0.0):
        self.port, self.ledger, self.patience = port, ledger, patience
        self.per_session, self.size, self.pause = per_session, size, pause
        self.client, self.sent_here, self.reconnects, self.refused = None, 0, 0, []

    def connection(self):
        if self.client and self.sent_here >= self.per_session:
            self.hang_up()
        if not self.client:
            self.client, self.sent_here = Client(self.port, self.patience).hello(), 0
            self.reconnects += 1
        return self.client

    def hang_up(self):
        if self.client:
            try:
                self.client.say("QUIT")
            except Gone:
                pass
            self.drop()

    def drop(self):
        self.client.close()
        self.client = None

    def attempt(self, name):
        """True when it was accepted."""
        ended = False
        try:
            client = self.connection()
        except (OSError, Gone, AssertionError) as error:
            self.refused.append(repr(error))
            self.ledger.lost(name, False, f"connect: {error!r}")
            if self.client:
                self.drop()
            return False
        try:
            client.send(b"MAIL FROM:<a@client.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\n")
            replies = [client.reply()]
            while replies[-1][0] != 421 and len(replies) < 3:
                replies.append(client.reply())
            last = replies[-1]
            if last[0] == 354:
                body = stuffed(message(name, self.size))
                client.send(body[:-3])
                ended = True
                client.send(body[-3:])
                last = client.reply()
            else:
                last = next(reply for reply in replies if reply[0] >= 400)
            self.sent_here += 1
            if last[0] == 421:
                self.drop()
                # Between messages a balancer may say good-bye: the client comes again at once.
                if len(replies) == 1:
                    return self.attempt(name)
            self.ledger.told(name, last)
            return last[0] == 250
        except Gone as error:
            self.drop()
            self.ledger.lost(name, ended, error)
            return False


class Crowd:
    """Many senders at once.  Either each sends `each` messages, or all go on until stop()."""

    def __init__(self, port, ledger, clients, each=None, patience=30.0, per_session=50, size=500,
                 prefix="m", tries=200, pause=0.0, retry_after=0.05):
        self.ledger, self.each, self.tries = ledger, each, tries
        self.pause, self.retry_after = pause, retry_after
        self.stopping = threading.Event()
        self.senders = [Sender(port, ledger, patience, per_session, size) for _ in range(clients)]
        self.broken = []
        self.threads = [threading.Thread(target=self._run, args=(sender, f"{prefix}{index}"), daemon=True)
                        for index, sender in enumerate(self.senders)]
        self.count = 0

    def _run(self, sender, name):
        try:
            for number in range(self.each) if self.each else itertools.count():
                if self.stopping.is_set():
                    break
                self._send(sender, f"{name}-{number}")
                if self.pause:
                    time.sleep(self.pause)
            sender.hang_up()
        except Exception as error:  # a fault of the test itself: shown by join()
            self.broken.append(repr(error))

    def _send(self, sender, name):
        self.ledger.offer(name)
        for _ in range(self.tries):
            if sender.attempt(name):
                self.count += 1
                return
            time.sleep(self.retry_after)

    def start(self):
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping.set()

    def join(self, within=120.0):
        end = time.monotonic() + within * SLOW
        for thread in self.threads:
            thread.join(max(0.01, end - time.monotonic()))
        assert not any(thread.is_alive() for thread in self.threads), f"clients hang after {within} s"
        assert not self.broken, self.broken[:3]
        return self

    def refused(self):
        """Connections that were not taken, or cut before the greeting was over."""
        return [error for sender in self.senders for error in sender.refused]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop()
        if kind is None:
            self.join()
