"""SMTP smuggling (items 1 and 10 of docs/catalogue.md): a Postfix 3.7 as it comes, whose own defences
are off, stands behind the balancer and must never find a second message inside a first, nor a
message other than the one that was sent.

    client --LINK, DATA or BDAT--> balancer --DATA or BDAT--> tap --> Postfix

One Postfix with two ports, one of which doesn't offer CHUNKING, and one balancer with a listener
for each serve all cases.  The tap writes down what the balancer sends, so that no case has to wait
for what a server might do with it.
"""
import contextlib
import itertools
import socket
import threading
import time

import pytest

from harness.balancer import Balancer
from harness.client import Client, Gone, stuffed
from harness.postfix import DOMAIN, Postfix
from harness.world import free_port, program, wait_for

FORMS = {
    "LF.LF": b"\n.\n", "LF.CRLF": b"\n.\r\n", "CRLF.LF": b"\r\n.\n", "CR.CR": b"\r.\r", "CR.LF": b"\r.\n",
    "LF.CR": b"\n.\r", "CR.CRLF": b"\r.\r\n", "CRLF.CR": b"\r\n.\r", "LF.CRCRLF": b"\n.\r\r\n",
    "CRLF.CRCRLF": b"\r\n.\r\r\n", "CRCRLF.CRCRLF": b"\r\r\n.\r\r\n", "CRLF-NUL.CRLF": b"\r\n\0.\r\n",
    "CRLF.NUL-CRLF": b"\r\n.\0\r\n",
}
# Those that this Postfix takes for the end when nobody stands before it.
BELIEVED = {"LF.LF", "LF.CRLF", "CRLF.LF", "LF.CRCRLF", "CRLF.CRCRLF", "CRCRLF.CRCRLF"}
END = b"\r\n.\r\n"
CARRIERS = ("DATA", "BDAT")
CHUNKINGS = ("whole", "octet-by-octet", "cut-inside", "cut-around")
LINKS = ("plain",)  # how the client comes
SERVERS = ("chunking", "data")  # what the server takes

BARE = (550, "5.5.2 Bare CR or bare LF in the message")
NUL = (550, "5.6.0 NUL in the message")
GOOD = b"Subject: good\r\n\r\n.\r\ngood\r\n"
PAUSE = 0.001  # behind a write, so that it is mostly read alone

_numbers = itertools.count(1)


def holding(form, name, filling=b""):
    """A message that holds a second one behind something that some take for the end: what stands in
    front of it, itself, and what stands behind."""
    return (b"Subject: " + name.encode() + b"\r\n\r\n" + filling + b"first", form,
            b"MAIL FROM:<smuggler@client.example>\r\nRCPT TO:<" + f"smuggled-{name}@{DOMAIN}".encode()
            + b">\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n")


class Tap:
    """Passes octets on in both directions and keeps those that go to the server."""

    def __init__(self, name, target):
        self.name, self.target, self.octets = name, target, bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
                for one, other, keep in ((client, server, self.octets), (server, client, bytearray())):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._copy, args=(one, other, keep), daemon=True).start()

    @staticmethod
    def _copy(one, other, keep):
        with contextlib.suppress(OSError):
            while octets := one.recv(65536):
                keep += octets
                other.sendall(octets)
        for sock in (one, other):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class House:
    """The Postfix, the taps, and the balancer."""

    def __init__(self, folder):
        self.postfix = Postfix("victim")
        self.ports = {"chunking": self.postfix.port, "data": free_port()}
        master = self.postfix.home / "etc" / "master.cf"
        master.write_text(f"127.0.0.1:{self.ports['data']} inet n - n - 100 smtpd\n"
                          "  -o smtpd_discard_ehlo_keywords=chunking\n" + master.read_text())
        self.taps = {server: Tap(server, port) for server, port in self.ports.items()}
        self.listeners = {("plain", server): free_port() for server in SERVERS}
        self.weir = Balancer(folder, program("careful"))

    def start(self):
        self.postfix.start()
        pools = [f"pool {server} {{ pass-client none; check none; server {server} 127.0.0.1:{tap.port}; }}\n"
                 f"listener to-{server} {{ bind 127.0.0.1:{self.listeners['plain', server]}; "
                 f"relay-from 127.0.0.0/8; send-to {server}; }}" for server, tap in self.taps.items()]
        unused = [("unused", self.ports["data"], "")]
        self.weir.write(unused, workers=1, check="check none;", more="\n".join(pools)).start()

    def stop(self):
        try:
            if self.weir.running():
                self.weir.stop()
        finally:
            self.weir.kill()
            for tap in self.taps.values():
                tap.close()
            self.postfix.stop()

    def client(self, link, server):
        return Client(self.listeners[link, server]).hello()

    def sent_to(self, server):
        """What the server has been sent, once nothing is under way."""
        self.weir.at_rest()
        return bytes(self.taps[server].octets)

    def mails(self):
        """Recipient's local part -> octets, each once; the mailbox is empty after that."""
        mails = self.postfix.quiet().mails()
        self.postfix.empty()
        names = [recipient.partition("@")[0] for recipient, _ in mails]
        assert len(names) == len(set(names)), names
        return {name: octets for name, (_, octets) in zip(names, mails)}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("smuggling"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def house(built):
    built.weir.at_rest()
    built.mails()  # what a test that failed has left
    for tap in built.taps.values():
        tap.octets.clear()
    return built


# ---- the ways of a message ----

def count_ways(chunking, form):
    return len(form) - 1 if chunking == "cut-inside" else 1


def pieces_of(chunking, way, head, form, tail):
    if chunking == "whole":
        return [head + form + tail]
    if chunking == "octet-by-octet":  # all that could matter
        near = head[-4:] + form + tail[:6]
        return [head[:-4], *(near[at:at + 1] for at in range(len(near))), tail[6:]]
    if chunking == "cut-around":
        return [head, form, tail]
    return [head + form[:way + 1], form[way + 1:] + tail]


def write(client, octets):
    with contextlib.suppress(Gone):  # it may be refused and hung up on before the last octet
        client.send(octets)
        time.sleep(PAUSE)


def by_data(client, pieces):
    client.send(b"DATA\r\n")
    assert client.reply()[0] == 354
    for piece in pieces:
        write(client, piece)
    write(client, b".\r\n")
    return client.reply()


def by_one_chunk(client, pieces):
    write(client, f"BDAT {sum(map(len, pieces))} LAST\r\n".encode())
    for piece in pieces:
        write(client, piece)
    return client.reply()


def by_chunks(client, pieces):
    """Each piece is a chunk; returns the last reply, which is the first refusal."""
    for number, piece in enumerate(pieces, 1):
        write(client, f"BDAT {len(piece)}{' LAST' * (number == len(pieces))}\r\n".encode() + piece)
    reply = client.reply()
    for _ in pieces[1:]:
        if reply[0] != 250:
            break
        reply = client.reply()
    return reply


SEND = {"DATA": (by_data,), "BDAT": (by_one_chunk, by_chunks)}


def send_every_way(house, link, server, carrier, chunking, parts):
    """Yields the name, the octets and the reply of each; parts(name) makes what is sent."""
    ways = range(count_ways(chunking, parts("")[1]))
    for send, way in itertools.product(SEND[carrier], ways):
        name = f"m{next(_numbers)}"
        pieces = pieces_of(chunking, way, *parts(name))
        with house.client(link, server).envelope("a@client.example", f"{name}@{DOMAIN}") as client:
            yield name, b"".join(pieces), send(client, pieces), client


def refused(house, link, server, carrier, chunking, form):
    """Whichever way it is sent, the client hears so, and nothing behind the form has left."""
    expected = NUL if b"\0" in form else BARE
    for _, octets, reply, client in send_every_way(house, link, server, carrier, chunking,
                                                   lambda name: holding(form, name)):
        assert reply == expected, octets
        assert client.is_closed()
    sent = house.sent_to(server)
    assert b"MAIL FROM:<a@client.example>" in sent
    assert b"smuggle" not in sent


# ---- without us ----

@pytest.mark.parametrize("server", SERVERS)
def test_item_01_the_victim_can_be_smuggled_to(house, server):
    """Else the tests below prove nothing."""
    believed, names = set(), {}
    for form in FORMS:
        names[form] = f"m{next(_numbers)}"
        with Client(house.ports[server]).hello().envelope("a@client.example", f"{names[form]}@{DOMAIN}") as client:
            assert client.say("DATA")[0] == 354
            client.send(b"".join(holding(FORMS[form], names[form])) + b".\r\n")
            assert client.reply()[0] == 250
            for _ in range(4):  # as many replies as a second message has
                client.say("NOOP")
    mails = house.mails()
    for form, name in names.items():
        assert name in mails, form
        if f"smuggled-{name}" in mails:
            believed.add(form)
    assert believed == BELIEVED


# ---- the cases ----

@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("chunking", CHUNKINGS)
@pytest.mark.parametrize("form", FORMS)
def test_item_01_nothing_is_smuggled(house, form, chunking, carrier, link):
    for server in SERVERS:
        refused(house, link, server, carrier, chunking, FORMS[form])
        with house.client(link, server).envelope("a@client.example", f"good-{server}@{DOMAIN}") as client:
            assert by_data(client, [stuffed(GOOD)[:-3]])[0] == 250
    assert house.mails() == {f"good-{server}": GOOD for server in SERVERS}


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("form", FORMS)
def test_item_01_nothing_is_smuggled_deep_in_a_message(house, form, carrier):
    """Its beginning is with the server already, in chunks or behind DATA."""
    for server in SERVERS:
        head, _, tail = holding(FORMS[form], "deep", b"x" * 70 + (b"\r\n" + b"y" * 70) * 3000 + b"\r\n")
        with house.client("plain", server).envelope("a@client.example", f"deep@{DOMAIN}") as client:
            length = len(head) + len(FORMS[form]) + len(tail)
            client.send(b"DATA\r\n" if carrier == "DATA" else f"BDAT {length} LAST\r\n".encode())
            assert carrier == "BDAT" or client.reply()[0] == 354
            client.send(head)
            wait_for(lambda: len(house.taps[server].octets) > 64000, why="the beginning is there")
            write(client, FORMS[form] + tail + (b".\r\n" if carrier == "DATA" else b""))
            assert client.reply() == (NUL if b"\0" in FORMS[form] else BARE)
            assert client.is_closed()
        sent = house.sent_to(server)
        assert b"smuggle" not in sent and b"LAST" not in sent and END not in sent
    assert house.mails() == {}


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("chunking", CHUNKINGS)
def test_item_10_the_true_end_inside_a_chunk_is_data(house, chunking, server, link):
    """All of it is one message; where BDAT becomes DATA its dots are doubled."""
    expected = {}
    for name, octets, reply, _ in send_every_way(house, link, server, "BDAT", chunking,
                                                 lambda name: holding(END, name)):
        assert reply[0] == 250, reply
        expected[name] = octets
    assert len(expected) == 2 * count_ways(chunking, END)
    assert house.mails() == expected


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("carrier", CARRIERS)
def test_item_06_dots_arrive_as_they_were_sent(house, carrier, server):
    body = b"Subject: dots\r\n\r\n.\r\n..\r\n...x\r\n.MAIL FROM:<smuggler@client.example>\r\nx.\r\n\r\n.\r\n"
    wire = stuffed(body)[:-3] if carrier == "DATA" else body
    expected = {}
    for at in range(1, len(wire)):
        for send in SEND[carrier]:
            name = f"m{next(_numbers)}"
            with house.client("plain", server).envelope("a@client.example", f"{name}@{DOMAIN}") as client:
                assert send(client, [wire[:at], wire[at:]])[0] == 250
            expected[name] = body
    assert house.mails() == expected
