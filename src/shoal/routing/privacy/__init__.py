"""What is personal or secret in a call: found, judged, taken out, and put back.

Pure functions on texts, requests and answers; nothing here reads or writes anything, and findings
never hold the values.
"""

from shoal.routing.privacy.detection import find
from shoal.routing.privacy.kinds import KINDS, Finding, Kind
from shoal.routing.privacy.options import PrivacyOptions
from shoal.routing.privacy.person_names import Analyzer, require
from shoal.routing.privacy.redaction import redact
from shoal.routing.privacy.ruling import Action, Ruling, judge
from shoal.routing.privacy.scrubbing import scrub, scrub_call, scrub_input
from shoal.routing.privacy.vault import Restorer, Vault, begins_json

__all__ = [
    "KINDS",
    "Action",
    "Analyzer",
    "Finding",
    "Kind",
    "PrivacyOptions",
    "Restorer",
    "Ruling",
    "Vault",
    "begins_json",
    "find",
    "judge",
    "redact",
    "require",
    "scrub",
    "scrub_call",
    "scrub_input",
]
