"""Hooks around the activation of an image: ``before_image`` may refuse or defer it, ``after_image`` hears of it at least once."""

from __future__ import annotations

from netclnt.errors import StorageError
from netclnt.events import Failed, Observer
from netclnt.hooks import LATER, Hook
from netclnt.ledger import Deferred, Held, Untold
from netclnt.model import Version
from netclnt.result import Result
from netclnt.slave import Slave


def is_asked(slave: Slave) -> bool:
    """Whether anybody has a say in what is shown."""
    return slave.hooks is not None and slave.hooks.wants(Hook.BEFORE_IMAGE)


def consents(slave: Slave, version: Version, held: Held | None, observer: Observer) -> bool:
    """Whether ``before_image`` lets a version be shown that lies complete and sealed in staging; False for later, which the
    ledger then knows. Raises HookFailed where it does not want that version."""
    assert slave.hooks is not None
    facts = {
        **_facts(slave, Held.of(version, generation=0, shown_at=""), held.number if held else None),
        "staged": slave.root.staged_path(version.manifest),
    }
    failure = slave.hooks.call(Hook.BEFORE_IMAGE, facts, observer)
    if failure is None:
        return True
    if failure.code != LATER:
        raise failure
    slave.ledger.hooks.defer(Deferred(version.name, version.number, version.manifest, slave.now()))
    return False


def announcement(slave: Slave, version: Version, held: Held | None, result: str) -> Untold | None:
    """What the ledger is to remember with a version that it records, until ``after_image`` ended well; None if nobody hears."""
    if slave.hooks is None or not slave.hooks.wants(Hook.AFTER_IMAGE):
        return None
    return Untold(version.name, version.number, version.manifest, held.number if held else 0, result)


def announce(slave: Slave, result: Result, observer: Observer, *, name: str | None = None) -> None:
    """Call ``after_image`` for what it has yet to hear of: of one image, or of all. One that fails is called again by the next
    run. What does not lie at its place any more is not told of."""
    if slave.hooks is None or not slave.hooks.wants(Hook.AFTER_IMAGE):
        return
    for untold in slave.ledger.hooks.untold():
        if name in (None, untold.name):
            held = slave.ledger.get(untold.name)
            if held is None or held.manifest != untold.manifest or _tell(slave, held, untold, result, observer):
                slave.ledger.hooks.told(untold.name, untold.manifest)


def _tell(slave: Slave, held: Held, untold: Untold, result: Result, observer: Observer) -> bool:
    assert slave.hooks is not None
    facts = {**_facts(slave, held, untold.from_number or None), "result": untold.result}
    failure = slave.hooks.call(Hook.AFTER_IMAGE, facts, observer)
    if failure is not None:
        result.untold.append((held.name, failure))
        observer(Failed(held.name, failure))
    return failure is None


def _facts(slave: Slave, image: Held, from_version: int | None) -> dict[str, object]:
    return {
        "image": image.name,
        "kind": image.kind.value,
        "version": image.number,
        "from_version": from_version,
        "size": image.size,
        "path": _path(slave, image),
    }


def _path(slave: Slave, image: Held) -> str:
    """Where it lies, or will lie."""
    try:
        home = slave.at(image)
    except StorageError:  # the root that it belongs in is not there: it lies where it was
        home = slave
    return f"{home.root_path}/{image.name}"
