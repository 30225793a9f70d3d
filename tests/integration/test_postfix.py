"""Must show 2: real Postfix as servers; swaks, Python's smtplib and smtp-source as clients; real mails.

The mails are the message files of Debian's libpython3.11-testsuite.
"""
import re
import smtplib
import subprocess
import threading
from pathlib import Path

import pytest

from harness.client import Client, message, stuffed
from harness.postfix import DOMAIN, Postfix
from harness.world import environment, wait_for

MAILS = sorted(Path("/usr/lib/python3.11/test/test_email/data").glob("msg_*.txt"))


def real_mails():
    """name -> octets with CRLF."""
    return {path.stem.replace("_", "-"): re.sub(rb"\r?\n", b"\r\n", path.read_bytes()) for path in MAILS}


def servers(postfixes, options=""):
    return [(one.name, one.port, options) for one in postfixes]


def arrived(postfixes):
    """recipient's local part -> octets, each once."""
    mails = {}
    for one in postfixes:
        for recipient, octets in one.quiet().mails():
            name = recipient.partition("@")[0]
            assert name not in mails, f"{name} arrived twice"
            mails[name] = octets
    return mails


@pytest.fixture
def farm(weir, postfix):
    weir.write(servers(postfix), workers=2).start().seen_servers()
    return weir


@pytest.fixture(scope="module")
def direct(postfixes):
    """What becomes of the same mails without us: Postfix takes a Bcc header away, for one.  By BDAT,
    as we hand it on: with DATA a leading "From " line fares otherwise."""
    first = postfixes[0].quiet()
    first.empty()
    with Client(first.port).hello() as client:
        for name, octets in real_mails().items():
            client.envelope("a@client.example", f"{name}@{DOMAIN}")
            client.send(f"BDAT {len(octets)} LAST\r\n".encode() + octets)
            assert client.reply()[0] == 250
    mails = arrived([first])
    first.empty()
    unchanged = [name for name, octets in real_mails().items() if mails[name] == octets]
    assert len(unchanged) >= 30, "Postfix leaves most as they are"
    return mails


def test_show_2_there_are_real_mails():
    assert len(MAILS) >= 40


def test_show_2_smtplib_and_real_mails_byte_for_byte(farm, postfix, direct):
    with smtplib.SMTP("127.0.0.1", farm.port, "client.example", timeout=30) as client:
        for name, octets in real_mails().items():
            assert client.sendmail("a@client.example", [f"{name}@{DOMAIN}"], octets) == {}
    assert arrived(postfix) == direct
    assert all(one.files() for one in postfix), "all three took part"


def test_show_2_swaks_and_real_mails_byte_for_byte(farm, postfix, direct, tmp_path):
    # swaks replaces words in % signs, takes a leading mbox line away and adds to a mail without body.
    mails = {name: octets for name, octets in real_mails().items()
             if b"%" not in octets and not octets.startswith(b"From ") and octets.partition(b"\r\n\r\n")[2]}
    for i, (name, octets) in enumerate(mails.items()):
        (tmp_path / "mail").write_bytes(octets.removesuffix(b"\r\n"))  # swaks adds one
        run = subprocess.run(
            ["swaks", "--server", "127.0.0.1", "--port", str(farm.port), "--helo", "client.example",
             "--from", "a@client.example", "--to", f"{name}@{DOMAIN}", "--data", f"@{tmp_path}/mail",
             *(["--pipeline"] if i % 2 else [])],
            capture_output=True, text=True, errors="replace", timeout=60, stdin=subprocess.DEVNULL)
        assert run.returncode == 0, run.stdout + run.stderr
    assert len(mails) > 30
    assert arrived(postfix) == {name: direct[name] for name in mails}


def test_show_2_smtp_source(farm, postfix):
    run = subprocess.run(
        ["smtp-source", "-s", "8", "-m", "400", "-l", "3000", "-M", "client.example", "-f", "a@client.example",
         "-t", f"many@{DOMAIN}", f"inet:127.0.0.1:{farm.port}"], capture_output=True, text=True, timeout=120,
        stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stdout + run.stderr
    counts = [len(one.quiet().files()) for one in postfix]
    assert sum(counts) == 400
    assert min(counts) > 80, counts
    assert farm.listener("accepted_total") == 400


def test_show_2_bdat_and_data_arrive_alike(farm, postfix):
    """A client with DATA, a server with CHUNKING and the other way round: Postfix has CHUNKING."""
    body = message("alike", 200_000)
    with farm.client().hello() as client:
        client.envelope("a@client.example", f"data@{DOMAIN}")
        assert client.say("DATA")[0] == 354
        client.send(stuffed(body))
        assert client.reply()[0] == 250
        client.envelope("a@client.example", f"bdat@{DOMAIN}")
        for at in range(0, len(body), 70_001):
            piece = body[at:at + 70_001]
            last = at + 70_001 >= len(body)
            client.send(f"BDAT {len(piece)}{' LAST' if last else ''}\r\n".encode() + piece)
        replies = [client.reply()[0] for _ in range(0, len(body), 70_001)]
        assert replies == [250, 250, 250]
    assert arrived(postfix) == {"data": body, "bdat": body}


@pytest.mark.parametrize("options", [(), ("--no-chunking",), ("--no-pipelining", "--no-chunking")],
                         ids=["chunking", "data", "old"])
def test_show_2_real_mails_reach_a_server_byte_for_byte(weir, sinks, options):
    """Nothing is changed at all: the sinks write what came over the wire."""
    servers = sinks(2, *options, write=True)
    weir.write(servers).start().seen_servers()
    with smtplib.SMTP("127.0.0.1", weir.port, "client.example", timeout=30) as client:
        for octets in real_mails().values():
            client.sendmail("a@client.example", ["b@dest.example"], octets)
    got = [mail for sink in servers for mail in sink.mails()]
    assert sorted(got) == sorted(real_mails().values())


@pytest.mark.parametrize("flaw, reply", [
    (b"bare \r in a line\r\n", (550, "5.5.2 Bare CR or bare LF in the message")),
    (b"bare \n in a line\r\n", (550, "5.5.2 Bare CR or bare LF in the message")),
    (b"a \0 in a line\r\n", (550, "5.6.0 NUL in the message")),
    (b"x" * 999 + b"\r\n", (550, "5.6.0 Line longer than 998 octets in the message")),
], ids=["bare-cr", "bare-lf", "nul", "long-line"])
def test_show_2_a_flawed_mail_is_refused_with_the_documented_reply(farm, postfix, flaw, reply):
    name, octets = next(iter(real_mails().items()))
    lines = octets.split(b"\r\n")
    flawed = b"\r\n".join(lines[:-1]) + b"\r\n" + flaw
    with farm.client().hello() as client:
        client.envelope("a@client.example", f"{name}@{DOMAIN}")
        assert client.say("DATA")[0] == 354
        client.send(stuffed(flawed))
        assert client.reply() == reply
    with smtplib.SMTP("127.0.0.1", farm.port, "client.example", timeout=30) as client:
        client.sendmail("a@client.example", [f"good@{DOMAIN}"], octets)
    assert list(arrived(postfix)) == ["good"]


def test_show_2_a_line_of_998_octets_arrives(farm, postfix):
    body = b"Subject: long\r\n\r\n" + b"x" * 998 + b"\r\nend\r\n"
    with smtplib.SMTP("127.0.0.1", farm.port, "client.example", timeout=30) as client:
        client.sendmail("a@client.example", [f"long@{DOMAIN}"], body)
    assert arrived(postfix) == {"long": body}


def test_several_recipients_and_8bitmime_and_dsn(farm, postfix):
    body = "Subject: Grüße\r\n\r\näöü\r\n".encode()
    with farm.client().hello() as client:
        assert client.say("MAIL FROM:<a@client.example> BODY=8BITMIME RET=HDRS ENVID=e1 SIZE=100")[0] == 250
        for to in ("one", "two", "three"):
            assert client.say(f"RCPT TO:<{to}@{DOMAIN}> NOTIFY=NEVER")[0] == 250
        assert client.say("RCPT TO:<else@elsewhere.example>")[0] in (250, 554)
        assert client.say("DATA")[0] == 354
        client.send(stuffed(body))
        assert client.reply()[0] == 250
    for one in postfix:
        one.quiet()
    mails = [mail for one in postfix for mail in one.mails()]
    assert sorted(recipient.partition("@")[0] for recipient, _ in mails) == ["one", "three", "two"]
    assert all(octets == body for _, octets in mails)
    assert sum(len(one.files()) > 0 for one in postfix) == 1, "one message goes to one server"


# ---- servers that don't trust us ----

@pytest.fixture(scope="module")
def strangers():
    """Two Postfix to which we are a stranger: 50 connections at most, and errors are counted."""
    made = []
    try:
        for name in ("un1", "un2"):
            made.append(Postfix(name, mynetworks="192.0.2.1/32", processes=120))
            made[-1].write("mailboxes", "if !/^nobody/\n/./ inbox/\nendif\n")
            boxes = made[-1].home / "etc" / "mailboxes"
            main = made[-1].home / "etc" / "main.cf"
            main.write_text(main.read_text().replace("static:inbox/", f"regexp:{boxes}"))
            made[-1].start()
        yield made
    finally:
        for one in made:
            one.stop()


def test_show_2_the_fifty_connections_limit_is_learned_and_no_client_notices(weir, strangers):
    for one in strangers:
        one.quiet().empty()
    # Unequal weights, so that the first is asked for more connections than it grants.
    weir.write([("un1", strangers[0].port, "weight=9"), ("un2", strangers[1].port, "weight=1")],
               pool="max-connections 100;", workers=2).start().seen_servers()
    clients = [weir.client() for _ in range(80)]
    try:
        answers = [None] * len(clients)

        def envelope(index):
            clients[index].hello()
            answers[index] = [clients[index].say("MAIL FROM:<a@client.example>")[0],
                              clients[index].say(f"RCPT TO:<c{index}@{DOMAIN}>")]
        threads = [threading.Thread(target=envelope, args=(i,)) for i in range(len(clients))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert all(answer and answer[1][0] == 250 for answer in answers), \
            [answer for answer in answers if not answer or answer[1][0] != 250][:3]
        for client in clients:
            assert client.say("DATA")[0] == 354
            client.send(stuffed(b"Subject: x\r\n\r\nx\r\n"))
        for client in clients:
            assert client.reply()[0] == 250
    finally:
        for client in clients:
            client.close()
    assert sorted(arrived(strangers)) == sorted(f"c{i}" for i in range(80))
    assert "Connection concurrency limit exceeded" in strangers[0].log()
    assert weir.metrics().sum("mailweir_server_too_many_total", server="un1") >= 1
    # Full is not down.
    assert weir.state("un1") == "up"
    assert weir.metrics().sum("mailweir_server_ejections_total") == 0
    assert not [line for line in weir.lines("server-state")]


def test_show_2_a_dictionary_attack_does_not_slow_the_others_down(weir, strangers):
    """Postfix counts errors over transactions; from the tenth on each costs a second."""
    for one in strangers:
        one.quiet().empty()
    before = len(strangers[0].log())
    weir.write(servers(strangers[:1]), listener="max-errors 1000; max-idle-commands 1000;",
               workers=1).start().seen_servers()
    with weir.client().hello() as stranger:
        for _ in range(20):
            assert stranger.say("MAIL FROM:<x@client.example>")[0] == 250
            for _ in range(3):
                code, text = stranger.say(f"RCPT TO:<nobody@{DOMAIN}>")
                assert code == 550 and text.startswith("5.1.1 "), (code, text)
            assert stranger.say("RSET")[0] == 250
        with smtplib.SMTP("127.0.0.1", weir.port, "client.example", timeout=30) as client:
            client.sendmail("a@client.example", [f"good@{DOMAIN}"], b"Subject: x\r\n\r\nx\r\n")
    assert list(arrived(strangers[:1])) == ["good"]
    weir.stop()
    log = wait_for(lambda: (lambda text: text if text.count("disconnect") >= text.count(": connect from")
                            else None)(strangers[0].log()[before:]), why="Postfix' summaries")
    errors = [int(all_) - int(good) for good, all_ in re.findall(r"disconnect from .* rcpt=(\d+)/(\d+)", log)]
    assert sum(errors) == 60, errors
    assert max(errors) < 10, errors
    assert "too many errors" not in log
