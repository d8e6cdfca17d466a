"""What ``shoal.toml`` says about privacy."""

from collections import Counter
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from shoal.routing.privacy.kinds import KINDS, Kind

Keeping = Literal["as_is", "redacted"]


class PrivacyOptions(BaseModel):
    """What happens to a call in which something of a kind is found, and what of it is kept.

    ``refuse``: the caller gets an error. ``local_only``: the call does not leave this machine.
    ``redact``: placeholders leave, and the answer gets the values back. ``residency``: only
    models with one of these labels may be asked, where there are any; local ones have the label
    "local". ``store`` and ``learn`` "redacted": what is stored, or trained on, holds ``[EMAIL]``
    and the like.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    local_only: tuple[Kind, ...] = ()
    redact: tuple[Kind, ...] = ()
    residency: tuple[str, ...] = ()
    refuse: tuple[Kind, ...] = ()
    store: Keeping = "as_is"
    learn: Keeping = "as_is"

    @model_validator(mode="after")
    def _each_kind_once(self) -> Self:
        lists = Counter((*self.refuse, *self.local_only, *self.redact))
        twice = [kind for kind, times in lists.items() if times > 1]
        if twice:
            raise ValueError(
                f"{', '.join(twice)}: given twice; put each kind into one of refuse, local_only "
                "and redact"
            )
        return self

    @property
    def sought(self) -> frozenset[Kind]:
        """The kinds that requests are searched for."""
        return frozenset((*self.refuse, *self.local_only, *self.redact))

    @property
    def learns_less(self) -> bool:
        """Whether specialists learn from, and are asked about, scrubbed texts only."""
        return "redacted" in (self.store, self.learn)

    @property
    def scrubbed(self) -> frozenset[Kind]:
        """The kinds that "redacted" removes: all, but names only where a list has them."""
        return frozenset(kind for kind in KINDS if kind != "name" or kind in self.sought)
