"""What every test run has: Hypothesis' profiles and seed, ``--quick``, a known environment, a look for what was left behind."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

from tests.support.processes import children

pytest_plugins = [name for name in ("tests.support.databases", "tests.support.sshd", "tests.support.world") if find_spec(name)]

LEFT_BEHIND_SECONDS = 5.0

for profile, examples in {"quick": 20, "default": 100, "long": 3000}.items():
    settings.register_profile(
        profile, max_examples=examples, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="leave out the slow tests, and let Hypothesis try less")
    parser.addoption("--thorough", action="store_true", help="all seeds and points of the fault tests; Hypothesis tries more")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Before Hypothesis' own plugin reads its options, so that ``--hypothesis-profile`` and ``--hypothesis-seed`` still win."""
    profile = "long" if config.getoption("--thorough") else "quick" if config.getoption("--quick") else "default"
    settings.load_profile(profile)
    if config.getoption("--hypothesis-seed") is None:
        config.option.hypothesis_seed = str(random.SystemRandom().randrange(1 << 32))


def pytest_report_header(config: pytest.Config) -> str:
    return f"to repeat: --hypothesis-seed={config.getoption('--hypothesis-seed')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--quick"):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]


@pytest.fixture(scope="session", autouse=True)
def known_environment() -> Iterator[None]:
    """The tests' own umask, and nothing of the person who runs them: no config, no keys, no proxy jumps, no signals ignored, as
    nohup and a shell's background do."""
    ignored = [number for number in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("NETCLNT_", "XDG_", "SSH_")) or name in {"NO_COLOR", "ODBCINI"}:
                patch.delenv(name)
        before = os.umask(0o022)
        yield
        os.umask(before)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture(scope="session", autouse=True)
def no_process_left_behind(known_environment: None) -> Iterator[None]:
    """Torn down after all servers of the session: what this process started has ended by then."""
    before = children(os.getpid())
    yield
    left = {pid: command for pid, command in children(os.getpid()).items() if pid not in before}
    assert not left, f"processes left behind: {left}"


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    """Set up after the session's servers and before anything of the test itself."""
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + LEFT_BEHIND_SECONDS
    while (left := set(threading.enumerate()) - before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, f"threads left behind: {left}"
