"""The one place where the parts meet: models, store, roster and the desk that the gateway asks."""

from shoal.assembly.commission import Commission
from shoal.assembly.models import Model, Models, tariff_of
from shoal.assembly.purse import Purse
from shoal.assembly.regime import Regime
from shoal.assembly.roster import Post, Roster
from shoal.assembly.shoal import Shoal
from shoal.assembly.stacks import Stacks
from shoal.assembly.stored_keys import StoredKeys

__all__ = [
    "Commission",
    "Model",
    "Models",
    "Post",
    "Purse",
    "Regime",
    "Roster",
    "Shoal",
    "Stacks",
    "StoredKeys",
    "tariff_of",
]
