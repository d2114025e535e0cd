"""E2: the master's database is restarted while a slave reads its answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_database import behind
from tests.faults.test_large_catalog import enlarge
from tests.support.databases import MariaDB, Missing, PostgreSQL, running
from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.proxy import proxy
from tests.support.site import Place, Site
from tests.support.sshd import Sshd

pytestmark = pytest.mark.slow

IMAGES = 60
EARLY = (200, 600, 1200, 2000)
"""Bytes of the line behind which the login, or the first answer, is under way."""


@pytest.fixture(params=[PostgreSQL, MariaDB], ids=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgreSQL | MariaDB]:
    """One that may be restarted, beside the session's."""
    try:
        with running(request.param) as server:
            yield server
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture
def site(server: PostgreSQL | MariaDB, sshd: Sshd, tmp_path: Path) -> Site:
    """A slave that holds one image, and a master that offers many."""
    database = server.create_database()
    made = Site(tmp_path / "site", sshd, Place(database.conn, database.conn, database.password, database))
    made.init()
    made.publish(made.put("image", content("E2", 5000)))
    enlarge(made, IMAGES)
    made.sync("image")
    return made


@pytest.mark.timeout(600)
def test_E2_P1_P9_P11_restarted_in_mid_answer_it_is_never_half_a_diff(
    server: PostgreSQL | MariaDB, site: Site, request: pytest.FixtureRequest
) -> None:
    with proxy(server.port, buffer=4096) as line, oracle(site, request) as watch:
        words = ("--json", "diff", "--exit-zero", "--catalog", behind(line, site), "--retry-budget")
        assert len(watch.slave(*words, "0").of("change")) == IMAGES
        size, hurt = line.passed, 0
        for part in (*EARLY, size // 2, size - 50):
            for budget in ("0", "60"):  # which is for connecting; what broke off in mid-question is TEMP, and the next run's
                line.hold_after(part)
                run = watch.start("slave", *words, budget)
                line.wait_until_held()
                server.stop()
                line.release()
                server.start()
                done = run.wait()
                assert done.code in (0, 5), f"{part}, {budget}: {done}"
                assert len(done.of("change")) == (0 if done.code else IMAGES), f"{part}, {budget}"
                hurt += bool(done.code or done.of("retry"))  # else all that was asked for was on its way already
        assert hurt
