"""A mixture of specialists: adapters on one base behind one name, and who of them answers what."""

from collections.abc import Mapping

from msgspec import Struct

from shoal.engines import (
    AdapterOptions,
    Engine,
    EngineOptions,
    LocalOptions,
    MixtureEngine,
    MixtureOptions,
)
from shoal.errors import ConfigError
from shoal.routing.gate import Gate, read_gate


class Mixture(Struct, frozen=True):
    """Who answers: ``tasks`` names a member for each task, ``gate`` tells of other requests which
    task they are most like, ``default`` takes the rest."""

    engine: MixtureEngine
    tasks: Mapping[str, str]
    gate: Gate | None = None
    has_gate_file: bool = False

    def of_task(self, task: str) -> tuple[str, str]:
        """The member for a known task, and why."""
        member = self.tasks.get(task)
        if member is None:
            return self.engine.default, f"the task {task} is given to no member"
        return member, f"the task {task} is given to it"

    def of_none(self, like: str, why: str) -> tuple[str, str]:
        """The member for what is of no task, but ``like`` one ("": like none), and why."""
        if not why:
            why = "no gate has been learned yet" if self.has_gate_file else "no gate is set"
        return self.tasks.get(like, self.engine.default), f"of no task; {why}"


def open_mixture(
    name: str,
    options: MixtureOptions,
    known: Mapping[str, EngineOptions],
    engines: Mapping[str, Engine],
) -> Mixture:
    """The mixture of models that are open already.

    Raises:
        ConfigError: a name is none of a model on this machine, they have more than one base, or the
            gate's file is damaged.
    """
    default = default_of(name, options, known)
    members = {one: engines[one] for one in dict.fromkeys((*options.of, default))}
    gate = read_gate(options.gate, f"models.{name}.gate") if options.gate else None
    engine = MixtureEngine(name, members, default)
    return Mixture(engine, options.tasks, gate, options.gate is not None)


def default_of(name: str, options: MixtureOptions, known: Mapping[str, EngineOptions]) -> str:
    """Who answers what is of no task: who is named for it, else the base of all.

    Raises:
        ConfigError: a name is none of a model on this machine, or they have more than one base.
    """
    place = f"models.{name}"
    bases = {_base_of(member, known, f"{place}.of") for member in options.of}
    if len(bases) > 1:
        raise ConfigError(
            f"{place}.of: expected adapters on one base, found those on {', '.join(sorted(bases))}"
        )
    base = bases.pop()
    default = options.default or base
    if default not in (*options.of, base):
        raise ConfigError(f"{place}.default: {_expected(options.of)}, found {default!r}")
    for task, member in options.tasks.items():
        if member not in options.of:
            raise ConfigError(f"{place}.tasks.{task}: {_expected(options.of)}, found {member!r}")
    return default


def _base_of(member: str, known: Mapping[str, EngineOptions], place: str) -> str:
    options = known.get(member)
    if isinstance(options, AdapterOptions):
        return options.base
    if isinstance(options, LocalOptions):
        return member
    there = [one for one, other in known.items() if isinstance(other, AdapterOptions)]
    raise ConfigError(
        f"{place}: expected names of adapters ({', '.join(there) or 'none'}) or of their base, "
        f"found {member!r}"
    )


def _expected(of: tuple[str, ...]) -> str:
    return f"expected one of its members ({', '.join(of)})"
