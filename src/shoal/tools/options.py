"""What ``shoal.toml`` says of tools.

Who writes that file may have any Python function called, and so runs code of their choice: nothing
else ever names a function.
"""

import importlib
import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from msgspec import structs
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from yarl import URL

from shoal.errors import ConfigError
from shoal.formats.json_schema import is_readable
from shoal.tools.calculator import Calculator
from shoal.tools.files import FileLimits, file_tools
from shoal.tools.http.openapi import operations
from shoal.tools.http.operation import Operation, Parameter
from shoal.tools.http.reach import Reach
from shoal.tools.mcp.options import Address, Command, McpOptions
from shoal.tools.mcp.options import Limits as McpLimits
from shoal.tools.module_file import module_of
from shoal.tools.python import FunctionAbout, FunctionTool
from shoal.tools.sql.check import Refused
from shoal.tools.sql.database import Database
from shoal.tools.sql.duckdb import DuckdbFile
from shoal.tools.sql.postgres import PostgresServer
from shoal.tools.sql.rows import SqlLimits
from shoal.tools.sql.sqlite import SqliteFile
from shoal.tools.sql.tool import QueryTool, SqlAbout, SqlGrant, SqlTool
from shoal.tools.tool import Effects, Json, Tool
from shoal.tools.toolbox import Toolbox, ToolLimits

Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
Seconds = Annotated[float, Field(gt=0, le=3_600, allow_inf_nan=False)]
ToolName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]

_MOST_DOCUMENT = 20_000_000  # bytes


class _Options(BaseModel):
    """What all have. A key written into the wrong field must not be shown by the error about it."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    description: str = Field(default="", max_length=4_000)


class SqlToolOptions(_Options):
    """Statements over a SQLite or DuckDB file at ``path``, or a Postgres database at ``url``, or at
    the URL in the variable ``url_env``; its password may be in the variable ``password_env``.

    Without a ``query`` its caller writes the SQL. With one, ``:name`` stands for each of
    ``params``, JSON Schemas by name. Only ``writes`` lets it change anything, at most ``changes``
    rows at a time; ``once`` keeps the keys of calls in a table ``shoal_done``, so that a repeated
    call is done once. ``tables`` are those that it may name (default: all)."""

    kind: Literal["sql"]
    database: Literal["sqlite", "duckdb", "postgres"]
    path: Path | None = None
    url: str | None = None
    url_env: Variable | None = None
    password_env: Variable | None = None
    query: str | None = None
    params: dict[ToolName, dict[str, Any]] = Field(default_factory=dict)
    tables: tuple[str, ...] | None = None
    writes: bool = False
    once: bool = False
    rows: int = Field(default=1_000, ge=1, le=100_000)
    result_kb: float = Field(default=500, gt=0, le=50_000, allow_inf_nan=False)
    changes: int = Field(default=1_000, ge=1)
    timeout_s: Seconds = 10

    @model_validator(mode="after")
    def _whole(self) -> Self:
        on_a_server = self.database == "postgres"
        if on_a_server and (self.path or not (self.url or self.url_env)):
            raise ValueError("url: of Postgres a url, or url_env, is expected, and no path")
        if not on_a_server and (not self.path or self.url or self.url_env or self.password_env):
            raise ValueError(f"path: of {self.database} a path is expected, and nothing else")
        if self.url and self.url_env:
            raise ValueError("url_env: there is a url already")
        if self.writes and self.database == "duckdb":
            raise ValueError("writes: DuckDB files are only read; write to SQLite or Postgres")
        if self.once and not self.writes:
            raise ValueError("once: what only reads may be repeated anyway")
        if self.params and self.query is None:
            raise ValueError("params: there is no query that they belong to")
        return self


class _ReachOptions(_Options):
    """``secrets`` maps headers to the environment variables that hold them; ``permit`` are networks
    that may be reached though they are not public, like "127.0.0.1/32". ``repeatable``: the service
    heeds ``Idempotency-Key``, and does what it is asked twice only once."""

    secrets: dict[Header, Variable] = Field(default_factory=dict)
    permit: tuple[str, ...] = ()
    reply_kb: float = Field(default=1_000, gt=0, le=50_000, allow_inf_nan=False)
    timeout_s: Seconds = 30
    repeatable: bool = False

    @field_validator("permit")
    @classmethod
    def _networks(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for each in given:
            ipaddress.ip_network(each)  # its own ValueError says what is wrong
        return given

    def reach(self, url: str) -> Reach:
        """What may be reached: the host of ``url``."""
        address = URL(url.replace("{", "").replace("}", ""))
        return Reach(
            hosts=(address.host or "",),
            permitted=tuple(ipaddress.ip_network(each) for each in self.permit),
            secrets=dict(self.secrets),
            reply_bytes=int(self.reply_kb * 1_000),
            timeout_s=self.timeout_s,
            repeatable=self.repeatable,
        )


class HttpToolOptions(_ReachOptions):
    """One operation: ``url`` has ``{name}`` in its path for each parameter that is not in ``query``
    or ``headers``. ``params`` are JSON Schemas by name, ``required`` the names of those without
    which it cannot be called (those of the path always are), ``body`` the schema of a JSON body."""

    kind: Literal["http"]
    url: str
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    params: dict[ToolName, dict[str, Any]] = Field(default_factory=dict)
    headers: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    body: dict[str, Any] | None = None

    def operation(self, name: str) -> Operation:
        """As data."""
        return Operation(
            name=name,
            method=self.method,
            url=self.url,
            description=self.description,
            parameters=tuple(self._parameter(each, told) for each, told in self.params.items()),
            body=self.body,
            body_required=self.body is not None,
        )

    def _parameter(self, name: str, told: dict[str, Any]) -> Parameter:
        place: Literal["path", "query", "header"] = "query"
        if f"{{{name}}}" in self.url:
            place = "path"
        elif name in self.headers:
            place = "header"
        return Parameter(name, place, told, place == "path" or name in self.required)


class OpenapiToolOptions(_ReachOptions):
    """Operations of an OpenAPI 3 ``document`` in JSON, by their ids: one tool each, named
    ``NAME_id``. ``url`` takes the place of the document's server, and must where there are secrets:
    whoever wrote the document does not say to whom they go. Without ``check_reply`` replies may
    differ from what the document says of them."""

    kind: Literal["openapi"]
    document: Path
    operations: tuple[str, ...] = Field(min_length=1)
    url: str | None = None
    check_reply: bool = True

    @model_validator(mode="after")
    def _whose_secrets(self) -> Self:
        if self.secrets and not self.url:
            raise ValueError("url: name the address to which the secrets may go")
        return self


class FilesToolOptions(_Options):
    """The text files below ``root``: ``NAME_list``, ``NAME_read``, ``NAME_search``, and
    ``NAME_write`` only with ``writes``."""

    kind: Literal["files"]
    root: Path
    writes: bool = False
    read_kb: float = Field(default=200, gt=0, le=10_000, allow_inf_nan=False)
    write_kb: float = Field(default=1_000, gt=0, le=10_000, allow_inf_nan=False)


class CalculatorToolOptions(_Options):
    """Arithmetic."""

    kind: Literal["calculator"]


class PythonToolOptions(_Options):
    """A ``function`` of an installed module, "package.module:name", or of a file, "steps.py:name",
    relative to the settings: one made a tool by the decorator ``tool``, which then says all about
    it, or any other that has type hints."""

    kind: Literal["python"]
    function: str = Field(pattern=r"^([A-Za-z_][\w.]*|[\w./ -]+\.py):[A-Za-z_][\w.]*$")
    effects: Effects = "writes"
    repeatable: bool = False
    timeout_s: Seconds = 30


class McpToolOptions(_Options):
    """The tools of an MCP server: a program, its ``command`` and arguments, that speaks over
    standard input and output, or one at ``url``. Its tools are called ``NAME__tool``. Of the
    environment a program gets what programs need, and the variables that ``env`` names;
    ``headers`` maps headers to the variables that hold them. Its tools count as writing, and are
    not repeated, unless ``effects`` says of one what it does or the server is ``trusted`` to."""

    kind: Literal["mcp"]
    command: tuple[str, ...] = ()
    env: tuple[Variable, ...] = ()
    folder: Path | None = None
    url: str | None = None
    headers: dict[Header, Variable] = Field(default_factory=dict)
    trusted: bool = False
    effects: dict[str, Effects] = Field(default_factory=dict)
    timeout_s: Seconds = 30

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.command) == bool(self.url):
            raise ValueError("command: expected either a command or a url")
        if self.url and (self.env or self.folder):
            raise ValueError("env: only a command has an environment and a folder")
        if self.command and self.headers:
            raise ValueError("headers: only a url has headers")
        return self

    def server(self, name: str, base: Path) -> McpOptions:
        """As data; ``folder`` is relative to ``base``, and that itself by default."""
        place: Command | Address
        if self.url:
            place = Address(url=self.url, headers=dict(self.headers))
        else:
            folder = base / self.folder if self.folder else base
            place = Command(
                program=self.command[0],
                arguments=self.command[1:],
                env=self.env,
                folder=str(folder),
            )
        return McpOptions(
            name=name,
            place=place,
            trusted=self.trusted,
            effects=dict(self.effects),
            limits=McpLimits(call_s=self.timeout_s),
        )


ToolOptions = Annotated[
    SqlToolOptions
    | HttpToolOptions
    | OpenapiToolOptions
    | FilesToolOptions
    | CalculatorToolOptions
    | PythonToolOptions
    | McpToolOptions,
    Field(discriminator="kind"),
]


def build_tools(
    options: Mapping[str, ToolOptions], folder: Path, limits: ToolLimits | None = None
) -> Toolbox:
    """The tools of ``[tools.NAME]``; paths are relative to ``folder``.

    Raises:
        ConfigError: one cannot be made; names the key.
        MissingExtra: one needs an optional part.
    """
    made: list[Tool] = []
    for name, each in options.items():
        tools = tools_of(name, each, folder)
        for spec in (tool.spec for tool in tools):
            if not is_readable(spec.takes) or not is_readable(spec.gives or "{}"):
                raise ConfigError(f"tools.{name}: a schema of {spec.name} is no JSON Schema")
        made += tools
    try:
        return Toolbox(made, limits)
    except ValueError as error:
        raise ConfigError(f"tools: {error}; rename one") from None


def tools_of(name: str, options: ToolOptions, folder: Path) -> list[Tool]:
    """The tools of one ``[tools.NAME]``; raises as ``build_tools``."""
    place = f"tools.{name}"
    if isinstance(options, McpToolOptions):
        raise ConfigError(f"{place}: an MCP server's tools are not known before it is asked")
    try:
        if isinstance(options, SqlToolOptions):
            return [_sql_tool(place, name, options, folder)]
        if isinstance(options, HttpToolOptions):
            return _over_http([options.operation(name)], options)
        if isinstance(options, OpenapiToolOptions):
            return _openapi_tools(place, name, options, folder)
        if isinstance(options, FilesToolOptions):
            return _file_tools(place, name, options, folder)
        if isinstance(options, CalculatorToolOptions):
            return [Calculator(name)]
        return [_function_tool(place, name, options, folder)]
    except Refused as error:
        raise ConfigError(f"{place}.query: {error}") from None
    except ValueError as error:  # an operation, a document or an address that is none
        raise ConfigError(f"{place}: {error}") from None
    except ConfigError as error:
        said = str(error)
        raise ConfigError(said if said.startswith(place) else f"{place}: {said}") from None


def _sql_tool(place: str, name: str, options: SqlToolOptions, folder: Path) -> Tool:
    grant = SqlGrant(
        writes=options.writes,
        tables=options.tables,
        once=options.once,
        limits=SqlLimits(options.rows, int(options.result_kb * 1_000), options.changes),
    )
    about = SqlAbout(name, options.description, options.timeout_s)
    database = _database(place, options, folder)
    if options.query is None:
        return SqlTool(about, database, grant)
    parameters: dict[str, Json] = dict(options.params)
    return QueryTool(about, database, grant, options.query, parameters)


def _database(place: str, options: SqlToolOptions, folder: Path) -> Database:
    if options.path is None:
        url = options.url or _environment(f"{place}.url_env", options.url_env)
        return PostgresServer(url, _environment(f"{place}.password_env", options.password_env))
    path = _existing(f"{place}.path", folder, options.path)
    return SqliteFile(path) if options.database == "sqlite" else DuckdbFile(path)


def _openapi_tools(place: str, name: str, options: OpenapiToolOptions, folder: Path) -> list[Tool]:
    path = _existing(f"{place}.document", folder, options.document)
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_DOCUMENT + 1)
        document = json.loads(data) if len(data) <= _MOST_DOCUMENT else None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{place}.document: cannot be read as JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{place}.document: an object of at most 20 MB is expected")
    found = operations(document, options.operations, f"{name}_", options.url or "")
    if not options.check_reply:
        found = [structs.replace(each, gives="") for each in found]
    return _over_http(found, options)


def _over_http(operations: Sequence[Operation], options: _ReachOptions) -> list[Tool]:
    from shoal.tools.http.tool import HttpTool  # .2 s of aiohttp, which most commands need not

    return [HttpTool(each, options.reach(each.url)) for each in operations]


def _file_tools(place: str, name: str, options: FilesToolOptions, folder: Path) -> list[Tool]:
    root = _existing(f"{place}.root", folder, options.root, is_folder=True)
    limits = FileLimits(
        read_bytes=max(4, int(options.read_kb * 1_000)), write_bytes=int(options.write_kb * 1_000)
    )
    return file_tools(name, root, options.writes, limits, options.description)


def _function_tool(place: str, name: str, options: PythonToolOptions, folder: Path) -> Tool:
    module, _, path = options.function.rpartition(":")
    file = _existing(f"{place}.function", folder, Path(module)) if module.endswith(".py") else None
    try:
        found: Any = module_of(file) if file else importlib.import_module(module)
        for part in path.split("."):
            if not hasattr(found, part):
                raise AttributeError(f"{module} has no {path!r}")
            found = getattr(found, part)
    except Exception as error:  # whatever the code of a module does as it is imported
        said = str(error) or type(error).__name__
        raise ConfigError(f"{place}.function: {said}") from error
    if isinstance(found, FunctionTool):
        if found.spec.name != name:
            raise ConfigError(f"{place}: this tool calls itself {found.spec.name}")
        return found
    if not callable(found):
        raise ConfigError(f"{place}.function: {options.function} is no function")
    about = FunctionAbout(
        name=name,
        effects=options.effects,
        repeatable=options.repeatable,
        timeout_s=options.timeout_s,
    )
    try:
        return FunctionTool(found, about)
    except TypeError as error:
        raise ConfigError(f"{place}.function: {error}") from None


def _existing(place: str, folder: Path, path: Path, is_folder: bool = False) -> Path:
    whole = folder / path
    if not (whole.is_dir() if is_folder else whole.is_file()):
        what = "folder" if is_folder else "file"
        raise ConfigError(f"{place}: no such {what} '{path}' (relative to the config file)")
    return whole


def _environment(place: str, variable: str | None) -> str:
    if variable is None:
        return ""
    if not (value := os.environ.get(variable, "")):
        raise ConfigError(
            f"{place}: the environment variable {variable} is not set; export {variable}=…"
        )
    return value
