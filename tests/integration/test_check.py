"""Must show 7: `mailweir check` names every mistake at once, and says what a good config will do.

What it prints is kept beside each config in tests/fixtures/check; MAILWEIR_TEST_WRITE=1 writes it anew.
"""
import os
import re
import subprocess

import pytest

from harness.world import ROOT, environment, program

FIXTURES = ROOT / "tests" / "fixtures" / "check"


def check(*arguments, cwd=FIXTURES):
    return subprocess.run([program("fast"), "check", *arguments], cwd=cwd, capture_output=True, text=True,
                          timeout=30, stdin=subprocess.DEVNULL, env=environment())


@pytest.mark.parametrize("name", sorted(path.stem for path in FIXTURES.glob("*.conf")))
def test_show_7_the_output_is_the_golden_one(name):
    run = check("--offline", "-c", f"{name}.conf")
    output = f"{run.stdout}{run.stderr}exit status {run.returncode}\n"
    golden = FIXTURES / f"{name}.expected"
    if "MAILWEIR_TEST_WRITE" in os.environ:
        golden.write_text(output)
    assert output == golden.read_text()


@pytest.mark.parametrize("name", ["five-mistakes", "five-others"])
def test_show_7_five_mistakes_make_five_diagnostics(name):
    run = check("--offline", "-c", f"{name}.conf")
    assert run.returncode == 78
    assert run.stdout == ""
    places = re.findall(rf"^{name}\.conf:(\d+):(\d+): error: (.+)$", run.stderr, re.M)
    assert len(places) == 5, run.stderr
    assert len({message for _, _, message in places}) == 5
    # Each shows the line, and points into it.
    lines = (FIXTURES / f"{name}.conf").read_text().splitlines()
    shown = run.stderr.splitlines()
    for line, column, message in places:
        at = next(i for i, text in enumerate(shown) if text.endswith(f":{line}:{column}: error: {message}"))
        assert shown[at + 1] == "    " + lines[int(line) - 1]
        assert shown[at + 2].index("^") == 4 + int(column) - 1


def test_show_7_a_pool_of_one_server_is_a_single_point_of_failure():
    run = check("--offline", "-c", "good.conf")
    assert run.returncode == 0
    assert "single point of failure" in run.stdout and "descriptors" in run.stdout


def test_a_list_is_read_below_the_root(tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "weir.conf").write_text(
        "listener in { bind 127.0.0.1:2525; relay-to file:/etc/domains; send-to p; }\n"
        "pool p { pass-client none; server s 127.0.0.1:2526; }\n")
    assert check("--offline", "--root", str(tmp_path), "-c", "/etc/weir.conf").returncode == 78
    (tmp_path / "etc" / "domains").write_text("example.com\n.example.net\n")
    run = check("--offline", "--root", str(tmp_path), "-c", "/etc/weir.conf")
    assert run.returncode == 0 and "example.com, .example.net" in run.stdout


def examples():
    for page in ("README.md", "docs/config.md"):
        if (ROOT / page).exists():
            for number, text in enumerate(re.findall(r"```nginx\n(.*?)```", (ROOT / page).read_text(), re.S)):
                yield pytest.param(text, id=f"{page}-{number}")


@pytest.mark.parametrize("text", examples())
def test_the_examples_of_the_docs_are_good(text, tmp_path):
    (tmp_path / "weir.conf").write_text(text)
    run = check("--offline", "-c", str(tmp_path / "weir.conf"))
    assert run.returncode == 0, run.stderr


def test_it_is_silent_about_nothing_it_cannot_read(tmp_path):
    run = check("-c", str(tmp_path / "none.conf"))
    assert run.returncode == 66 and "none.conf" in run.stderr
