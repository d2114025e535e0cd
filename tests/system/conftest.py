"""Sites for system tests: the installed command, a real sshd, real databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.proxy import HOST, Proxy, proxy
from tests.support.site import Site, catalog_place
from tests.support.sshd import Sshd


@pytest.fixture
def make_site(request: pytest.FixtureRequest, sshd: Sshd, tmp_path: Path) -> Callable[..., Site]:
    """Makes a site whose master and slave are set up: ``catalog`` is one of CATALOGS, ``flags`` those of ``init slave``; other
    values are put into the site's fields before it is set up."""

    def make(
        catalog: str = "sqlite", *, transport: str = "paramiko", flags: tuple[str, ...] = (), name: str = "site", **fields: object
    ) -> Site:
        directory = tmp_path / name
        directory.mkdir()
        site = Site(directory, sshd, catalog_place(catalog, request, directory), transport)
        for field, value in fields.items():
            setattr(site, field, value)
        site.init(*flags)
        return site

    return make


@pytest.fixture
def line(sshd: Sshd) -> Iterator[Proxy]:
    with proxy(sshd.port) as opened:
        yield opened


@pytest.fixture
def slow_site(make_site: Callable[..., Site], line: Proxy, sshd: Sshd, tmp_path: Path) -> Callable[..., Site]:
    """A site whose slave reaches the master through ``line``."""
    known = tmp_path / "known_hosts"
    known.write_text(f"[{HOST}]:{line.port} {sshd.host_public_key}\n")
    return partial(make_site, port=line.port, known_hosts=known)
