"""The validators that a task may name in ``shoal.toml``, and the hook for one's own."""

from collections.abc import Sequence

from shoal.errors import ConfigError
from shoal.routing.signals.validators import CallsFitTools, CitesRequest, KeepsSchema, Validator

_known: dict[str, Validator] = {
    "schema": KeepsSchema(),
    "tools": CallsFitTools(),
    "citations": CitesRequest(),
}

BUILT_IN = tuple(_known)


def register_validator(name: str, validator: Validator) -> None:
    """Make a validator known to this process; one of the same name gives way."""
    _known[name] = validator


def validators_of(names: Sequence[str]) -> tuple[Validator, ...]:
    """The validators of these names, in order.

    Raises:
        ConfigError: there is none of a name.
    """
    for name in names:
        if name not in _known:
            raise ConfigError(f"there is no validator {name!r} here: shoal.toml names it no more")
    return tuple(_known[name] for name in names)
