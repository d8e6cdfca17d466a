"""Test-time scaling: strategies that ask a model more than once, each an answerer around others."""

from shoal.reasoning.best_of import BestOf
from shoal.reasoning.build import Terms, reasoner
from shoal.reasoning.chain_of_thought import ChainOfThought
from shoal.reasoning.chaining import Folded, Mapped
from shoal.reasoning.checking import Checker, Reranked, Scorer
from shoal.reasoning.comparing import comparator
from shoal.reasoning.consistency import SelfConsistency
from shoal.reasoning.effort import Effort, Limit, Metered
from shoal.reasoning.ensemble import Fused, Panel
from shoal.reasoning.forcing import BudgetForcing
from shoal.reasoning.refine import Refined
from shoal.reasoning.strategy import Step, Strategy, parse_strategy, split_name

__all__ = [
    "BestOf",
    "BudgetForcing",
    "ChainOfThought",
    "Checker",
    "Effort",
    "Folded",
    "Fused",
    "Limit",
    "Mapped",
    "Metered",
    "Panel",
    "Refined",
    "Reranked",
    "Scorer",
    "SelfConsistency",
    "Step",
    "Strategy",
    "Terms",
    "comparator",
    "parse_strategy",
    "reasoner",
    "split_name",
]
