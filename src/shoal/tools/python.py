"""A tool from a Python function: its schema from type hints and docstring.

    @tool(effects="reads")
    def orders(customer: int, state: Literal["open", "sent"] = "open") -> list[Order]:
        '''Orders of a customer.

        Args:
            customer: the number on the invoice
        '''

A parameter annotated ``ToolUse`` gets the circumstances of the call and is not part of the schema.
Functions that are not ``async`` run in threads, a few at a time: one that hangs blocks nobody else,
but cannot be stopped. What a function says in a ``ValueError``, a ``LookupError`` or an error of
Shoal's own is told to the caller; of any other exception only its class is. It may also return a
``ToolResult``.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from shoal.errors import ShoalError
from shoal.tools.docstring import read_docstring
from shoal.tools.threads import Threads
from shoal.tools.tool import Effects, Json, ToolResult, ToolSpec, ToolUse, failed

_FIELD = "a_{}"  # a field's name is never the parameter's, which may be one of pydantic's own
_AS_IT_IS = ConfigDict(ser_json_inf_nan="constants")  # NaN is not written as null, but refused
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any, config=_AS_IT_IS)
_CONFIG = ConfigDict(extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=False)


class _Schema(GenerateJsonSchema):
    """Without the titles that pydantic makes up."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


class _Parameters(Struct, frozen=True):
    """What a function takes: ``names`` from arguments, ``uses`` the circumstances."""

    model: type[BaseModel]
    names: tuple[str, ...]
    uses: tuple[str, ...]


class FunctionAbout(Struct, frozen=True, kw_only=True):
    """What the code of a function does not say of it. ``name`` is the function's own if it is "";
    ``at_once`` is how many threads it may use."""

    name: str = ""
    effects: Effects = "writes"
    repeatable: bool = False
    timeout_s: float = 30.0
    cost: float = 0.0
    at_once: int = 8


class FunctionTool:
    """A function as a tool.

    Raises:
        TypeError: the function cannot be one: it takes ``*args``, ``**kwargs`` or positional-only
            parameters, a hint is missing or unreadable, or a type has no JSON Schema.
    """

    def __init__(self, function: Callable[..., Any], options: FunctionAbout) -> None:
        self.function = function
        self._threads = Threads(options.at_once)
        self._is_async = inspect.iscoroutinefunction(function)
        name = options.name or getattr(function, "__name__", "function")
        told = read_docstring(inspect.getdoc(function) or "")
        try:
            hints = typing.get_type_hints(function, include_extras=True)
            self._parameters = _parameters(function, hints, told.parameters)
            self._gives = _adapter(hints.get("return", Any))
            takes = self._parameters.model.model_json_schema(schema_generator=_Schema)
            gives = _schema_of(self._gives)
        except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
            raise TypeError(f"{name}: {str(error).splitlines()[0]}") from error
        takes.pop("title", None)
        self.spec = ToolSpec(
            name=name,
            description=told.text,
            takes=msgspec.json.encode(takes).decode(),
            gives=gives,
            effects=options.effects,
            repeatable=options.repeatable,
            timeout_s=options.timeout_s,
            cost=options.cost,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The function itself, as Python calls it."""
        return self.function(*args, **kwargs)

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Call the function with the arguments as the types that it names."""
        try:
            model = self._parameters.model.model_validate(dict(arguments))
        except (ValidationError, RecursionError) as error:
            return failed(f"{self.spec.name}: {_explained(error)}", f"it takes {self.spec.takes}")
        given = {name: getattr(model, _FIELD.format(name)) for name in self._parameters.names}
        given |= dict.fromkeys(self._parameters.uses, use)
        work = functools.partial(self.function, **given)
        try:
            found = await (work() if self._is_async else self._threads.run(work))
        except (ValueError, LookupError, ShoalError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            return failed(f"{self.spec.name}: {said}", "change the arguments")
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a function of anybody's
            return failed(
                f"{self.spec.name} broke: {type(error).__name__}",
                "this is a fault of the tool, not of the arguments",
                unsure=self.spec.effects == "writes",
            )
        return self._result(found)

    async def aclose(self) -> None:
        """There is nothing to let go of."""

    def _result(self, found: object) -> ToolResult:
        if isinstance(found, ToolResult):
            return found
        try:
            if self._gives is None:
                return ToolResult(_ANYTHING.dump_python(found, mode="json"))
            return ToolResult(self._gives.dump_python(found, mode="json", warnings="error"))
        except (ValueError, RecursionError):
            return failed(
                f"{self.spec.name} gave what is not as its return type says, or no JSON",
                "this is a fault of the tool, not of the arguments",
                unsure=self.spec.effects == "writes",
            )


def tool(
    *,
    name: str = "",
    effects: Effects = "writes",
    repeatable: bool = False,
    timeout_s: float = 30.0,
    cost: float = 0.0,
) -> Callable[[Callable[..., Any]], FunctionTool]:
    """Make a tool of the function below; raises what ``FunctionTool`` raises."""
    options = FunctionAbout(
        name=name, effects=effects, repeatable=repeatable, timeout_s=timeout_s, cost=cost
    )
    return lambda function: FunctionTool(function, options)


def _parameters(
    function: Callable[..., Any], hints: Mapping[str, Any], told: Mapping[str, str]
) -> _Parameters:
    name = getattr(function, "__name__", "function")
    fields: dict[str, Any] = {}
    names, uses = [], []
    for each in inspect.signature(function).parameters.values():
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            raise TypeError(f"{name}: a tool's parameters have names; {each} is none of these")
        hint = hints.get(each.name)
        if hint is None:
            raise TypeError(f"{name}: the parameter {each.name} has no type hint")
        if hint is ToolUse:
            uses.append(each.name)
            continue
        names.append(each.name)
        default = ... if each.default is each.empty else each.default
        fields[_FIELD.format(each.name)] = (hint, _field(each.name, default, told))
    model: type[BaseModel] = create_model(name, __config__=_CONFIG, **fields)
    return _Parameters(model, tuple(names), tuple(uses))


def _field(name: str, default: Any, told: Mapping[str, str]) -> Any:
    if isinstance(default, FieldInfo):  # ``= Field(…)``, as in a model of pydantic's
        merged = FieldInfo.merge_field_infos(default, alias=name)
        return merged
    return Field(default, alias=name, description=told.get(name))


def _adapter(hint: Any) -> "TypeAdapter[Any] | None":
    """What writes a function's results; None where their type says nothing."""
    if hint in (Any, ToolResult, object, inspect.Parameter.empty):
        return None
    try:
        return TypeAdapter(hint, config=_AS_IT_IS)
    except PydanticUserError:  # a class that brings a configuration of its own
        return TypeAdapter(hint)


def _schema_of(adapter: "TypeAdapter[Any] | None") -> str:
    if adapter is None:
        return ""
    told = adapter.json_schema(mode="serialization", schema_generator=_Schema)
    told.pop("title", None)
    return msgspec.json.encode(told).decode()


def _explained(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "its arguments are nested too deeply"
    lines = [
        f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    ]
    return "; ".join(lines[:10])
