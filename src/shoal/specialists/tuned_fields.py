"""Kind ``fields``, recipe ``tuned``: the light recipe over the states of a fine-tuned encoder."""

from pathlib import Path
from typing import Any

from shoal.specialists.fields import FieldsSpecialist, restore_fields
from shoal.specialists.files import read_model, write_model
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Prediction, Reason
from shoal.specialists.tuned_encoder import TUNED, tuned_encoder
from shoal.tasks.contract import Contract
from shoal.tasks.input import Input


class TunedFields:
    """``light`` sees through the tuned encoder, whose tensors are ``arrays``."""

    kind, recipe = "fields", TUNED

    def __init__(self, light: FieldsSpecialist, arrays: dict[str, Any]) -> None:
        self._light, self._arrays = light, arrays

    def predict(self, given: Input) -> Prediction:
        """Predict every field of one input."""
        return self._light.predict(given)

    def explain(self, given: Input) -> tuple[Reason, ...]:
        """What the light part goes by."""
        return self._light.explain(given)

    def save(self, folder: Path) -> None:
        """Write ``model.json`` and ``model.safetensors`` into ``folder``."""
        self._light.save(folder)
        light, arrays = read_model(folder)
        model = {"kind": self.kind, "recipe": self.recipe, "light": light}
        write_model(folder, model, arrays | self._arrays)


def restore_tuned_fields(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> TunedFields:
    """The specialist that ``save`` wrote."""
    own = {name: array for name, array in arrays.items() if name.startswith("encoder/")}
    rest = {name: array for name, array in arrays.items() if name not in own}
    seen = Senses(tuned_encoder(senses, own), remember=0)
    return TunedFields(restore_fields(contract, model["light"], rest, seen), own)
