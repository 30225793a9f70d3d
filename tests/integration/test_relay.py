"""The relay before scripted servers: replays and what binds them, bodies of all sizes, clients that
leave, servers that differ in what they offer, relay control, overflow, and limits on sessions.

One balancer with many listeners serves most tests; each kind of server (BDAT or DATA) has a pool of
two, the first of which is always asked first.
"""
import contextlib
import itertools
import socket
import threading
import time

import pytest

from harness.balancer import Balancer
from harness.client import Client, Gone
from harness.ledger import AMBIGUOUS
from harness.scripted import DROP, USUAL, Scripted
from harness.world import free_port, program, wait_for

FARMS = {"bdat": USUAL, "data": USUAL[:-1]}
VARIANTS = {"usual": "", "none": "replay-limit 0;", "ten": "replay-limit 10KiB;", "medium": "replay-limit 64KiB;",
            "again": "resend-ambiguous yes;"}
OFFER = "offer PIPELINING SIZE 8BITMIME SMTPUTF8 DSN CHUNKING ENHANCEDSTATUSCODES;"
TROUBLE = "451 4.3.0 Disk trouble"
# What a frame's border, a dot, an eighth bit or a long line could spoil.
HARD = (b"Subject: hard\r\n\r\n.\r\n..\r\n.x\r\n" + bytes(range(0xa0, 0x100)) + b"\r\n" + b"y" * 998 + b"\r\n\r\n"
        + b".\r\n" * 1000)

_names = itertools.count(1)


class From(Client):
    """A client at another address of this machine."""

    def __init__(self, port, address, patience=30.0):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=patience, source_address=(address, 0))
        self.rest = b""
        self.greeting = self.reply()


def pool(name, servers, options=""):
    lines = [f"  server {server.name} 127.0.0.1:{server.port} {more};" for server, more in servers]
    return "\n".join((f"pool {name} {{ pass-client none; check none; {options}", *lines, "}"))


class House:
    def __init__(self, folder):
        self.weir = Balancer(folder, program("careful"))
        self.plan, self.ports, self.servers = {}, {}, {}
        self.texts = []

    def server(self, name, caps=USUAL):
        def say(phase, line, session):
            what = self.plan.get((name, phase), self.plan.get(phase))
            return what(line, session) if callable(what) else what
        self.servers[name] = Scripted(name, caps, say)
        return self.servers[name]

    def listener(self, name, send_to, options="", relay="relay-from 127.0.0.0/8;"):
        self.ports[name] = free_port()
        self.texts.append(f"listener {name} {{ bind 127.0.0.1:{self.ports[name]}; {relay} send-to {send_to}; "
                          f"log-addresses full; {options} }}")

    def build(self):
        for farm, caps in FARMS.items():
            first, second = self.server(f"{farm}1", caps), self.server(f"{farm}2", caps)
            self.texts.append(pool(farm, ((first, "tier=1"), (second, "tier=2"))))
            for name, options in VARIANTS.items():
                self.listener(f"{name}-{farm}", farm, options)
        plain, rich = self.server("plain", ("PIPELINING", "SIZE 1000000")), self.server(
            "rich", ("PIPELINING", "SIZE 2000000", "8BITMIME", "SMTPUTF8", "DSN"))
        self.texts += [pool("mixed", ((plain, "tier=1"), (rich, "tier=2"))), pool("poor", ((plain, ""),))]
        self.listener("mixed", "mixed", OFFER)
        self.listener("poor", "poor", OFFER)
        self.listener("honest", "mixed")
        self.texts += [pool("lone", ((self.server("lone"), ""),)),
                       pool("narrow", ((self.server("narrow"), "max-connections=1"),)),
                       pool("broken", ((self.server("broken"), ""),)), pool("spare", ((self.server("spare"), ""),))]
        self.listener("lone", "lone")
        self.listener("full", "narrow spare", "answer-within 3s;")
        self.listener("down", "broken spare")
        self.listener("mx", "lone", relay="relay-to dest.example .lists.example;")
        self.listener("strict", "lone", "command-timeout 1s;")
        self.listener("errors", "lone", "max-errors 3;")
        self.listener("idle", "lone", "max-idle-commands 10;")
        self.listener("few", "lone", "max-sessions-per-client 5;")
        first, *_ = self.servers.values()
        self.weir.write([(first.name, first.port, "")], workers=1, check="check none;", more="\n".join(self.texts))
        self.weir.start()

    def begin(self, plan=None):
        """Nothing is left of the test before."""
        self.plan.clear()
        self.weir.at_rest()
        for server in self.servers.values():
            server.accepted.clear()
            server.seen.clear()
        self.plan.update(plan or {})

    def client(self, listener, patience=30.0):
        return Client(self.ports[listener], patience)

    def accepted(self):
        """Server names by what they have accepted."""
        return [name for name, server in self.servers.items() for _ in server.accepted]

    def count(self, name, listener):
        return self.weir.metrics().sum(f"mailweir_listener_{name}_total", listener=listener)

    def line(self, name):
        """The log's line on the transaction of the client of this name."""
        return wait_for(lambda: next((line for line in self.weir.lines("transaction") if line["helo"] == name), None),
                        why=f"{name} logged")

    def attempts(self, line):
        return [(one["server"], one["reason"]) for one in self.weir.lines("attempt")
                if one["session"] == line["session"]]

    def stop(self):
        try:
            self.plan.clear()
            if self.weir.running():
                self.weir.at_rest()
                self.weir.stop()
        finally:
            self.weir.kill()
            for server in self.servers.values():
                server.close()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    made = House(tmp_path_factory.mktemp("relay"))
    try:
        made.build()
        yield made
    finally:
        made.stop()


@pytest.fixture
def house(built):
    built.begin()
    return built


@pytest.fixture(params=FARMS)
def farm(request):
    return request.param


def rcpt(*names):
    return "".join(f"RCPT TO:<{name}@dest.example>\r\n" for name in names)


MAIL = "MAIL FROM:<a@client.example>\r\n"
BODY = "Subject: x\r\n\r\nhello\r\n"


def chunk(body, last=True):
    body = body.encode() if isinstance(body, str) else body
    return b"BDAT %d%s\r\n" % (len(body), b" LAST" if last else b"") + body


def send(client, *recipients, body=BODY, sender=MAIL):
    """The codes of all replies to a message in one write."""
    client.send((sender + rcpt(*recipients)).encode() + chunk(body))
    return [client.reply()[0] for _ in range(len(recipients) + 2)]


def named(client):
    name = f"relay{next(_names)}.example"
    client.hello(name)
    return name


# ---- replays ----

def test_a_replay_offers_those_who_were_told_so(house, farm):
    def by_name(line, _):
        return "550 5.1.1 Unknown" if "<v@" in line else "450 4.2.0 Busy" if "<w@" in line else None
    house.begin({(f"{farm}1", "rcpt"): by_name, (f"{farm}1", "end"): TROUBLE})
    with house.client(f"usual-{farm}") as client:
        name = named(client)
        assert send(client, "u", "v", "w", "x") == [250, 250, 550, 450, 250, 250]
    second = house.servers[f"{farm}2"]
    assert [line for _, phase, line in second.seen if phase == "rcpt"] \
        == ["RCPT TO:<u@dest.example>", "RCPT TO:<x@dest.example>"]
    assert house.accepted() == [f"{farm}2"]
    assert second.accepted == [(("u@dest.example", "x@dest.example"), BODY.encode())]
    line = house.line(name)
    assert (line["recipients"], line["recipients_accepted"], line["attempts"]) == (4, 2, 2)


def test_a_replay_whose_answers_differ(house, farm):
    """Some would have it and some not, though all were told 250: so nobody, and try again."""
    house.begin({(f"{farm}1", "end"): TROUBLE,
                 (f"{farm}2", "rcpt"): lambda line, _: "550 5.1.1 Unknown" if "<v@" in line else None})
    with house.client(f"usual-{farm}") as client:
        name = named(client)
        client.send((MAIL + rcpt("u", "v")).encode() + chunk(BODY))
        assert [client.reply()[0] for _ in range(3)] == [250, 250, 250]
        assert client.reply() == (451, "4.3.0 The servers disagree about the recipients, try again later")
        assert house.accepted() == []
        line = house.line(name)
        assert line["outcome"] == "deferred" and line["own"]
        assert [server for server, _ in house.attempts(line)] == [f"{farm}1", f"{farm}2"]
        # The second was left in the middle of an envelope: whoever comes next clears it first.
        house.plan.clear()
        house.plan[(f"{farm}1", "rcpt")] = TROUBLE
        assert send(client, "u") == [250, 250, 250]
    assert house.accepted() == [f"{farm}2"]
    second = [phase for _, phase, _ in house.servers[f"{farm}2"].seen]
    assert "rset" in second and second.index("rset") < len(second) - 1 - second[::-1].index("mail"), second


def begin_large(house, listener, farm, size):
    """A client in the middle of a body that has begun to arrive at the first server."""
    client = house.client(listener)
    name = named(client)
    client.envelope("a@client.example", "u@dest.example")
    assert client.say("DATA")[0] == 354
    body = HARD + (b"z" * 70 + b"\r\n") * (size // 72)
    wire = body.replace(b"\r\n.", b"\r\n..")
    client.send(wire)
    first = house.servers[f"{farm}1"]
    wait_for(lambda: house.weir.metrics().sum("mailweir_server_bytes_out_bytes_total", server=first.name, pool=farm)
             > house.bytes_out + 60000, why="the body is on its way")
    return client, name, body


@pytest.fixture
def lost(house, farm):
    house.bytes_out = house.weir.metrics().sum("mailweir_server_bytes_out_bytes_total", server=f"{farm}1", pool=farm)
    return house


def test_a_body_lost_within_replay_limit(lost, farm):
    client, name, body = begin_large(lost, f"usual-{farm}", farm, 300_000)
    with client:
        lost.servers[f"{farm}1"].hang_up_all()
        line = "The rest goes to the second, too.\r\n"
        client.send(line.encode())
        assert client.say(".")[0] == 250
    assert lost.accepted() == [f"{farm}2"]
    assert lost.servers[f"{farm}2"].accepted[0][1] == body + line.encode(), "byte for byte"
    assert lost.attempts(lost.line(name)) == [(f"{farm}1", "body_lost"), (f"{farm}2", "accepted")]


def test_a_body_lost_beyond_replay_limit(lost, farm):
    client, name, body = begin_large(lost, f"medium-{farm}", farm, 300_000)
    with client:
        lost.servers[f"{farm}1"].hang_up_all()
        client.send(b"The rest goes nowhere.\r\n")
        assert client.say(".") == (451, "4.4.2 The server was lost inside the message, try again")
        assert lost.accepted() == []
        assert lost.line(name)["outcome"] == "deferred"
        assert send(client, "u") == [250, 250, 250], "the session goes on"
    assert lost.attempts(lost.line(name))[0] == (f"{farm}1", "body_lost")


@pytest.mark.parametrize("variant", ("none", "ten"))
def test_small_replay_limits(house, farm, variant):
    for body in (BODY.encode(), HARD, HARD + b"w" * 70 + b"\r\n" * 200_000):
        house.begin()
        with house.client(f"{variant}-{farm}") as client:
            client.hello()
            assert send(client, "u", body=body) == [250, 250, 250]
            client.envelope("a@client.example", "u@dest.example")
            assert client.say("DATA")[0] == 354
            client.send(body.replace(b"\r\n.", b"\r\n.."))
            assert client.say(".")[0] == 250
        assert [mail for _, mail in house.servers[f"{farm}1"].accepted] == [body, body]
    house.begin({"end": "550 5.7.1 No"})
    with house.client(f"{variant}-{farm}") as client:
        client.hello()
        assert send(client, "u", body=HARD * 20) == [250, 250, 550]


@pytest.mark.parametrize("variant", ("usual", "none", "ten"))
def test_a_large_chunk_behind_a_refused_recipient(house, farm, variant):
    house.begin({"rcpt": "550 5.1.1 Unknown"})
    with house.client(f"{variant}-{farm}") as client:
        client.hello()
        client.send((MAIL + rcpt("u")).encode() + chunk(b"v" * 70 + b"\r\n" * 1_500_000))
        assert [client.reply()[0] for _ in range(3)] == [250, 550, 554]
        house.plan.clear()
        assert send(client, "u") == [250, 250, 250]


# ---- refusals ----

def test_mail_refused_in_a_pipeline(house, farm):
    first = house.servers[f"{farm}1"]
    with house.client(f"usual-{farm}") as client:
        client.hello()
        assert send(client, "u") == [250, 250, 250]
        sessions, before = first.sessions, house.count("recipients_refused", f"usual-{farm}")
        house.plan["mail"] = "550 5.7.1 Not from you"
        client.send((MAIL + rcpt("u", "v", "w")).encode())
        assert client.reply()[0] == 250
        assert [client.reply() for _ in range(3)] == [(550, "5.7.1 Not from you")] * 3
        assert house.count("recipients_refused", f"usual-{farm}") == before + 3
        # The server's replies to RCPT come behind that; then the connection is free again.
        wait_for(lambda: house.weir.servers()[first.name]["idle"] == 1, why="given back")
        house.plan.clear()
        assert client.say("RSET")[0] == 250
        assert send(client, "u") == [250, 250, 250]
    assert (first.sessions, house.accepted()) == (sessions, [first.name] * 2), "on the same connection"


def test_one_451_by_the_only_server(house):
    """It is that recipient's answer, and costs the others nothing."""
    house.begin({"rcpt": lambda line, _: "451 later" if "<v@" in line else None})
    with house.client("lone") as client:
        client.hello()
        client.send((MAIL + rcpt("u", "v", "w")).encode() + chunk(BODY))
        assert [client.reply() for _ in range(4)][1:] \
            == [(250, "2.1.5 Ok"), (451, "later"), (250, "2.1.5 Ok")]
        assert client.reply()[0] == 250
    assert house.servers["lone"].accepted == [(("u@dest.example", "w@dest.example"), BODY.encode())]


# ---- the client leaves ----

@pytest.fixture
def thoughtful(house, farm):
    """The first server thinks about its verdict until told so."""
    think = threading.Event()
    house.begin({(f"{farm}1", "end"): lambda *_: think.wait(30) and None})
    client = house.client(f"usual-{farm}")
    house.name = named(client)
    client.send((MAIL + rcpt("u")).encode() + chunk(BODY))
    assert [client.reply()[0] for _ in range(2)] == [250, 250]
    wait_for(lambda: house.weir.listener("in_gap") == 1, why="in the gap")
    house.think = think
    yield house, client
    think.set()
    client.close()


def test_accepted_and_unheard(thoughtful, farm):
    house, client = thoughtful
    before = house.count("accepted_unheard", f"usual-{farm}")
    client.close()
    house.think.set()
    assert house.line(house.name)["outcome"] == "accepted-unheard"
    assert house.accepted() == [f"{farm}1"]
    assert house.count("accepted_unheard", f"usual-{farm}") == before + 1
    house.weir.at_rest()


def test_a_client_that_closes_its_half(thoughtful, farm):
    """It has nothing more to say, and may still listen: it is told."""
    house, client = thoughtful
    client.sock.shutdown(socket.SHUT_WR)
    wait_for(lambda: house.weir.listener("in_gap") == 1, why="still in the gap")
    house.think.set()
    assert client.reply()[0] == 250
    assert client.is_closed()
    assert house.line(house.name)["outcome"].startswith("accepted")
    assert house.accepted() == [f"{farm}1"]


def test_a_client_that_leaves_before_the_end(house, farm):
    with house.client(f"usual-{farm}") as client:
        name = named(client)
        client.envelope("a@client.example", "u@dest.example")
        assert client.say("DATA")[0] == 354
        client.send(BODY.encode())
    assert house.line(name)["outcome"] == "abandoned"
    house.weir.at_rest()
    assert house.accepted() == []


# ---- ambiguity ----

@pytest.mark.parametrize("kept", (False, True), ids=("lost", "kept"))
def test_resend_ambiguous(house, farm, kept):
    house.begin({(f"{farm}1", "end"): ["keep", DROP] if kept else DROP})
    with house.client(f"usual-{farm}") as client:
        name = named(client)
        client.envelope("a@client.example", "u@dest.example")
        client.send(chunk(BODY))
        assert "{} {}".format(*client.reply()) == AMBIGUOUS
        assert house.accepted() == [f"{farm}1"] * kept
    house.begin({(f"{farm}1", "end"): ["keep", DROP] if kept else DROP})
    with house.client(f"again-{farm}") as client:
        name = named(client)
        assert send(client, "u") == [250, 250, 250]
    assert house.accepted() == [f"{farm}1"] * kept + [f"{farm}2"]
    line = house.line(name)
    assert house.attempts(line) == [(f"{farm}1", "ended_no_reply"), (f"{farm}2", "accepted")]
    assert line["outcome"] == "accepted"


@pytest.mark.parametrize("second", ("550 5.1.1 No such user", "421 4.3.2 Going down", "451 4.3.0 Disk trouble"))
def test_a_message_that_a_former_server_may_have_is_never_refused(house, farm, second):
    house.begin({(f"{farm}1", "end"): ["keep", DROP], (f"{farm}2", "end"): second})
    with house.client(f"again-{farm}") as client:
        name = named(client)
        client.envelope("a@client.example", "u@dest.example")
        client.send(chunk(BODY))
        assert "{} {}".format(*client.reply()) == AMBIGUOUS
    assert house.accepted() == [f"{farm}1"]
    assert house.line(name)["outcome"] == "ambiguous"


# ---- what servers offer ----

NEEDY = {"dsn": ("MAIL FROM:<a@client.example> RET=HDRS ENVID=e1\r\n", "RCPT TO:<u@dest.example> NOTIFY=NEVER\r\n"),
         "dsn-rcpt": (MAIL, "RCPT TO:<u@dest.example> NOTIFY=FAILURE ORCPT=rfc822;u@dest.example\r\n"),
         "utf8": ("MAIL FROM:<ä@client.example> SMTPUTF8\r\n", "RCPT TO:<ü@dest.example>\r\n"),
         "8bit": ("MAIL FROM:<a@client.example> BODY=8BITMIME\r\n", rcpt("u")),
         "size": ("MAIL FROM:<a@client.example> SIZE=1500000\r\n", rcpt("u"))}


def see_servers(house):
    """Until a server has greeted it has the benefit of the doubt."""
    house.begin({("plain", "rcpt"): TROUBLE})
    with house.client("mixed") as client:
        client.hello()
        assert send(client, "u") == [250, 250, 250]
    assert house.accepted() == ["rich"]
    house.begin()


@pytest.mark.parametrize("needs", NEEDY)
def test_a_server_that_has_what_the_message_needs(house, needs):
    see_servers(house)
    with house.client("mixed") as client:
        client.hello()
        assert send(client, "u") == [250, 250, 250]
        assert house.accepted() == ["plain"]
        client.send("".join(NEEDY[needs]).encode() + chunk(BODY))
        assert [client.reply()[0] for _ in range(3)] == [250, 250, 250]
    assert house.accepted() == ["plain", "rich"]
    lines = {line for _, phase, line in house.servers["rich"].seen if phase in ("mail", "rcpt")}
    assert lines == {line.strip().encode().decode("latin-1") for line in NEEDY[needs]}, "parameters are passed on"


REFUSALS = {"dsn": (555, "5.5.4"), "dsn-rcpt": (555, "5.5.4"), "utf8": (550, "5.6.7"), "8bit": (555, "5.5.4"),
            "size": (552, "5.3.4")}


@pytest.mark.parametrize("needs", NEEDY)
def test_no_server_has_what_the_message_needs(house, needs):
    """Whatever their health: that is for good, and says why."""
    see_servers(house)
    with house.client("poor") as client:
        name = named(client)
        client.send("".join(NEEDY[needs]).encode())
        assert client.reply()[0] == 250
        code, text = client.reply()
        assert (code, text.split()[0]) == REFUSALS[needs], (code, text)
        assert client.say("RSET")[0] == 250
        assert send(client, "u") == [250, 250, 250]
    assert house.accepted() == ["plain"]
    assert house.line(name)["outcome"] == "refused"


def test_what_is_not_offered_is_refused_at_once(house):
    see_servers(house)
    with house.client("honest") as client:
        offered = {line.split()[0] for line in client.say("EHLO client.example")[1].split("\n")[1:]}
        assert "SIZE 1000000" in client.say("EHLO client.example")[1]
        assert {"PIPELINING", "CHUNKING"} <= offered, "these are ours to offer"
        assert not {"8BITMIME", "SMTPUTF8", "DSN"} & offered, "the first server hasn't got them"
        for needs, code in (("dsn", 555), ("utf8", 550), ("8bit", 555)):
            assert client.say(NEEDY[needs][0].strip())[0] == code, needs
        assert client.say(MAIL.strip())[0] == 250
        assert client.say(NEEDY["dsn-rcpt"][1].strip())[0] == 555
        assert client.say("MAIL FROM:<a@client.example> SIZE=60000000")[0] in (503, 552)


# ---- relay control ----

def test_relay_control(house):
    with house.client("mx") as client:
        name = named(client)
        before = house.count("relay_denied", "mx")
        assert client.say(MAIL.strip())[0] == 250
        for to, allowed in (("u@dest.example", True), ("u@DEST.Example", True), ("u@a.lists.example", True),
                            ("postmaster", True), ("u@elsewhere.example", False), ("u@sub.dest.example", False),
                            ("u@dest.example.evil.example", False), ("u%elsewhere.example@dest.example", False),
                            ("elsewhere.example!u@dest.example", False), ("u@[127.0.0.1]", False)):
            reply = client.say(f"RCPT TO:<{to}>")
            assert reply == ((250, "2.1.5 Ok") if allowed else (554, "5.7.1 Relay access denied")), (to, reply)
        assert client.say("RCPT TO:<@dest.example:u@elsewhere.example>")[0] == 554
        assert house.count("relay_denied", "mx") == before + 7
        client.send(chunk(BODY))
        assert client.reply()[0] == 250
    (recipients, _), = house.servers["lone"].accepted
    assert recipients == ("u@dest.example", "u@DEST.Example", "u@a.lists.example", "postmaster")
    assert house.line(name)["recipients_accepted"] == 4
    # The same client where it is one of those who may.
    house.begin()
    with house.client("lone") as client:
        client.hello().envelope("a@client.example", "u@elsewhere.example")
        client.send(chunk(BODY))
        assert client.reply()[0] == 250
    assert house.accepted() == ["lone"]


# ---- overflow ----

def test_overflow_when_the_first_pool_is_full(house):
    with house.client("full") as holder, house.client("full") as other:
        holder.hello().envelope("a@client.example", "u@dest.example")
        name = named(other)
        assert send(other, "u") == [250, 250, 250]
        assert house.accepted() == ["spare"]
        holder.send(chunk(BODY))
        assert holder.reply()[0] == 250
    assert house.accepted() == ["narrow", "spare"]
    line = house.line(name)
    assert (line["pool"], line["server"]) == ("spare", "spare")
    with house.client("full") as client:
        client.hello()
        assert send(client, "u") == [250, 250, 250]
    assert house.accepted() == ["narrow", "narrow", "spare"], "full is not down"


def test_overflow_when_the_first_pool_is_down(house):
    with house.client("down") as client:
        client.hello()
        assert send(client, "u") == [250, 250, 250]
        assert house.accepted() == ["broken"]
        house.servers["broken"].close()
        for _ in range(3):
            assert send(client, "u") == [250, 250, 250]
    assert house.accepted() == ["broken", "spare", "spare", "spare"]


# ---- limits ----

def until_421(client, lines):
    """The codes before the session's last word."""
    codes = []
    with contextlib.suppress(Gone):
        client.send(lines)
    while True:
        code, text = client.reply()
        if code == 421:
            assert client.is_closed()
            return codes, text
        codes.append(code)


def test_too_many_idle_commands(house):
    """From the half of them on it is slowed down: a flood takes its time."""
    began = time.monotonic()
    with house.client("idle") as client:
        name = named(client)
        codes, text = until_421(client, b"NOOP\r\n" * 100)
    assert text == "4.7.0 Too many commands without a message"
    assert codes == [250] * 10, "with EHLO one more than ten"
    assert time.monotonic() - began > 3
    line = wait_for(lambda: [line for line in house.weir.lines("session") if line.get("helo") == name], why="log")
    assert line[0]["reason"] == "idle commands"


def test_too_many_errors(house):
    before = house.count("protocol_errors", "errors")
    with house.client("errors") as client:
        name = named(client)
        codes, text = until_421(client, b"WHAT\r\n" * 10)
    assert (codes, text) == ([500] * 4, "4.7.0 Too many errors")
    assert house.count("protocol_errors", "errors") == before + 4
    line = wait_for(lambda: [line for line in house.weir.lines("session") if line.get("helo") == name], why="log")
    assert line[0]["reason"] == "errors"


def test_accepted_mail_forgives_errors(house):
    with house.client("errors") as client:
        client.hello()
        for _ in range(2):
            assert [client.say("WHAT")[0] for _ in range(2)] == [500] * 2
            assert send(client, "u") == [250, 250, 250]


def test_a_client_that_dribbles(house):
    """Each octet is in time; the line is not."""
    with house.client("strict") as client:
        client.hello()
        began = time.monotonic()
        with contextlib.suppress(Gone):
            for octet in itertools.repeat(b"N", 300):
                client.send(octet)
                client.sock.settimeout(0.1)
                with contextlib.suppress(TimeoutError):
                    client.rest = client.sock.recv(1000)
                    break
        client.sock.settimeout(20)
        assert client.reply() == (421, "4.4.2 Time-out waiting for a command")
        assert client.is_closed() and 0.9 < time.monotonic() - began < 15


def test_a_client_that_never_reads(house):
    """It is choked, others are served, and its time is bounded."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", house.ports["strict"]))
        sock.sendall(b"EHLO deaf.example\r\n" + MAIL.encode())
        sock.settimeout(0.5)
        sent = 0
        with contextlib.suppress(OSError):  # full, or hung up on
            while sent < 20_000_000:
                sent += sock.send(rcpt(*(f"u{number}" for number in range(2000))).encode())
        assert sent < 20_000_000, "it was read without end"
        with house.client("lone") as client:
            client.hello()
            assert send(client, "u") == [250, 250, 250]
        assert house.weir.metrics().sum("mailweir_process_memory_chunks_bytes") < 10_000_000
        wait_for(lambda: house.weir.metrics().sum("mailweir_listener_sessions", listener="strict") == 0, 40,
                 "its session ends though it neither reads nor leaves")


def test_a_flood_of_connections(house):
    refused = house.count("sessions_refused", "few")
    with contextlib.ExitStack() as stack:
        flood = [stack.enter_context(Client(house.ports["few"], banner=False)) for _ in range(50)]
        greetings = [client.reply() for client in flood]
        assert [code for code, _ in greetings].count(220) == 5
        for (code, text), client in zip(greetings, flood):
            if code != 220:
                assert (code, text) == (421, "4.7.0 Too many sessions from your address") and client.is_closed()
        assert house.count("sessions_refused", "few") == refused + 45
        with From(house.ports["few"], "127.0.0.2") as other:
            assert send(other.hello(), "u") == [250, 250, 250], "somebody else is served"
        welcome = next(client for (code, _), client in zip(greetings, flood) if code == 220)
        assert send(welcome.hello(), "u") == [250, 250, 250]
    house.weir.at_rest()
    with house.client("few") as client:
        assert send(client.hello(), "u") == [250, 250, 250], "there is room again"


def test_gauges_at_rest(house):
    """After all that."""
    house.weir.at_rest()
    metrics = house.weir.metrics()
    assert metrics.sum("mailweir_listener_sessions") == metrics.sum("mailweir_listener_in_gap") == 0
    assert metrics.sum("mailweir_pool_waiting") == 0
