"""Must show 9: the rules of the house bite."""
import shutil
import subprocess

import pytest

from harness.world import ROOT


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The tree as git knows it, to plant breaches in."""
    folder = tmp_path_factory.mktemp("tree")
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=True, timeout=60)
    for name in filter(None, names.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def plant(copy):
    """plant("smtp/verb.c", text) adds text to a source file, for this test."""
    before = {}

    def into(name, text):
        path = copy / "src" / name
        before[path] = path.read_text()
        path.write_text(before[path] + text)
    yield into
    for path, text in before.items():
        path.write_text(text)


def lint(folder):
    """Its first step is tools/check-house, and it goes no further when that fails."""
    return subprocess.run(["./dev", "lint"], cwd=folder, capture_output=True, text=True, timeout=300)


def check_house(folder):
    return subprocess.run(["tools/check-house"], cwd=folder, capture_output=True, text=True, timeout=120)


def test_show_9_the_untouched_tree_passes(copy):
    run = check_house(copy)
    assert run.returncode == 0, run.stdout + run.stderr


def test_show_9_an_include_from_net_in_smtp_fails_the_lint(copy, plant):
    plant("smtp/verb.c", '\n#include "net/net.h"\n')
    run = lint(copy)
    assert run.returncode != 0
    assert "src/smtp/verb.c" in run.stdout and "net" in run.stdout


def test_show_9_time_in_relay_fails_the_lint(copy, plant):
    plant("relay/commit.c", "\n#include <time.h>\nlong relay_hours(void);\n"
                            "long relay_hours(void)\n{\n\treturn time(NULL) / 3600;\n}\n")
    run = lint(copy)
    assert run.returncode != 0
    assert "src/relay/commit.c" in run.stdout and "time" in run.stdout


@pytest.mark.parametrize("name, text, word", [
    ("pool/lend.c", "\nint pool_seven(void)\n{\n\treturn socket(1, 2, 3);\n}\n", "socket"),
    ("balance/draw.h", "\n#include \"relay/relay.h\"\n", "relay"),
    ("base/bytes.c", "\nvoid base_copy(char *to)\n{\n\tstrcpy(to, \"x\");\n}\n", "strcpy"),
    ("talk/client.c", "\nint talk_twice(void)\n{\n\treturn fork();\n}\n", "fork"),
])
def test_other_rules_bite_too(copy, plant, name, text, word):
    plant(name, text)
    run = check_house(copy)
    assert run.returncode != 0
    assert f"src/{name}" in run.stdout and word in run.stdout, run.stdout
