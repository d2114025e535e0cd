"""Caps, windows and budgets as an admin writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from netclnt.config import SlaveConfig, from_environment, from_flags, from_table, resolve
from netclnt.config.readers import Unfit
from netclnt.config.times import cap, windows
from netclnt.schedule import DAY_MINUTES, Timetable, Window

K, M = 1 << 10, 1 << 20
SLAVE = {"name": "store-1", "catalog": "store", "parent": "sftp://a@b/c", "root": "/r", "state": "/s"}


def minute(day: int, hour: int, minute: int = 0) -> int:
    return day * DAY_MINUTES + hour * 60 + minute


def table(*entries: tuple[int, float | None]) -> Timetable:
    return Timetable(tuple(sorted(entries)))


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("10:20,666", table(*((minute(day, 10, 20), 666 * K) for day in range(7)))),
        (
            "11:00,333 13:40,off",
            table(*((minute(d, h, m), r) for d in range(7) for h, m, r in ((11, 0, 333 * K), (13, 40, None)))),
        ),
        ("Mon-00:00,512 Fri-23:59,10M Sun-20:00,off", table((0, 512 * K), (minute(4, 23, 59), 10 * M), (minute(6, 20), None))),
        ("saturday-10:20,1.5M;sunDAY-11:00,0", table((minute(5, 10, 20), 1.5 * M), (minute(6, 11), None))),
        ("  Mon-10:00,1M\n Mon-10:00,2M ", table((minute(0, 10), 2 * M))),
        ("08:00,10M:512K Tue-08:00,1M", table(*((minute(day, 8), (M if day == 1 else 512 * K)) for day in range(7)))),
        ("off", None),
    ],
)
def test_a_timetable_is_written_as_in_rclone(told, meant):
    assert cap(told) == meant


@pytest.mark.parametrize(
    "told",
    [
        *("bad,bad", "2401,666", "1061,666", "24:00,1M", "8:00,1M", "bad-10:20,666", "Mon-bad,666", "Mon-10:20,bad", ","),
        *("08:00,1M 12:00", "Mon-Fri-08:00,1M", "08:00,1M,2M", "08:00,", "-08:00,1M", "08:00,12B", "08:00,-1", "10M off"),
    ],
)
def test_what_is_no_timetable_is_refused_with_an_example(told):
    with pytest.raises(Unfit, match=r"must be (a|at)"):
        cap(told)


EVERY = tuple(Window(minute(day, 22), 420) for day in range(7))


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        ("22:00-05:00", EVERY),
        (["22:00-05:00"], EVERY),
        (["Mon-Fri 22:00-05:00"], EVERY[:5]),
        (["Mon-Fri", "22:00-05:00"], EVERY[:5]),  # as the environment gives it
        (["sat,Sunday 00:00-24:00"], (Window(minute(5, 0), 1440), Window(minute(6, 0), 1440))),
        (["Sun-Mon 12:00-13:00"], (Window(minute(6, 12), 60), Window(minute(0, 12), 60))),
        (["Sat 20:00-24:00", "01:00-02:00"], (Window(minute(5, 20), 240), *(Window(minute(day, 1), 60) for day in range(7)))),
        (["Wed 05:00-05:00"], None),
        ([], ()),
        ("off", ()),
        (["off"], ()),
    ],
)
def test_windows(told, meant):
    if meant is not None:
        assert windows(told) == meant
        return
    with pytest.raises(Unfit, match="without length"):
        windows(told)


@pytest.mark.parametrize(
    "told", [5, ["night"], ["Mon"], ["Mon Tue 01:00-02:00"], ["24:00-05:00"], ["22:00-25:00"], ["22-05"], [""]]
)
def test_what_is_no_window_is_refused(told):
    with pytest.raises(Unfit):
        windows(told)


def test_a_window_and_budgets_can_be_given_and_lifted_anywhere():
    file = SLAVE | {"window": ["22:00-05:00"], "max_transfer": "2G", "max_duration": "6h", "monthly_quota": "50G"}
    read = resolve(SlaveConfig, from_table(SlaveConfig, file), path=Path("c"))
    assert (read.window, read.max_transfer, read.max_duration, read.monthly_quota) == (EVERY, 2 << 30, 21600.0, 50 << 30)
    environment = {"NETCLNT_WINDOW": "Mon-Fri 22:00-05:00", "NETCLNT_MAX_TRANSFER": "3000000"}
    flags = {"window": ("off",), "max_duration": "off", "monthly_quota": "off"}
    layers = [from_environment(SlaveConfig, environment), from_table(SlaveConfig, file)]
    assert resolve(SlaveConfig, *layers, path=Path("c")).window == EVERY[:5]
    lifted = resolve(SlaveConfig, from_flags(SlaveConfig, flags, directory=Path("/")), *layers, path=Path("c"))
    assert (lifted.window, lifted.max_transfer, lifted.max_duration, lifted.monthly_quota) == ((), 3_000_000, None, None)


@pytest.mark.parametrize("key", ["max_transfer", "monthly_quota"])
def test_a_budget_smaller_than_one_range_would_never_end(key):
    with pytest.raises(Exception, match="at least 2M"):
        resolve(SlaveConfig, from_table(SlaveConfig, SLAVE | {key: "2000K"}), path=Path("c"))
