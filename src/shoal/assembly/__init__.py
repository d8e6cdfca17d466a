"""The one place where the parts meet: models, store, roster and the desk that the gateway asks."""

from shoal.assembly.budget_watch import BudgetWatch
from shoal.assembly.models import Model, Models, tariff_of
from shoal.assembly.roster import Post, Roster
from shoal.assembly.shoal import Shoal
from shoal.assembly.stored_keys import StoredKeys

__all__ = ["BudgetWatch", "Model", "Models", "Post", "Roster", "Shoal", "StoredKeys", "tariff_of"]
