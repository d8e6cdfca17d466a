"""Proofs: bounds, thresholds with a promise, the certificate, audits and tests that never expire.

Nothing here knows what a task, a specialist or a call is: outcomes are right or wrong, scores are
numbers. It imports nothing of Shoal but its errors.
"""

from shoal.guarantees.audit import draw
from shoal.guarantees.bounds import (
    clean_examples_needed,
    interval,
    lower_bound,
    max_errors,
    p_value,
    p_values,
    upper_bound,
)
from shoal.guarantees.budget import delta_at, delta_left
from shoal.guarantees.by_label import LabelProof, LabelSelection, select_by_label
from shoal.guarantees.calibration import Calibration
from shoal.guarantees.certificate import PEOPLE, Certificate, Method, PeopleCheck, assumptions_of
from shoal.guarantees.fixed_sequence import RiskCurve, Start, default_starts
from shoal.guarantees.joint import (
    Examples,
    SelectiveRisk,
    Setting,
    Shortfall,
    Target,
    mean_costs,
    picks,
    plan,
    select_setting,
    tallies,
)
from shoal.guarantees.levels import select_level
from shoal.guarantees.paired import Paired
from shoal.guarantees.selection import Refusal, Selection, select
from shoal.guarantees.sequential import (
    EProcess,
    anytime_lower_bound,
    anytime_upper_bound,
    confidence_sequence,
    log_e_path,
)
from shoal.guarantees.shares import percent
from shoal.guarantees.slices import Slice, worst
from shoal.guarantees.strangers import Strangers
from shoal.guarantees.watching import Broken, Watch

__all__ = [
    "PEOPLE",
    "Broken",
    "Calibration",
    "Certificate",
    "EProcess",
    "Examples",
    "LabelProof",
    "LabelSelection",
    "Method",
    "Paired",
    "PeopleCheck",
    "Refusal",
    "RiskCurve",
    "Selection",
    "SelectiveRisk",
    "Setting",
    "Shortfall",
    "Slice",
    "Start",
    "Strangers",
    "Target",
    "Watch",
    "anytime_lower_bound",
    "anytime_upper_bound",
    "assumptions_of",
    "clean_examples_needed",
    "confidence_sequence",
    "default_starts",
    "delta_at",
    "delta_left",
    "draw",
    "interval",
    "log_e_path",
    "lower_bound",
    "max_errors",
    "mean_costs",
    "p_value",
    "p_values",
    "percent",
    "picks",
    "plan",
    "select",
    "select_by_label",
    "select_level",
    "select_setting",
    "tallies",
    "upper_bound",
    "worst",
]
