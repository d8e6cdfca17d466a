"""Tools by name: one door through which every call of a tool goes.

Whatever a tool does or gives, its caller gets a ``ToolResult``: grants, arguments, time, the number
of calls at once, and what comes back are checked here, so that no tool needs to be trusted with it.
"""

import asyncio
import difflib
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from shoal.formats.json_schema import breach
from shoal.tools.plain import NotPlain, TooLarge, size_of
from shoal.tools.tool import Json, Tool, ToolResult, ToolSpec, ToolUse, failed

log = logging.getLogger(__name__)

_MOST_NAMES = 50
_MOST_SAID = 2_000  # characters of an error: it goes into a prompt
_MOST_SHOWN = 600  # of a value that breaks a schema, and of the schema
_GRACE_S = 0.2  # beyond its time, for a tool to tell itself how far it came
_GOODBYE_S = 1.0  # how long a cancelled call may take to end before it is left behind


class ToolLimits(Struct, frozen=True):
    """What every tool of a toolbox keeps: calls of it ``at_once`` (more wait), and the bytes of
    JSON that its arguments and what it gives may have."""

    at_once: int = 8
    argument_bytes: int = 1_000_000
    output_bytes: int = 1_000_000


def digest_of(spec: ToolSpec) -> str:
    """A short digest of all that a spec says: a tool that has changed has another."""
    return hashlib.sha256(msgspec.json.encode(spec)).hexdigest()[:16]


class Toolbox:
    """Tools by their names.

    Raises:
        ValueError: two have the same name.
    """

    def __init__(self, tools: Iterable[Tool], limits: ToolLimits | None = None) -> None:
        self._tools: dict[str, Tool] = {}
        self._limits = limits or ToolLimits()
        self._slots: dict[str, asyncio.Semaphore] = {}
        for tool in tools:
            if tool.spec.name in self._tools:
                raise ValueError(f"there are two tools with the name {tool.spec.name}")
            self._tools[tool.spec.name] = tool

    @property
    def names(self) -> tuple[str, ...]:
        """Of all tools, in order of the alphabet."""
        return tuple(sorted(self._tools))

    def specs(self, granted: Sequence[str] | None) -> tuple[ToolSpec, ...]:
        """As they are now, of the tools with ``granted`` names; None grants all."""
        return tuple(self._tools[name].spec for name in self._known(granted))

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Json],
        use: ToolUse,
        granted: Sequence[str] | None,
        digest: str = "",
    ) -> ToolResult:
        """Call a tool. ``digest`` is that of the spec against which the call was checked; one that
        has changed since is not called.

        Never raises but ``CancelledError``, and returns soon after ``use.left_s`` or the tool's own
        ``timeout_s`` at the latest, whatever the tool does.
        """
        tool = self._tools.get(name)
        if tool is None or (granted is not None and name not in granted):
            return self._unknown(name, granted)
        spec = tool.spec
        if digest and digest != digest_of(spec):
            return _changed(name)
        if not isinstance(arguments, Mapping):
            return failed(f"{name}: its arguments are no object", _taking(spec))
        given = dict(arguments)
        if refusal := self._argument_trouble(spec, given):
            return refusal
        result = await self._timed(tool, spec, given, use)
        return self._checked(spec, result)

    async def aclose(self) -> None:
        """Let all tools go."""
        for tool in self._tools.values():
            try:
                await asyncio.wait_for(tool.aclose(), _GOODBYE_S * 5)
            except Exception as error:  # noqa: BLE001  # it must not keep others open
                log.warning("%s does not close: %s", tool.spec.name, type(error).__name__)

    def _known(self, granted: Sequence[str] | None) -> list[str]:
        return [name for name in self.names if granted is None or name in granted]

    def _unknown(self, name: str, granted: Sequence[str] | None) -> ToolResult:
        known = self._known(granted)
        near = difflib.get_close_matches(name[:100], known, 3)
        some = near or known[:_MOST_NAMES]
        rest = f" and {len(known) - len(some)} more" if len(known) > len(some) else ""
        hint = f"there are: {', '.join(some)}{rest}" if known else "no tool is granted here"
        return failed(f"there is no tool {name[:100]!r} for this caller", hint)

    def _argument_trouble(self, spec: ToolSpec, given: dict[str, Json]) -> ToolResult | None:
        try:
            size_of(given, self._limits.argument_bytes)
        except (NotPlain, TooLarge) as error:
            return failed(f"{spec.name}: its arguments: {error}", "send plain JSON, and less of it")
        if said := breach(spec.takes, given):
            return failed(f"{spec.name}: its arguments: {_short(said)}", _taking(spec))
        return None

    async def _timed(
        self, tool: Tool, spec: ToolSpec, given: dict[str, Json], use: ToolUse
    ) -> ToolResult:
        """The result of the call itself, or what became of it."""
        limit = min(spec.timeout_s, use.left_s)
        slots = self._slots.setdefault(spec.name, asyncio.Semaphore(self._limits.at_once))
        loop = asyncio.get_running_loop()
        until = loop.time() + limit
        try:
            if limit <= 0:
                raise TimeoutError
            async with asyncio.timeout_at(until):
                await slots.acquire()
        except TimeoutError:
            return failed(
                f"{spec.name} was not called: no time was left for it", "try it later", passing=True
            )
        left = ToolUse(use.key, max(until - loop.time(), 0.001))
        if tool.spec != spec:  # it has changed while this call waited
            slots.release()
            return _changed(spec.name)
        # A task of its own, so that one who swallows its cancellation cannot hold the caller too.
        task = asyncio.create_task(_called(tool, given, left))
        task.add_done_callback(lambda _: slots.release())
        try:
            await asyncio.wait({task}, timeout=left.left_s + _GRACE_S)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=_GOODBYE_S)
        return _outcome(spec, task, limit)

    def _checked(self, spec: ToolSpec, result: ToolResult) -> ToolResult:
        """The result, or an error if nobody should read it."""
        if not result.ok:
            return msgspec.structs.replace(
                result, error=_short(result.error, _MOST_SAID), hint=_short(result.hint, _MOST_SAID)
            )
        said = hint = ""
        try:
            size_of(result.value, self._limits.output_bytes)
        except TooLarge:
            said = f"what it gave is over {self._limits.output_bytes:,} bytes"
            hint = "ask for less: fewer rows, fewer fields, a narrower question"
        except NotPlain as error:
            said, hint = f"what it gave is no JSON: {error}", "this is a fault of the tool"
        if not said and spec.gives and (broken := breach(spec.gives, result.value)):
            said, hint = f"what it gave is not as it says: {_short(broken)}", "its schema is wrong"
        if not said:
            return result
        done = " The work was done." if spec.effects == "writes" else ""
        return ToolResult(
            error=f"{spec.name}: {said}.{done}",
            hint=hint,
            unsure=spec.effects == "writes",
            cost=result.cost,
        )


async def _called(tool: Tool, given: dict[str, Json], use: ToolUse) -> ToolResult:
    result = await tool.call(given, use)
    if not isinstance(result, ToolResult):
        raise TypeError("no ToolResult")
    return result


def _outcome(spec: ToolSpec, task: "asyncio.Task[ToolResult]", limit: float) -> ToolResult:
    writes = spec.effects == "writes"
    if not task.done() or task.cancelled():
        return failed(
            f"{spec.name} gave nothing within {limit:.3g} s and was stopped",
            "ask for less" if not writes else "nobody knows whether it was done: look before again",
            passing=True,
            unsure=writes,
        )
    error = task.exception()
    if error is None:
        return task.result()
    # Its message may hold secrets, and its caller is a model: the class is all that is told.
    log.warning("%s raised %s", spec.name, type(error).__name__)
    return failed(
        f"{spec.name} broke: {type(error).__name__}",
        "this is a fault of the tool, not of the arguments",
        unsure=writes,
    )


def _changed(name: str) -> ToolResult:
    return failed(
        f"{name} is not what it was when this call was checked: nothing was called",
        "look at its description and schema again",
    )


def _taking(spec: ToolSpec) -> str:
    return f"it takes {_short(spec.takes)}"


def _short(text: str, most: int = _MOST_SHOWN) -> str:
    return text if len(text) <= most else f"{text[:most]} …"
