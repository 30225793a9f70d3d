"""Must show 6: reloads under load, the mail of twenty clients going on."""
from harness.client import Crowd
from harness.ledger import Verdict

RELOADS = 50


def test_show_6_fifty_reloads_under_load_lose_neither_connection_nor_message(fast_weir, sinks, ledger):
    servers = sinks(5)
    fast_weir.write(servers[:3]).start().seen_servers()
    crowd = Crowd(fast_weir.port, ledger, 20, per_session=20, pause=0.01).start()
    try:
        for i in range(RELOADS):
            # s1 stays; the others come and go, the number of workers changes.
            some = [servers[0], *(servers[1 + (i + k) % 4] for k in range(1 + i % 3))]
            fast_weir.write(some, workers=1 + i % 4)
            answer = fast_weir.reload()
            assert answer["good"], answer
    finally:
        crowd.stop()
    crowd.join()
    assert crowd.refused() == []
    assert ledger.failures == [], ledger.failures[:5]
    assert ledger.indefinite == {}
    assert fast_weir.status()["generation"] == RELOADS + 1
    Verdict(ledger, [sink.ledger for sink in servers]).clean()
    assert crowd.count > 500
    fast_weir.at_rest()


def test_settings_of_hand_outlive_a_reload(weir, sinks, ledger):
    servers = sinks(2)
    weir.write(servers).start().seen_servers()
    assert weir.command("drain", "farm/s1").returncode == 0
    weir.write(servers, workers=1)
    assert weir.reload()["good"]
    assert weir.servers()["s1"]["drained"] and not weir.servers()["s2"]["drained"]
    with Crowd(weir.port, ledger, 2, each=10) as crowd:
        crowd.join()
    assert Verdict(ledger, [sink.ledger for sink in servers]).clean().per_file == \
        {"s1.ledger": 0, "s2.ledger": 20}


def test_a_session_and_its_message_outlive_a_reload(weir, sinks, ledger):
    server, = sinks(1)
    weir.write([server], drain="60s").start().seen_servers()
    with weir.client().hello() as client:
        client.envelope("a@client.example", "b@dest.example")
        assert client.say("DATA")[0] == 354
        client.send(b"X-Ledger-Id: over\r\n\r\nfirst half\r\n")
        assert weir.reload()["good"]
        client.send(b"second half\r\n.\r\n")
        assert client.reply()[0] == 250
        assert client.say("QUIT")[0] == 221
    assert [line["id"] for line in server.lines()] == ["over"]
