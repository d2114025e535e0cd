"""The exit code of a run with several causes: the order of the contract."""

from itertools import pairwise

import pytest

from netclnt.errors import ExitCode
from netclnt.outcome import outcome

ORDER = [
    "INTERRUPT",
    "BUG",
    "USAGE",
    "LOCKED",
    "TRUST",
    "INTEGRITY",
    "STORAGE",
    "AUTH",
    "STATE",
    "INCOMPAT",
    "LIMIT",
    "TEMP",
    "PAUSED",
]


def test_nothing_wrong_is_ok():
    assert outcome() is ExitCode.OK
    assert outcome(succeeded=True) is ExitCode.OK


@pytest.mark.parametrize(("stronger", "weaker"), list(pairwise(ORDER)))
def test_whole_run_causes_keep_the_order_of_the_contract(stronger, weaker):
    assert outcome(whole_run=[ExitCode[weaker], ExitCode[stronger]]) is ExitCode[stronger]


@pytest.mark.parametrize("signal", ["HANGUP", "INTERRUPT", "TERMINATED"])
def test_a_signal_wins_over_everything(signal):
    assert outcome(whole_run=[ExitCode.BUG, ExitCode[signal]], images=[ExitCode.TRUST], succeeded=True) is ExitCode[signal]


def test_failures_of_single_images_are_partial_when_another_succeeded():
    assert outcome(images=[ExitCode.STORAGE, ExitCode.TEMP], succeeded=True) is ExitCode.PARTIAL


def test_all_images_failed_gives_their_strongest_cause():
    assert outcome(images=[ExitCode.TEMP, ExitCode.STORAGE]) is ExitCode.STORAGE


@pytest.mark.parametrize("code", [ExitCode.TRUST, ExitCode.INTEGRITY])
def test_trust_and_integrity_of_one_image_win_over_partial(code):
    assert outcome(images=[ExitCode.STORAGE, code], succeeded=True) is code


def test_a_whole_run_cause_wins_over_partial():
    assert outcome(whole_run=[ExitCode.TEMP], images=[ExitCode.STORAGE], succeeded=True) is ExitCode.TEMP
