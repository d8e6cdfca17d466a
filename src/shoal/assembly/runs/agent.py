"""An agent of ``shoal.toml``: its options, and its plans as they are read from their files."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from shoal.assembly.models import Models, check_models
from shoal.errors import ConfigError, MalformedRequest
from shoal.planning.options import AgentOptions
from shoal.planning.plan import Plan, read_plan
from shoal.tools.toolset import Toolset

_SUFFIX = ".json"


class Agent(Struct, frozen=True):
    """``plan`` is what it always runs, None if it plans; ``stored`` are the ready plans that it may
    choose from, by name."""

    name: str
    options: AgentOptions
    plan: Plan | None
    stored: Mapping[str, Plan]

    def check(self, place: str, models: Models, tools: Toolset) -> None:
        """Refuse names of models and tools that there are not. What an MCP server has is not known
        yet.

        Raises:
            ConfigError: says which.
        """
        options = self.options
        check_models(f"{place}.models", options.models, models)
        check_models(f"{place}.planner", [options.planner] if options.planner else [], models)
        for name in options.tools:
            if name not in tools.names and not name.startswith(tools.prefixes):
                there = ", ".join((*tools.names, *(f"{one}…" for one in tools.prefixes))) or "none"
                raise ConfigError(
                    f"{place}.tools: expected names of tools ({there}), found {name!r}"
                )


def agents_of(options: Mapping[str, AgentOptions]) -> dict[str, Agent]:
    """The agents with their plans.

    Raises:
        ConfigError: a plan cannot be read; names the file.
    """
    return {name: _agent(name, own) for name, own in options.items()}


def _agent(name: str, options: AgentOptions) -> Agent:
    place = f"agents.{name}"
    plan = _read(options.plan, f"{place}.plan") if options.plan else None
    stored = dict[str, Plan]()
    for file in _files(options.plans, f"{place}.plans"):
        found = _read(file, f"{place}.plans")
        if found.name in stored:
            raise ConfigError(f"{place}.plans: {file}: there is another plan named {found.name!r}")
        stored[found.name] = found
    return Agent(name, options, plan, stored)


def _files(paths: Iterable[Path], place: str) -> list[Path]:
    found = list[Path]()
    for path in paths:
        if path.is_dir():
            found += sorted(path.glob(f"*{_SUFFIX}"))
        elif path.exists():
            found.append(path)
        else:
            raise ConfigError(f"{place}: {path}: no such file or folder")
    return found


def _read(path: Path, place: str) -> Plan:
    try:
        return read_plan(path.read_bytes())
    except FileNotFoundError:
        raise ConfigError(f"{place}: {path}: no such file") from None
    except (OSError, MalformedRequest) as error:
        raise ConfigError(f"{place}: {path}: {error}") from None
