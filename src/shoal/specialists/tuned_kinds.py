"""The kinds that can be fine-tuned, and how each comes back from its files."""

from typing import Any

from shoal.errors import ArtifactError
from shoal.specialists.senses import Senses
from shoal.specialists.specialist import Specialist
from shoal.specialists.text import restore_text
from shoal.specialists.tuned_fields import restore_tuned_fields
from shoal.specialists.tuned_label import restore_tuned_label
from shoal.specialists.tuned_match import restore_tuned_match
from shoal.tasks.contract import Contract


def restore_tuned(
    contract: Contract, model: dict[str, Any], arrays: dict[str, Any], senses: Senses | None
) -> Specialist:
    """The fine-tuned specialist of these files. Raises what a kind's ``Restore`` raises."""
    match model["kind"]:
        case "label":
            return restore_tuned_label(model, arrays, senses)
        case "fields":
            return restore_tuned_fields(contract, model, arrays, senses)
        case "match":
            return restore_tuned_match(contract, model, arrays, senses)
        case "text":
            return restore_text(contract, model, arrays, senses)
        case kind:
            raise ArtifactError(f"a {kind!r} cannot be fine-tuned by this version: train it again")
