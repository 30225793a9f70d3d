"""What goes wrong on the wire, on framing (items 2 to 10 of docs/catalogue.md): hostile input over raw
sockets, against a running balancer.  Item 1, the end of data, has test_smuggling.py."""
import time

import pytest

from harness.client import Gone, stuffed
from harness.world import wait_for

MAIL = b"MAIL FROM:<a@client.example>\r\n"
RCPT = b"RCPT TO:<b@dest.example>\r\n"
BODY = b"Subject: x\r\n\r\n"

BARE = (550, "5.5.2 Bare CR or bare LF in the message")
NUL = (550, "5.6.0 NUL in the message")


@pytest.fixture
def front(weir, sinks):
    """front(...) starts one sink and the balancer before it; returns both."""
    def start(*options, **config):
        server, = sinks(1, *options, write=True)
        weir.write([server], **config).start().seen_servers()
        return weir, server
    return start


def begun(weir, verb=b"DATA\r\n"):
    """A client that may send its body."""
    client = weir.client().hello().envelope("a@client.example", "b@dest.example")
    if verb:
        client.send(verb)
        assert client.reply()[0] == 354
    return client


def good(weir, server, before=0):
    """A mail of a good client arrives, and it is the only one."""
    with begun(weir) as client:
        client.send(stuffed(BODY + b"good\r\n"))
        assert client.reply()[0] == 250
    assert server.mails()[before:] == [BODY + b"good\r\n"]


def drip(client, octets, pause=0.003):
    """Octet by octet, each in a segment of its own."""
    for at in range(len(octets)):
        client.send(octets[at:at + 1])
        time.sleep(pause)


# ---- 2, 4: commands ----

@pytest.mark.parametrize("line", [
    b"MAIL FROM:<a@client.example>\rRCPT TO:<b@dest.example>\r\n",
    b"MAIL FROM:<a@client.example>\nRCPT TO:<b@dest.example>\r\n",
    b"MAIL FROM:<a@client.example>\0\r\n", b"NOOP\0\r\n", b"NOOP\r\r\n", b"RSET\nQUIT\r\n"])
def test_item_02_bare_newlines_and_nul_in_commands(front, line):
    weir, server = front()
    with weir.client().hello() as client:
        client.send(line)
        assert client.reply() == (500, "5.5.2 Bare CR, bare LF or NUL in a command")
        # Nothing of it was taken as a command.
        assert client.say("RCPT TO:<b@dest.example>")[0] == 503
        assert client.say("NOOP")[0] == 250
    assert server.lines() == []
    good(weir, server)


def test_item_02_in_rcpt_nothing_is_relayed(front):
    weir, server = front()
    with weir.client().hello() as client:
        assert client.say("MAIL FROM:<a@client.example>")[0] == 250
        client.send(b"RCPT TO:<b@dest.example>\rDATA\r\n")
        assert client.reply()[0] == 500
        assert client.say("DATA")[0] in (503, 554)
    good(weir, server)


def test_item_03_nul_in_the_body(front):
    weir, server = front()
    with begun(weir) as client:
        client.send(stuffed(BODY + b"a\0b\r\n"))
        assert client.reply() == NUL
    with begun(weir, None) as client:
        octets = BODY + b"a\0b\r\n"
        client.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
        assert client.reply() == NUL
    assert server.lines() == []
    good(weir, server)


@pytest.mark.parametrize("octets", [
    b"NOOP " + b"x" * 506 + b"\r\n",
    b"NOOP " + b"x" * 5000 + b" QUIT\r\n",
    b"X" * 1_000_000 + b"\r\n",
    b"NOOP " + b"x" * 600 + b"\nQUIT\n\rQUIT\r" + b"\r\n",
    b"MAIL FROM:<a@client.example> " + b"X" * 3000 + b"\r\n"],
    ids=["by-one", "with-a-tail", "a-megabyte", "with-bare-newlines", "mail"])
def test_item_04_an_overlong_command_is_discarded_to_its_end(front, octets):
    weir, server = front()
    with weir.client().hello() as client:
        for at in range(0, len(octets), 65536):
            client.send(octets[at:at + 65536])
        client.send(b"VRFY still-here\r\n")
        assert client.reply() == (500, "5.5.2 Command line too long")
        assert client.reply()[0] == 252
    assert weir.metrics().sum("mailweir_process_memory_chunks_bytes") < 1 << 20
    good(weir, server)


def test_item_04_the_longest_commands_that_are_legal(front):
    weir, server = front()
    with weir.client().hello() as client:
        assert client.say(b"NOOP " + b"x" * (512 - 2 - 5))[0] == 250
        envid = b"ENVID=" + b"e" * 100
        assert client.say(b"MAIL FROM:<" + b"a" * 64 + b"@client.example> RET=HDRS BODY=8BITMIME " + envid)[0] == 250
        orcpt = b"ORCPT=rfc822;" + b"o" * 480
        assert client.say(b"RCPT TO:<b@dest.example> NOTIFY=SUCCESS,FAILURE,DELAY " + orcpt)[0] == 250
        assert client.say("RSET")[0] == 250
    good(weir, server)


# ---- 5, 6: lines and dots ----

def test_item_05_an_overlong_line_is_passed_unchanged_if_set_so(front):
    weir, server = front("--lax", listener="long-lines pass;")
    body = BODY + b"y" * 100_000 + b"\r\n"
    with begun(weir) as client:
        client.send(stuffed(body))
        assert client.reply()[0] == 250
    assert server.mails() == [body]


def test_item_05_an_overlong_line_is_refused_by_default(front):
    weir, server = front()
    for length, code in ((998, 250), (999, 550), (100_000, 550)):
        with begun(weir) as client:
            client.send(stuffed(BODY + b"y" * length + b"\r\n"))
            assert client.reply()[0] == code
    assert server.mails() == [BODY + b"y" * 998 + b"\r\n"]


@pytest.mark.parametrize("options", [(), ("--no-chunking",)], ids=["to-bdat", "to-data"])
def test_item_06_dot_stuffing_at_every_cut(front, options):
    weir, server = front(*options)
    wire = b"a: b\r\n\r\n..\r\n..x\r\nx.\r\n...\r\n....y\r\n\r\n.\r\n"
    body = b"a: b\r\n\r\n.\r\n.x\r\nx.\r\n..\r\n...y\r\n\r\n"
    with weir.client().hello() as client:
        for cut in range(1, len(wire)):
            client.envelope("a@client.example", "b@dest.example")
            assert client.say("DATA")[0] == 354
            client.send(wire[:cut])
            time.sleep(0.002)
            client.send(wire[cut:])
            assert client.reply()[0] == 250
        client.envelope("a@client.example", "b@dest.example")
        assert client.say("DATA")[0] == 354
        drip(client, wire)
        assert client.reply()[0] == 250
    assert server.mails() == [body] * len(wire)


# ---- 7, 8: pipelining where it isn't allowed ----

@pytest.mark.parametrize("octets", [
    b"EHLO client.example\r\nNOOP\r\n",
    b"EHLO client.example\r\n" + MAIL + RCPT + b"DATA\r\n" + BODY + b".\r\n",
    b"HELO client.example\r\nQUIT\r\n"])
def test_item_07_commands_behind_ehlo_in_one_write(front, octets):
    weir, server = front()
    with weir.client() as client:
        client.send(octets)
        replies = []
        with pytest.raises(Gone):
            while True:
                replies.append(client.reply())
        assert replies[-1] == (503, "5.5.0 Input before the reply that it must wait for")
        assert len(replies) <= 2
    assert server.lines() == []
    good(weir, server)


@pytest.mark.parametrize("together", [True, False], ids=["one-write", "body-behind-data"])
def test_item_07_a_body_before_354(front, together):
    weir, server = front()
    with weir.client().hello() as client:
        if not together:
            client.envelope("a@client.example", "b@dest.example")
        client.send((MAIL + RCPT if together else b"") + b"DATA\r\n" + BODY + b"NOOP\r\n.\r\n")
        replies = []
        with pytest.raises(Gone):
            while True:
                replies.append(client.reply())
        assert replies[-1] == (503, "5.5.0 Input before the reply that it must wait for")
    assert server.lines() == []
    good(weir, server)


def test_item_08_a_body_behind_refused_recipients_is_not_run_as_commands(front):
    weir, server = front("--reply", "rcpt=550 5.1.1 No such user,match=nobody@")
    with weir.client().hello() as client:
        client.send(MAIL + b"RCPT TO:<nobody@dest.example>\r\nDATA\r\n")
        assert client.reply()[0] == 250
        assert client.reply() == (550, "5.1.1 No such user")
        assert client.reply() == (554, "5.5.1 No valid recipients")
        assert client.say("RSET")[0] == 250
    with weir.client().hello() as client:
        client.send(MAIL + b"RCPT TO:<nobody@dest.example>\r\nDATA\r\nVRFY x\r\nRSET\r\n" + MAIL + RCPT + b".\r\n")
        replies = []
        with pytest.raises(Gone):
            while True:
                replies.append(client.reply())
        assert 252 not in [code for code, _ in replies]
        assert replies[-1][0] in (503, 554), replies
    assert server.lines() == []
    good(weir, server)


# ---- 9, 10: chunks ----

@pytest.mark.parametrize("size", ["18446744073709551616", "-1", "0x10", "4294967297", "", "5 FIRST", "1e3", "+5",
                                  "99999999999999999999999999"])
def test_item_09_bad_sizes_end_the_session(front, size):
    weir, server = front()
    with begun(weir, None) as client:
        client.send(f"BDAT {size}\r\n".encode() + b"QUIT\r\n")
        assert client.reply() == (501, "5.5.4 Bad BDAT size")
        assert client.is_closed()
    assert server.lines() == []
    good(weir, server)


def test_item_09_an_empty_last_chunk_is_legal(front):
    weir, server = front()
    with begun(weir, None) as client:
        octets = BODY + b"in chunks\r\n"
        client.send(f"BDAT {len(octets)}\r\n".encode() + octets + b"BDAT 0 LAST\r\n")
        assert [client.reply()[0], client.reply()[0]] == [250, 250]
    assert server.mails() == [octets]


def test_item_09_a_chunk_behind_a_failed_recipient_is_swallowed(front):
    weir, server = front("--reply", "rcpt=550 5.1.1 No such user,match=nobody@")
    octets = b"QUIT\r\nVRFY x\r\n"
    with weir.client().hello() as client:
        client.send(MAIL + b"RCPT TO:<nobody@dest.example>\r\n"
                    + f"BDAT {len(octets)} LAST\r\n".encode() + octets + b"NOOP\r\n")
        assert client.reply()[0] == 250
        assert client.reply()[0] == 550
        assert client.reply()[0] in (503, 554)
        assert client.reply() == (250, "2.0.0 Ok")
        # Without MAIL at all.
        assert client.say("RSET")[0] == 250
        client.send(f"BDAT {len(octets)}\r\n".encode() + octets)
        assert client.reply()[0] == 503
        assert client.say("NOOP")[0] == 250
    assert server.lines() == []
    good(weir, server)


def test_item_09_data_and_bdat_are_not_mixed(front):
    weir, server = front()
    with begun(weir, None) as client:
        client.send(b"BDAT 3\r\nabc")
        assert client.reply()[0] == 250
        assert client.say("DATA")[0] == 503
        assert client.say("MAIL FROM:<c@client.example>")[0] == 503
        assert client.say("RSET")[0] == 250
    assert server.lines() == []
    good(weir, server)


def test_item_09_commands_inside_a_chunk_are_data(front):
    weir, server = front()
    octets = b"QUIT\r\n.\r\nRSET\r\n"
    with begun(weir, None) as client:
        client.send(f"BDAT {len(octets)} LAST\r\n".encode())
        drip(client, octets)
        assert client.reply()[0] == 250
        assert client.say("NOOP")[0] == 250
    assert server.mails() == [octets]


def test_item_09_a_client_that_leaves_inside_a_chunk(front):
    weir, server = front()
    for sent in (b"BDAT 1000 LAST\r\n" + b"x" * 999, b"BDAT 3\r\nabc", b"BDAT 3\r\nabcBDAT 5 LAST\r\nabcd"):
        with begun(weir, None) as client:
            client.send(sent)
            time.sleep(0.02)
    wait_for(lambda: weir.listener("abandoned_total") == 3, why="all three given up")
    assert server.lines() == []
    good(weir, server)


@pytest.mark.parametrize("octets", [
    BODY + b".\r\n..\r\n.x\r\n", BODY + b"no end", b".", b"\r\n", BODY + b"\r\n.\r\n\r\n.\r\n"],
    ids=["dots", "no-final-crlf", "a-dot", "an-empty-line", "ends-of-data"])
def test_item_10_bdat_becomes_data(front, octets):
    weir, server = front("--no-chunking")
    with begun(weir, None) as client:
        cut = len(octets) // 2
        client.send(f"BDAT {cut}\r\n".encode() + octets[:cut])
        client.send(f"BDAT {len(octets) - cut} LAST\r\n".encode() + octets[cut:])
        assert [client.reply()[0], client.reply()[0]] == [250, 250]
    assert server.mails() == [octets if octets.endswith(b"\r\n") else octets + b"\r\n"]


def test_item_10_binarymime_is_neither_offered_nor_taken(front):
    weir, server = front()
    with weir.client() as client:
        code, text = client.say("EHLO client.example")
        assert code == 250 and "CHUNKING" in text and "BINARYMIME" not in text
        assert client.say("MAIL FROM:<a@client.example> BODY=BINARYMIME")[0] in (501, 555)
    good(weir, server)
