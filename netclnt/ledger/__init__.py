"""The ledger: a slave's own SQLite catalog of what it holds. A cache of facts that hashing can derive again."""

from netclnt.ledger.ledger import Ledger
from netclnt.ledger.records import Applied, Held, Kept, Quarantine, Run, RunImage

__all__ = ["Applied", "Held", "Kept", "Ledger", "Quarantine", "Run", "RunImage"]
