"""The log: each line is a JSON object with documented fields only, and says what happened."""
import json
import re
import smtplib
import subprocess

import pytest

from harness.client import stuffed
from harness.world import environment, wait_for

BODY = b"Message-ID: <one@client.example>\r\nSubject: x\r\n\r\nbody\r\n"


@pytest.fixture
def front(weir, sinks):
    def start(*options, count=1, **config):
        servers = sinks(count, *options)
        weir.write(servers, **config).start().seen_servers()
        return weir, servers
    return start


def deliver(client, *recipients, body=BODY):
    client.envelope("a@client.example", *recipients)
    assert client.say("DATA")[0] == 354
    client.send(stuffed(body))
    return client.reply()


def transactions(weir, count):
    wait_for(lambda: len(weir.lines("transaction")) >= count, why=f"{count} transactions in the log")
    return weir.lines("transaction")


def reference(weir):
    """{field: type} and the events, from the page that is made from the tables."""
    text = subprocess.run([weir.binary, "reference", "log"], capture_output=True, text=True, timeout=20,
                          env=environment()).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()
            if line.startswith("| `")]
    assert len(rows) > 30, text
    return {row[0].strip("`") for row in rows}


def test_lines_are_json_with_documented_fields(front):
    weir, servers = front(count=2)
    with weir.client().hello() as client:
        assert deliver(client, "b@dest.example", "c@other.example")[0] == 250
        client.say("QUIT")
    with weir.client().hello() as client:
        client.envelope("a@client.example", "b@dest.example")
    weir.command("drain", "farm/s1")
    weir.reload()
    servers[1].kill()
    wait_for(lambda: [line for line in weir.lines("server-state") if line["state"] == "down"])
    weir.stop()
    known = reference(weir)
    events = set()
    for line in weir.log.read_text().splitlines():
        fields = json.loads(line, object_pairs_hook=list)
        names = [name for name, _ in fields]
        assert names[:2] == ["time", "event"]
        assert len(names) == len(set(names)), f"a field twice: {line}"
        assert set(names) <= known, f"{set(names) - known} is not documented"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields[0][1])
        events.add(fields[1][1])
    assert events <= known
    assert {"transaction", "attempt", "server-state", "process", "reload"} <= events


def test_a_transaction_tells_all(front):
    weir, _ = front()
    with weir.client().hello("me.client.example") as client:
        code, text = deliver(client, "b@dest.example", "c@Other.example", "d@dest.example")
        assert code == 250
        client.say("QUIT")
    line, = transactions(weir, 1)
    attempt, = weir.lines("attempt")
    assert line["listener"] == "in" and line["client"] == "127.0.0.1" and line["helo"] == "me.client.example"
    assert line["sender"] == "client.example"
    assert [name.lower() for name in line["recipients_to"]] == ["dest.example", "other.example"]
    assert (line["recipients"], line["recipients_accepted"], line["size"]) == (3, 3, len(BODY))
    assert line["message_id"] == "<one@client.example>"
    assert (line["outcome"], line["pool"], line["server"], line["attempts"]) == ("accepted", "farm", "s1", 1)
    assert line["reply"] == f"250 {text}" and line["queue_id"] and line["queue_id"] in text
    assert line["t_total"] > 0
    assert attempt["session"] == line["session"] and attempt["transaction"] == line["transaction"] == 1
    assert attempt["why"] and attempt["phase"] == "end"
    assert "b@dest.example" not in json.dumps([line, attempt])


def test_addresses_in_full_if_set_so(front):
    weir, _ = front(listener="log-addresses full;")
    with weir.client().hello() as client:
        deliver(client, "b@dest.example")
    line, = transactions(weir, 1)
    assert line["sender"].strip("<>") == "a@client.example" and line["recipients_to"] == ["b@dest.example"]


@pytest.mark.parametrize("fault, outcome, reply", [
    ("reply end=554 5.6.0 Content refused", "refused", "554 5.6.0 Content refused"),
    ("reply end=452 4.2.2 Mailbox full", "deferred", "452 4.2.2 Mailbox full"),
    ("reply end=421 4.7.1 Come back", "deferred", "451 4.7.1 Come back"),
    ("drop end-after-commit", "ambiguous", "451 4.4.2 The server was lost before it confirmed the message"),
])
def test_outcomes(front, fault, outcome, reply):
    weir, servers = front()
    servers[0].turn(fault)
    with weir.client().hello() as client:
        code, text = deliver(client, "b@dest.example")
    assert f"{code} {text}" == reply
    line, = transactions(weir, 1)
    assert line["outcome"] == outcome
    assert weir.listener(f"{outcome}_total") == 1


def test_abandoned(front):
    weir, _ = front()
    with weir.client().hello() as client:
        client.envelope("a@client.example", "b@dest.example")
    line, = transactions(weir, 1)
    assert line["outcome"] == "abandoned"
    assert weir.listener("abandoned_total") == 1


def test_accepted_unheard(front):
    weir, servers = front("--slow", "end=500ms")
    client = weir.client().hello().envelope("a@client.example", "b@dest.example")
    assert client.say("DATA")[0] == 354
    client.send(stuffed(BODY))
    wait_for(lambda: weir.listener("in_gap") == 1, why="it is in the gap")
    client.close()
    line, = transactions(weir, 1)
    assert line["outcome"] == "accepted-unheard"
    assert weir.listener("accepted_unheard_total") == 1 and len(servers[0].lines()) == 1


def test_words_of_strangers_cannot_forge_lines(front):
    weir, _ = front()
    for name in ('x\\"quoted\\"', "[127.0.0.1]", "x-{}:,", "ünïcode.example"):
        with weir.client() as client:
            client.send(b"EHLO " + name.encode() + b"\r\n")
            if client.reply()[0] == 250:
                deliver(client, "b@dest.example",
                        body=b'Message-ID: <"},{"event":"forged\xff\x01>\r\n\r\nx\r\n')
    with pytest.raises(smtplib.SMTPServerDisconnected):
        with smtplib.SMTP("127.0.0.1", weir.port, timeout=20) as client:
            client.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            while True:
                client.getreply()
    assert transactions(weir, 2)
    assert {line["event"] for line in weir.lines()} <= reference(weir)
