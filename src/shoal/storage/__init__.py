"""What Shoal remembers: calls, tasks, what was learned and proven, and model files."""

from shoal.storage.artifacts import Artifacts
from shoal.storage.audits import Audit
from shoal.storage.calls import Arrivals, CallFilter, CallRecord
from shoal.storage.certificates import Attempt, CardRow, CertificateRow
from shoal.storage.evidence import Mistake
from shoal.storage.examples import Example
from shoal.storage.feedback import Feedback
from shoal.storage.keys import KeyRow
from shoal.storage.ledger import LedgerHead
from shoal.storage.options import StoreOptions
from shoal.storage.reviews import Asking
from shoal.storage.run_records import Entry, RunRecord, RunState
from shoal.storage.runs import Run
from shoal.storage.spend import Grouping, Spending, SpendRow, SpentBy
from shoal.storage.standings import Event, Stage, Standing
from shoal.storage.store import Store
from shoal.storage.tasks import TaskRow
from shoal.storage.trail import Finding, Verdict
from shoal.storage.tries import Ground, Try
from shoal.storage.volume import Volume
from shoal.storage.writer import StoreHealth

__all__ = [
    "Arrivals",
    "Artifacts",
    "Asking",
    "Attempt",
    "Audit",
    "CallFilter",
    "CallRecord",
    "CardRow",
    "CertificateRow",
    "Entry",
    "Event",
    "Example",
    "Feedback",
    "Finding",
    "Ground",
    "Grouping",
    "KeyRow",
    "LedgerHead",
    "Mistake",
    "Run",
    "RunRecord",
    "RunState",
    "SpendRow",
    "Spending",
    "SpentBy",
    "Stage",
    "Standing",
    "Store",
    "StoreHealth",
    "StoreOptions",
    "TaskRow",
    "Try",
    "Verdict",
    "Volume",
]
