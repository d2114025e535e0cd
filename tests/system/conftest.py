"""Sites for system tests: the installed command, a real sshd, real databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sshd import Sshd
from tests.support.site import Site, catalog_place


@pytest.fixture
def make_site(request: pytest.FixtureRequest, sshd: Sshd, tmp_path: Path) -> Callable[..., Site]:
    """Makes a site whose master and slave are set up: ``catalog`` is one of CATALOGS, ``flags`` those of ``init slave``."""

    def make(catalog: str = "sqlite", *, transport: str = "paramiko", flags: tuple[str, ...] = (), name: str = "site") -> Site:
        directory = tmp_path / name
        directory.mkdir()
        site = Site(directory, sshd, catalog_place(catalog, request, directory), transport)
        site.init_master()
        site.init_slave(*flags)
        return site

    return make
