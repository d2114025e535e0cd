"""Verifying: what is found, what a repair fetches, parts of the whole, and a sync that goes on meanwhile."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from netclnt import verify as verifying
from netclnt.errors import BadArgument, ExitCode
from netclnt.events import ImageDone, ignore
from netclnt.ledger import Ledger
from netclnt.selection import Selection
from netclnt.subset import Subset, parse_subset
from netclnt.sync import sync
from netclnt.verify import verify
from tests.support.site import Site, digest, good
from tests.support.world import World

MakeSite = Callable[..., Site]
SIZE = 6 << 20
FRAME = 261_120


def noise(seed: int, size: int = SIZE) -> bytes:
    return random.Random(seed).randbytes(size)


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(SIZE - 100_000)


def lengthen(path: Path) -> None:
    with path.open("ab") as file:
        file.write(noise(5, 70_000))


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(SIZE // 2)
        byte = file.read(1)
        file.seek(SIZE // 2)
        file.write(bytes([byte[0] ^ 1]))


def replace(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: SIZE // 2] + noise(6, 50_000) + data[SIZE // 2 + 50_000 :])


@pytest.mark.slow
def test_C19_C20_P5_a_repair_fetches_what_is_damaged_and_no_more(make_site: MakeSite) -> None:
    """Of a flipped byte its block, in the frame that holds it; of a cut end what was cut; of what was only touched nothing."""
    site = make_site()
    image = site.put("image", noise(1))
    site.publish(image)
    site.sync()
    live, wanted = site.root / "image", digest(image)
    for damage, limit in ((flip, 2 * FRAME), (cut, 3 * FRAME), (lengthen, FRAME), (replace, 4 * FRAME)):
        damage(live)
        found = site.slave("--json", "verify")
        assert found.code == 7, damage
        assert [event["image"] for event in found.of("error")] == ["image"]
        if damage is flip:
            (place,) = found.of("damage")
            assert place["offset"] <= SIZE // 2 < place["offset"] + place["length"] <= place["offset"] + 65536
        run = good(site.slave("--json", "verify", "--repair"))
        assert run.one("summary")["bytes_fetched"] < limit, damage
        assert digest(live) == wanted
        assert good(site.slave("verify")).out == ""
    live.touch()
    assert good(site.slave("verify")).out == ""
    assert site.sync().one("summary")["sftp_connections"] == 0


@pytest.mark.slow
def test_C19_seven_parts_are_the_whole_and_a_percentage_tells_its_seed(make_site: MakeSite) -> None:
    site = make_site()
    site.publish(site.put("image", noise(1)))
    site.sync()
    flip(site.root / "image")
    codes = [site.slave("verify", "--subset", f"{part}/7").code for part in range(1, 8)]
    assert sorted(codes) == [0, 0, 0, 0, 0, 0, 7]
    run = site.slave("--json", "verify", "--subset", "5%")
    again = site.slave("--json", "verify", "--subset", run.one("subset")["subset"])
    assert (again.code, again.of("damage")) == (run.code, run.of("damage"))
    with Ledger(site.state / "ledger.sqlite", readonly=True) as ledger:
        assert [each.message for each in ledger.runs(2)] == [f"subset {run.one('subset')['subset']}"] * 2
    assert site.slave("verify", "--subset", "8/7").code == 2


@pytest.mark.parametrize("text", ["1/7", "7/7", "1/1", "1/9999", "5%:1a", "0.5%:ff", "100%:0"])
def test_a_subset_is_told_as_it_is_read(text: str) -> None:
    assert str(parse_subset(text)) == text


@pytest.mark.parametrize("text", ["", "0/7", "8/7", "1/", "-1/7", "0%", "101%", "5", "5%:", "5%:xyz", "1/99999", "٣/٧"])
def test_what_is_no_subset_is_refused(text: str) -> None:
    with pytest.raises(BadArgument):
        parse_subset(text)


def test_each_digest_is_in_one_part_and_a_percentage_picks_about_so_many() -> None:
    digests = [noise(number, 32) for number in range(2000)]
    for digest_ in digests:
        assert sum(Subset(part, 7).chooses(digest_) for part in range(1, 8)) == 1
    assert 60 < sum(Subset(share=0.05, seed=3).chooses(digest_) for digest_ in digests) < 140
    assert all(Subset(share=1).chooses(digest_) for digest_ in digests)


# --- H7: beside a sync


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.publish("debian", noise(1, 1 << 20))
    made.publish("os", {f"f{number}": noise(number, 50_000) for number in range(10)})
    made.sync()
    made.publish("debian", noise(2, 1 << 20))
    made.publish("os", {f"f{number}": noise(number + 50, 50_000) for number in range(10)})
    yield made
    made.ledger.close()


def results(world: World) -> dict[str, str]:
    return {event.image: event.result for event in world.events if isinstance(event, ImageDone)}


@pytest.mark.parametrize("sha256", [False, True])
def test_H7_a_sync_that_exchanges_what_is_read_is_no_damage(sha256: bool, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole sync happens between the first look at an image and the reading of its content."""
    real, left = verifying._wrong_entries, [1]

    def wrong_entries(*arguments: object) -> object:
        if left:
            left.pop()
            assert sync(world.slave(), None, observer=ignore).exit_code is ExitCode.OK
        return real(*arguments)

    monkeypatch.setattr(verifying, "_wrong_entries", wrong_entries)
    world.events.clear()
    found = list(verify(world.slave(), Selection(), observer=world.events.append, sha256=sha256))
    first = 1 if sha256 else 2  # which was digested before the sync came
    assert [(verdict.name, verdict.version, verdict.damage) for verdict in found] == [("debian", first, ()), ("os", 2, ())]
    assert results(world) == {"debian": "verified", "os": "verified"}
    assert not any(held.damaged for held in world.ledger.held())


def test_H7_what_is_shown_and_not_yet_recorded_is_no_damage(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Ledger.record
    seen: list[dict[str, str]] = []

    def record(ledger: Ledger, held: object, facts: object, **places: object) -> None:
        world.events.clear()
        found = list(verify(world.slave(), Selection(), observer=world.events.append))
        assert not any(verdict.damage for verdict in found)
        seen.append(results(world))
        real(ledger, held, facts, **places)

    monkeypatch.setattr(Ledger, "record", record)
    assert sync(world.slave(), None, observer=ignore).exit_code is ExitCode.OK
    assert seen == [{"debian": "changed", "os": "verified"}, {"debian": "verified", "os": "changed"}]
    assert not any(held.damaged for held in world.ledger.held())


def test_H7_damage_beside_a_sync_is_still_found(world: World) -> None:
    """A flipped bit on the disk: the file looks as it was recorded, so no sync has touched it."""
    world.root.live["debian"].data[500_000] ^= 1
    with world.root.lock("a sync"):
        found = list(verify(world.slave(), Selection(), observer=ignore))
    assert [bool(verdict.damage) for verdict in found] == [True, False]
    assert world.ledger.get("debian").damaged


def test_a_part_that_is_whole_does_not_clear_what_is_damaged(world: World) -> None:
    world.root.live["debian"].data[500_000] ^= 1
    parts = [next(verify(world.slave(), Selection(("debian",)), observer=ignore, subset=Subset(part, 7))) for part in range(1, 8)]
    assert sum(bool(verdict.damage) for verdict in parts) == 1
    assert world.ledger.get("debian").damaged
    world.root.live["debian"].data[500_000] ^= 1
    list(verify(world.slave(), Selection(("debian",)), observer=ignore, subset=Subset(1, 7)))
    assert world.ledger.get("debian").damaged
    list(verify(world.slave(), Selection(("debian",)), observer=ignore))
    assert not world.ledger.get("debian").damaged
