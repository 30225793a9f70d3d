"""Who somebody claims to be, what a message needs, other protocols (items 11 to 20 of docs/catalogue.md),
as far as Mailweir has them: there is no TLS, AUTH or XCLIENT yet, and nothing pretends so.  PROXY
headers where they are expected are test_proxy.py's.
"""
import contextlib
import socket
import struct

import pytest

from harness.client import Client, Gone
from harness.scripted import USUAL, Scripted

BODY = b"Subject: x\r\n\r\nhello\r\n"
LATER = ("STARTTLS", "AUTH PLAIN LOGIN", "XCLIENT ADDR NAME LOGIN", "XFORWARD ADDR NAME", "REQUIRETLS")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """One server that offers all there is."""
    from harness.balancer import Balancer
    from harness.world import program
    weir = Balancer(tmp_path_factory.mktemp("identity"), program("careful"))
    with Scripted("s1", USUAL + ("SMTPUTF8", "DSN") + LATER) as server:
        try:
            weir.write([server], workers=1, check="check none;", listener="max-errors 1000;").start()
            yield weir, server
            weir.stop()
        finally:
            weir.kill()


@pytest.fixture
def front(built):
    """Its EHLO was seen, and what the last test did is forgotten."""
    weir, server = built
    deliver(weir)
    weir.at_rest()
    server.accepted.clear()
    server.seen.clear()
    return weir, server


def deliver(weir, sender="<a@client.example>", to="<b@dest.example>"):
    with weir.client().hello() as client:
        client.send(f"MAIL FROM:{sender}\r\nRCPT TO:{to}\r\nBDAT {len(BODY)} LAST\r\n".encode() + BODY)
        assert [client.reply()[0] for _ in range(3)] == [250, 250, 250], (sender, to)


def said(server, *phases):
    """The lines of these commands, as octets."""
    return [line.encode("latin-1") for _, phase, line in server.seen if phase in phases]


# ---- 11, 13 to 17: what isn't there ----

def test_item_11_starttls_is_not_offered_and_no_border_is_crossed(front):
    weir, server = front
    with weir.client() as client:
        assert "STARTTLS" not in client.say("EHLO client.example")[1]
        client.send(b"STARTTLS\r\nNOOP\r\n")
        assert [client.reply()[0], client.reply()[0]] == [500, 250]
    assert not server.seen


def test_item_14_auth_is_not_offered_and_nothing_of_it_is_relayed(front):
    weir, server = front
    with weir.client() as client:
        assert "AUTH" not in client.say("EHLO client.example")[1]
        assert client.say("AUTH PLAIN AHUAcA==")[0] == 500
        assert client.say("AHUAcA==")[0] == 500, "it asks for no secret, so none is taken"
        assert client.say("MAIL FROM:<a@client.example> AUTH=<>")[0] == 555
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        assert client.say("AUTH PLAIN AHUAcA==")[0] == 500
        assert client.say("RCPT TO:<b@dest.example>")[0] == 250
    weir.at_rest()
    assert said(server, "mail", "rcpt") == [b"MAIL FROM:<a@client.example>", b"RCPT TO:<b@dest.example>"]


@pytest.mark.parametrize("line", ("XCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]", "XFORWARD NAME=x ADDR=192.0.2.1"))
def test_item_15_who_somebody_claims_to_be_is_not_relayed(front, line):
    """Neither do we claim anything, though the server would listen."""
    weir, server = front
    with weir.client() as client:
        text = client.say("EHLO client.example")[1]
        assert "XCLIENT" not in text and "XFORWARD" not in text
        assert client.say(line)[0] == 500
    deliver(weir)
    assert said(server, "mail", "rcpt") == [b"MAIL FROM:<a@client.example>", b"RCPT TO:<b@dest.example>"]


V2 = b"\r\n\r\n\0\r\nQUIT\n"  # the signature of a PROXY header, version 2


@pytest.mark.parametrize("header", (
    b"PROXY TCP4 192.0.2.1 192.0.2.2 40000 25\r\n", b"PROXY UNKNOWN\r\n", b"PROXY\r\n",
    V2 + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes(4), bytes(4), 40000, 25), V2 + b"\x20\0\0\0"),
    ids=("v1", "v1-unknown", "v1-bare", "v2", "v2-local"))
def test_item_16_a_proxy_header_where_none_is_expected(front, header):
    """Who sends one believes to be trusted: it is closed, and nothing behind it is read."""
    weir, server = front
    with weir.client() as client:
        client.send(header + b"EHLO client.example\r\nVRFY x\r\n")
        replies = last_words(client)
        assert replies[-1] == (554, "5.5.0 This is an SMTP port")
        assert all(code in (500, 554) for code, _ in replies), replies
    assert not server.seen


@pytest.mark.parametrize("parameter", ("REQUIRETLS", "BODY=BINARYMIME", "MT-PRIORITY=3", "HOLDFOR=60", "X=y"))
def test_item_17_a_parameter_that_is_not_offered_is_never_stripped(front, parameter):
    weir, server = front
    with weir.client().hello() as client:
        assert client.say(f"MAIL FROM:<a@client.example> {parameter}")[0] in (501, 555)
        assert client.say("RCPT TO:<b@dest.example>")[0] == 503
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        assert client.say(f"RCPT TO:<b@dest.example> {parameter}")[0] in (501, 555)
    assert not server.seen


def test_item_17_what_is_offered_is_what_the_server_has(front):
    weir, _ = front
    with weir.client() as client:
        offered = client.say("EHLO client.example")[1].split("\n")[1:]
    assert sorted(line.split()[0] for line in offered) == sorted(
        ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES", "HELP"))


# ---- 18: addresses ----

PATHS = ("<b@dest.example>", "<@a.example,@b.example:u@dest.example>", r'<"a b\"@c"@dest.example>', "<u@[127.0.0.1]>",
         "<u@[IPv6:::1]>", "<B.MiXed+Tag@DEST.Example>", '<"quoted"@dest.example>', '<""@dest.example>',
         "<!#$%&'*+-/=?^_`{|}~@dest.example>", "<" + "l" * 64 + "@dest.example>", "<u@xn--dmin-moa0i.example>")
UTF8 = ("<ä@dest.example>", "<u@dömäin.example>", "<用户@例え.example>", '<"ü b"@dest.example>')


@pytest.mark.parametrize("path", PATHS)
def test_item_18_addresses_are_forwarded_octet_for_octet(front, path):
    weir, server = front
    deliver(weir, path, path)
    assert said(server, "mail", "rcpt") == [f"MAIL FROM:{path}".encode(), f"RCPT TO:{path}".encode()]


def test_item_18_the_null_sender_and_postmaster(front):
    weir, server = front
    deliver(weir, "<>", "<PostMaster>")
    assert said(server, "mail", "rcpt") == [b"MAIL FROM:<>", b"RCPT TO:<PostMaster>"]


@pytest.mark.parametrize("path", UTF8)
def test_item_18_utf8_addresses_are_forwarded_octet_for_octet(front, path):
    weir, server = front
    deliver(weir, f"{path} SMTPUTF8", path)
    assert said(server, "mail", "rcpt") == [f"MAIL FROM:{path} SMTPUTF8".encode(), f"RCPT TO:{path}".encode()]
    with weir.client().hello() as client:
        assert client.say(f"MAIL FROM:{path}")[0] in (501, 553), "not without SMTPUTF8"


@pytest.mark.parametrize("path", (
    "<u@d", "u@d", "<u@d>>", "<u@d> <v@d>", "<<u@d>>", "<u@>", "<@d>", "<u@d..e>", "<.u@d>", "<u..v@d>", "<u@-d>",
    '<"u@d>', '<"u"v@d>', "<u v@d>", "<u@[1.2.3]>", "<u@[IPv6:x]>", "<u@d>x", "<@a@b:u@d>", "<u@d\t>", "<u@d:25>",
    "<\x7f@d>", "<u@b\xffd>", "<>"))
def test_item_18_what_is_no_address_is_refused(front, path):
    weir, server = front
    octets = path.encode("latin-1")
    with weir.client().hello() as client:
        if path != "<>":
            assert client.say(b"MAIL FROM:" + octets)[0] == 501
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        assert client.say(b"RCPT TO:" + octets)[0] == 501
        assert client.say("RSET")[0] == 250
    assert not server.seen


# ---- 19: other protocols ----

def last_words(client):
    """All replies until the connection is closed."""
    replies = []
    with contextlib.suppress(Gone):
        while True:
            replies.append(client.reply())
    return replies


COMMANDS = b"EHLO x\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<b@dest.example>\r\nDATA\r\nsmuggled\r\n.\r\n"
HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(range(189))  # the beginning of a TLS ClientHello
OTHERS = {"get": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "post": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
          "put": b"PUT / HTTP/1.1\r\nHost: x\r\n\r\n", "connect": b"CONNECT x:25 HTTP/1.1\r\n\r\n",
          "options": b"OPTIONS * HTTP/1.1\r\n\r\n", "head": b"HEAD / HTTP/1.0\r\n\r\n",
          "delete": b"DELETE / HTTP/1.1\r\n\r\n", "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "tls": HELLO}


@pytest.mark.parametrize("pace", ("at-once", "octet-by-octet", "greeted"))
@pytest.mark.parametrize("name", OTHERS)
def test_item_19_another_protocol_is_closed_at_its_first_line(front, name, pace):
    """A browser that was tricked into speaking to us: no command behind its request is executed."""
    weir, server = front
    with weir.client() as client:
        if pace == "greeted":
            client.hello()
        octets = OTHERS[name] + COMMANDS
        for at in range(len(octets)) if pace == "octet-by-octet" else (slice(None),):
            with contextlib.suppress(Gone):
                client.send(octets[at:at + 1] if pace == "octet-by-octet" else octets)
        assert last_words(client) == [(554, "5.5.0 This is an SMTP port")]
    assert not server.seen


def test_item_19_a_silent_stranger_is_greeted_once(front):
    """TLS from the first octet gets a banner, an answer and the end; nobody is kept waiting."""
    weir, _ = front
    with Client(weir.port, banner=False) as client:
        client.send(HELLO[:3])
        assert [code for code, _ in last_words(client)] == [220, 554]
        with contextlib.suppress(OSError):
            client.sock.shutdown(socket.SHUT_RDWR)
