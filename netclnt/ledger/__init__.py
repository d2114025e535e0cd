"""The ledger: a slave's own SQLite catalog of what it holds. A cache of facts that hashing can derive again."""

from netclnt.ledger.ledger import Ledger
from netclnt.ledger.records import Applied, Composition, Deferred, Held, Kept, OldPlace, Quarantine, Run, RunImage, Untold

__all__ = ["Applied", "Composition", "Deferred", "Held", "Kept", "Ledger", "OldPlace", "Quarantine", "Run", "RunImage", "Untold"]
