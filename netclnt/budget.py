"""Budgets of bytes that are too small for any run to come further."""

from __future__ import annotations

from netclnt.errors import BrakeApplied
from netclnt.model import Version
from netclnt.remote import least_budget
from netclnt.slave import Slave


def check_budget(slave: Slave, version: Version) -> None:
    """Raise BrakeApplied where no run is allowed enough bytes to come further with a version."""
    least = least_budget(version.head_bytes)
    terms = slave.allowance.terms
    for limit, budget in (("max_transfer", terms.max_transfer), ("monthly_quota", terms.monthly_quota)):
        if budget is not None and budget < least and version.manifest not in slave.manifests:
            problem = f"a run must fetch {least} bytes to come further with version {version.number}, and {budget} are allowed"
            raise BrakeApplied(limit=limit, problem=problem)
