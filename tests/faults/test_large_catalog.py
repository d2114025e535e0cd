"""E8: a catalog of many versions, asked by a slave within its memory, over the drivers that fetch an answer whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing

import pytest

from netclnt.catalog import open_connector
from netclnt.catalog.connection import Connector
from netclnt.catalog.schema import insert
from netclnt.model import DEFAULT_CHANNEL, Kind
from netclnt.rows import EVENT, IMAGE, PROMOTE, VERSION, Table, image_row
from netclnt.rows import Row as TableRow
from tests.support.amount import amount
from tests.support.catalogs import AT
from tests.support.images import content
from tests.support.oracle import oracle
from tests.support.site import Site

pytestmark = pytest.mark.slow

MakeSite = Callable[..., Site]
VERSIONS = 50
"""Of each image."""


@pytest.mark.parametrize("engine", ["sqlite-odbc", "postgresql", "mariadb", "sqlite"])
@pytest.mark.timeout(3600)
def test_E8_P9_P11_very_many_versions_within_the_memory_bound(
    engine: str, make_site: MakeSite, request: pytest.FixtureRequest
) -> None:
    """The oracle looks at the peak of each process. A tenth of all is the usual run."""
    site = make_site(engine)
    site.publish(site.put("image", content("E8", 5_000)))
    count = amount(request, 10_000, 100_000) // VERSIONS
    enlarge(site, count)
    with oracle(site, request, deadline=300) as watch:
        assert watch.slave("diff", "--exit-zero").code == 0
        dry = watch.sync("--dry-run")
        assert dry.code == 0
        assert len(dry.of("plan")) == count + 1
        assert watch.sync("image").one("summary")["images_changed"] == 1
        assert watch.sync("site-01/*", "--max-retire", "0").code == 0
        assert len(watch.slave("list").rows) == 1 + len([number for number in range(2, count + 2) if number % 100 == 1])
        assert watch.run("master", "list").code == 0


def enlarge(site: Site, count: int) -> None:
    """Add images beside the first, as rows; all their versions have its content."""
    (whole,) = site.published["image"].values()
    with closing(open_connector(site.place.master, password=site.place.password)) as connector, connector.transaction():
        ((_, *first),) = connector.select(f"SELECT {', '.join(VERSION.column_names)} FROM nc_version")
        for image in range(2, count + 2):
            name = f"site-{image % 100:02}/image-{image:06}"
            site.published[name] = {VERSIONS: whole}
            generations = [2 + (image - 2) * VERSIONS + number for number in range(VERSIONS)]
            put(connector, IMAGE, [image_row(image, name, Kind.IMAGE, generations[0])])
            put(connector, VERSION, [(image, 1 + n, *first[1:-1], generation) for n, generation in enumerate(generations)])
            events = [
                (generation, PROMOTE, image, 1 + n, DEFAULT_CHANNEL, AT, generation) for n, generation in enumerate(generations)
            ]
            put(connector, EVENT, events)
        connector.change("UPDATE nc_state SET generation = ?", (1 + count * VERSIONS,))


def put(connector: Connector, table: Table, rows: Sequence[TableRow]) -> None:
    connector.change(insert(table, len(rows)), [value for row in rows for value in row])
