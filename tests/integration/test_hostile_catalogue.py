"""The page on what goes wrong on the wire is held to its tests."""
import shutil
import subprocess

import pytest

from harness.world import ROOT

PROOF = "`test_hostile_framing.py::test_item_03_nul_in_the_body`"


def check(folder):
    return subprocess.run([ROOT / "tools" / "check-catalogue", folder], capture_output=True, text=True, timeout=60)


@pytest.fixture
def page(tmp_path):
    """A copy of the page and the tests; page(text, other) changes it."""
    for name in ("docs", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "docs" / "catalogue.md"

    def change(text, other):
        assert text in path.read_text()
        path.write_text(path.read_text().replace(text, other))
        return check(tmp_path)
    return change


def test_the_catalogue_names_tests_that_exist():
    run = check(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("text, other, words", (
    ("test_item_03_nul_in_the_body`", "test_item_03_nil`", "there is no test_hostile_framing.py::test_item_03_nil"),
    ("test_smtp_framing.c::test_item_03_nul`", "test_smtp_framing.c::test_item_03`", "there is no test_smtp_framing.c"),
    ("| 3 | A NUL", "| 33 | A NUL", "item 33 has two rows"), ("| 3 | A NUL", "| 3. | A NUL", "item 3 has no row"),
    ("| 36 |", "| 37 |", "there is no item 37"), (PROOF, "tested", "item_03_nul_in_the_body is not in the catalogue"),
    ("required: not used. **Later**, with", "required: not used. Sometime, with", "item 36 has neither")))
def test_a_page_that_is_wrong(page, text, other, words):
    run = page(text, other)
    assert run.returncode == 1 and words in run.stdout, run.stdout + run.stderr
