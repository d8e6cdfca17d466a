"""Tools over a database: one that takes any statement, and one that asks a fixed question.

A fixed question is the safer of the two, and the easier to call: its caller gives values only.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from msgspec import Struct

from shoal.tools.sql.check import MOST_TEXT, Refused, Statement, checked
from shoal.tools.sql.database import Database, Running, SqlTrouble, Table
from shoal.tools.sql.rows import GIVES, SqlLimits
from shoal.tools.threads import Threads
from shoal.tools.tool import Json, ToolResult, ToolSpec, ToolUse, failed, schema

log = logging.getLogger(__name__)

_MOST_TOLD = 8_000  # characters of the description of tables
_MOST_COMMENT = 80
_PLACES = {"sqlite": "? for each", "duckdb": "? for each", "postgres": "$1, $2, …"}
_NAMES = {"sqlite": "SQLite", "duckdb": "DuckDB", "postgres": "Postgres"}
_SCALAR: Json = {"type": ["string", "number", "boolean", "null"]}
_GIVEN = schema(GIVES, ["columns", "rows", "more"])


class SqlGrant(Struct, frozen=True):
    """What a tool over SQL may do: write, and which ``tables`` it may name (None: all). If it keeps
    keys ``once``, a call repeated with the same key is done once: the keys are kept in a table
    ``shoal_done`` of the same database, in the same transaction."""

    writes: bool = False
    tables: tuple[str, ...] | None = None
    once: bool = False
    limits: SqlLimits = SqlLimits()


class SqlAbout(Struct, frozen=True):
    """What a tool is called, what is said of it, and how many seconds it may take."""

    name: str
    description: str = ""
    timeout_s: float = 10.0


class SqlTool:
    """Takes a statement, ``sql``, and the values that are bound in it, ``params``. Its description
    tells the tables as they are when it is made.

    Raises:
        MissingExtra: sqlglot is not installed.
    """

    def __init__(self, about: SqlAbout, database: Database, grant: SqlGrant) -> None:
        checked("SELECT 1", database.dialect)  # so that what is missing is said now
        self._database, self._grant = database, grant
        self._desk = _Desk(about.name, database, grant)
        writes = grant.writes and database.can_write
        kinds = "SELECT, INSERT, UPDATE or DELETE" if writes else "SELECT"
        said = (
            f"One {kinds} statement in the SQL of {_NAMES[database.dialect]}. Values go into "
            f"params, {_PLACES[database.dialect]} in the statement. At most {grant.limits.rows:,} "
            f"rows are given."
        )
        tables = told_tables(_tables(about.name, database), grant.tables)
        self.spec = ToolSpec(
            name=about.name,
            description="\n".join(part for part in (about.description, said, tables) if part),
            takes=schema(
                {
                    "sql": {"type": "string", "minLength": 1, "maxLength": MOST_TEXT},
                    "params": {"type": "array", "maxItems": 1_000, "items": _SCALAR},
                },
                ["sql"],
            ),
            gives=_GIVEN,
            effects="writes" if writes else "reads",
            repeatable=writes and grant.once,
            timeout_s=about.timeout_s,
        )

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Check and run the statement."""
        sql, params = arguments.get("sql"), arguments.get("params", [])
        if not isinstance(sql, str) or not isinstance(params, list):
            return failed(f"{self.spec.name}: sql is a text and params a list", "see what it takes")
        grant, dialect = self._grant, self._database.dialect
        check = partial(checked, sql, dialect, grant.writes, grant.tables)
        return await self._desk.answer(check, params, use, self.spec)

    async def aclose(self) -> None:
        """There is nothing to let go of: connections last one statement."""


class QueryTool:
    """Asks one fixed ``query``, with ``:name`` wherever a value of ``parameters`` (JSON Schemas by
    name) is bound.

    Raises:
        Refused: the query may not be run, or has no place for a parameter.
        MissingExtra: sqlglot is not installed.
    """

    def __init__(
        self,
        about: SqlAbout,
        database: Database,
        grant: SqlGrant,
        query: str,
        parameters: Mapping[str, Json],
    ) -> None:
        self._desk = _Desk(about.name, database, grant)
        self._statement = checked(query, database.dialect, grant.writes, grant.tables, parameters)
        if unused := set(parameters) - set(self._statement.names):
            raise Refused(f"the query has no place :{min(unused)}")
        self._optional = {
            name: each.get("default")
            for name, each in parameters.items()
            if isinstance(each, dict) and "default" in each
        }
        self.spec = ToolSpec(
            name=about.name,
            description=about.description,
            takes=schema(parameters, [name for name in parameters if name not in self._optional]),
            gives=_GIVEN,
            effects="writes" if self._statement.writes else "reads",
            repeatable=self._statement.writes and grant.once,
            timeout_s=about.timeout_s,
        )

    async def call(self, arguments: Mapping[str, Json], use: ToolUse) -> ToolResult:
        """Run the query with these values."""
        given = self._optional | dict(arguments)
        missing = [name for name in self._statement.names if name not in given]
        if missing:
            return failed(f"{self.spec.name}: {missing[0]} is missing", "see what it takes")
        values = [given[name] for name in self._statement.names]
        return await self._desk.answer(lambda: self._statement, values, use, self.spec)

    async def aclose(self) -> None:
        """There is nothing to let go of: connections last one statement."""


class _Desk:
    """Runs statements in threads, a few at a time, and says what became of them."""

    def __init__(self, name: str, database: Database, grant: SqlGrant) -> None:
        self._name, self._database, self._grant = name, database, grant
        self._threads = Threads(4)

    async def answer(
        self,
        check: Callable[[], Statement],
        values: Sequence[Json],
        use: ToolUse,
        spec: ToolSpec,
    ) -> ToolResult:
        """The rows, or what was wrong."""
        if not all(value is None or isinstance(value, str | int | float) for value in values):
            return failed(f"{self._name}: a bound value is a text, a number, true, false or null")
        until = time.monotonic() + min(use.left_s, spec.timeout_s)
        running = Running(self._database, self._grant.limits, self._grant.once, until)
        try:
            given = await self._threads.run(
                lambda: running.run(check(), values, use.key), running.stop
            )
        except Refused as error:
            return failed(f"{self._name}: {error}", "write one statement that may be run")
        except SqlTrouble as error:
            said = f"{self._name}: {error}"
            return failed(said, error.hint, passing=error.passing, unsure=error.unsure)
        return ToolResult(given)


def told_tables(tables: Sequence[Table], allowed: Collection[str] | None) -> str:
    """The tables as whoever writes SQL wants to see them, as many as fit."""
    known = None if allowed is None else {name.lower() for name in allowed}
    lines, size, left = [], 0, 0
    for table in tables:
        if known is not None and table.name.lower() not in known:
            continue
        columns = ", ".join(_column(*each) for each in table.columns)
        about = f" -- {table.comment[:_MOST_COMMENT]}" if table.comment else ""
        line = f"{table.name}({columns}){about}"[:2_000]
        size += len(line) + 1
        if left or size > _MOST_TOLD:
            left += 1
        else:
            lines.append(line)
    if left:
        lines.append(f"… and {left} more, not shown")
    return "Tables:\n" + "\n".join(lines) if lines else ""


def _column(name: str, kind: str, comment: str) -> str:
    said = " ".join(comment.split())[:_MOST_COMMENT]
    return f"{name} {kind}" + (f" /* {said} */" if said else "")


def _tables(name: str, database: Database) -> list[Table]:
    try:
        return database.tables()
    except SqlTrouble as error:  # a server that is away now may be there when it is asked
        log.warning("%s: its tables cannot be told: %s", name, error)
        return []
