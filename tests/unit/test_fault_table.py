"""The table of ``tests/faults.sh`` is made from the names of tests."""

import json
import subprocess
import sys

from tests.support.faulttable import PROMISES, PROMISES_OF, ids

TESTS = """
import pytest
from hypothesis import given, settings, strategies as st

def test_A1_P3_kept(request):
    request.node.user_properties.append(("runs", 40))

@pytest.mark.parametrize("kind", ["B4-ext4", "B4-xfs"])
def test_power(kind):
    assert kind != "B4-xfs"

def test_B2_skipped():
    pytest.skip("not here")

def test_C2_whose_fault_never_happened(request):
    request.node.user_properties.append(("runs", 0))

def test_no_fault_at_all():
    raise AssertionError

@settings(max_examples=11, database=None)
@given(st.integers())
def test_F1_given(number):
    pass

@pytest.mark.parametrize("fails", [False, True])
def test_M2_given_inside(fails):
    for count in (12, 20):
        @settings(max_examples=count, database=None)
        @given(st.integers())
        def inner(number):
            pass
        inner()
    assert not fails
"""


def test_ids_are_read_from_names():
    assert ids("tests/x/test_death.py::test_A1_P1_P3_killed") == (["A1"], ["P1", "P3"])
    assert ids("tests/x/test_M1_machine.py::TestMachine::runTest")[0] == ["M1"]
    assert ids("tests/x/test_y.py::test_a_signal[A4-openssh]") == (["A4"], PROMISES_OF["A4"])
    assert ids("tests/x/test_y.py::test_C3PO_and_SHA256_and_Z9") == ([], [])


def test_every_case_stands_for_a_promise():
    assert {promise for promises in PROMISES_OF.values() for promise in promises} <= PROMISES.keys()


def test_the_table_counts_runs_and_names_what_broke(tmp_path):
    (tmp_path / "test_them.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "tests.support.faulttable", "--rootdir", str(tmp_path), "-c", "/dev/null"]
    shim = tmp_path / "conftest.py"
    shim.write_text("def pytest_addoption(parser):\n    parser.addoption('--thorough', action='store_true')\n")
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "table.json"), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["tests"] == 8
    assert [table["cases"][case]["runs"] for case in ("F1", "M2")] == [11, 64]
    assert (table["cases"]["A1"]["runs"], table["cases"]["A1"]["result"]) == (40, "kept")
    assert table["promises"]["P3"]["runs"] == 42
    assert table["cases"]["B4"]["result"] == "BROKEN by 1"
    assert {"B2", "C2"} <= set(table["not_tried"])
    assert "BROKEN: B4 by test_them.py::test_power[B4-xfs]" in done.stdout
    assert "no_fault_at_all" not in done.stdout
