"""Bringing the TOC of a catalog that is read from the store: like any image, but without journal, and never kept."""

from __future__ import annotations

from functools import partial

from netclnt.bring import Line, Wanted, fill, get_manifest, make_plan, prepare
from netclnt.head import StoreHead
from netclnt.localmanifests import Manifests
from netclnt.protocols import Root, Source
from netclnt.seeding import version_seed
from netclnt.seeds import Seeds


def bring_toc(head: StoreHead, name: str, root: Root, *, source: Source, manifests: Manifests, threads: int) -> None:
    """Fetch the TOC that HEAD speaks of and show it in its private root under ``name``; the one that lies there is a seed.

    ``manifests`` then holds its manifest alone. Raises as :func:`netclnt.bring.fill`."""
    line = Line(source, manifests, head.state.hash_seed, threads)
    wanted = Wanted("table of contents", head.toc, head.toc_head_bytes)
    old = manifests.digests()
    manifest = get_manifest(wanted, line, reuse=old)
    found = (version_seed(manifests, digest, partial(root.open, name)) for digest in old if root.type(name) == "file")
    seeds = Seeds([seed for seed in found if seed is not None])
    try:
        root.discard(head.toc)
        staging = prepare(manifest, root, journal=(), base=None)
        try:
            plan = make_plan(manifest, seeds, line, staging)
            fill(wanted, manifest, plan, seeds, staging, line, on_page=lambda _: None)
            staging.stage.seal(name)
        finally:
            staging.stage.close()
        root.show(head.toc, name, keep=None)
    finally:
        seeds.close()
        manifest.close()
    manifests.keep_only([head.toc])
