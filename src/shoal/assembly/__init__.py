"""The one place where the parts meet: models, store, roster and the desk that the gateway asks."""

from shoal.assembly.models import Model, Models, tariff_of
from shoal.assembly.roster import Post, Roster
from shoal.assembly.shoal import Shoal

__all__ = ["Model", "Models", "Post", "Roster", "Shoal", "tariff_of"]
