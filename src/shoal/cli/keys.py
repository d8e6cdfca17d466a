"""``shoal keys``: create, list, show, revoke, rotate."""

import time
from typing import Annotated

import msgspec
import typer
from pydantic import ValidationError

from shoal.cli.context import DEFAULT_CONFIG, AsJson, ConfigPath, store_at
from shoal.cli.figures import moment, money
from shoal.cli.printing import Column, Row, say, show_json, show_table, warn
from shoal.cli.span import Span, read_span
from shoal.config import read_config
from shoal.errors import MalformedRequest
from shoal.routing.caller import SCOPES, KeySpec
from shoal.routing.key_order import KeyOrder
from shoal.routing.key_ring import digest_of, hint_of, new_key, new_secret
from shoal.routing.key_view import KeyView, view_key

app = typer.Typer(no_args_is_help=True, help="Keys of callers: create, list, show, revoke, rotate.")

_COLUMNS = (
    Column("NAME", shrinks=True),
    Column("ID"),
    Column("KEY"),
    Column("STATE"),
    Column("MAY"),
    Column("EXPIRES (UTC)"),
    Column("LIMITS", shrinks=True),
)
_DAY = 86_400.0
_ONCE = "This key is shown once, and kept nowhere:"
WhichKey = Annotated[str, typer.Argument(metavar="KEY", help="The key's name or id.")]
Money = Annotated[float | None, typer.Option(min=0.0, help="USD.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who or what it is for.")],
    model: Annotated[list[str] | None, typer.Option(help="For this model only; repeat it.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="For this task only; repeat it.")] = None,
    collection: Annotated[
        list[str] | None, typer.Option(help="For this collection only; repeat it.")
    ] = None,
    tool: Annotated[
        list[str] | None, typer.Option(help="Runs may call this tool only; repeat it.")
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(SCOPES)}; repeat it. Default: call.")
    ] = None,
    expires: Annotated[Span | None, typer.Option(parser=read_span, help="After 30d, 12h …")] = None,
    rpm: Annotated[int | None, typer.Option(help="Requests a minute, per gateway.")] = None,
    tpm: Annotated[int | None, typer.Option(help="Tokens a minute, per gateway.")] = None,
    budget_day: Money = None,
    budget_month: Money = None,
    as_json: AsJson = False,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Make a key for a caller. From the first one on, the gateway takes nobody without."""
    order = _order(
        name=name,
        scopes=scope or ["call"],
        models=model or [],
        tasks=task or [],
        collections=collection or [],
        tools=tool or [],
        expires_days=None if expires is None else expires.seconds / _DAY,
        rpm=rpm,
        tpm=tpm,
        budget_day=budget_day,
        budget_month=budget_month,
    )
    now = time.time()
    made = new_key(order.name, order.spec(), now, order.expires_at(now))
    with store_at(config) as store, store.database.transaction() as conn:
        store.keys.insert(conn, made.row)
    _show_once(made.key, view_key(made.row, now), as_json)
    known = read_config(config).models
    for one in model or []:
        if one not in known and not one.startswith("shoal/"):
            warn(f"Note: {config} names no model {one!r}; until it does, the key cannot ask it.")


@app.command("list")
def list_keys(as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """List the keys, the revoked too, in the order they were made."""
    with store_at(config) as store:
        views = [view_key(row, time.time()) for row in store.keys.list()]
    if as_json:
        show_json(views)
    elif views:
        show_table(_COLUMNS, [_row(view) for view in views])
    else:
        say("No keys: the gateway listens on loopback only, and takes everybody there.")


@app.command()
def show(key: WhichKey, as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Show one key: what it may do, and what it spent."""
    with store_at(config) as store:
        view = view_key(store.keys.get(key), time.time())
        spent = next((row for row in store.spend.list("key") if row.group == view.id), None)
    if as_json:
        return show_json({"key": view, "spend": spent})
    told = f"{view.name} ({view.id}, …{view.hint}) is {view.state}, made {moment(view.created_at)}"
    if view.expires_at is not None:
        told += f", expires {moment(view.expires_at)}"
    say(f"{told} UTC.\nIt may: {', '.join(view.spec.scopes)}. Limits: {_limits(view.spec)}.")
    if spent is not None:
        total = money(spent.cost + spent.audit_cost)
        say(f"Its calls: {spent.calls:,}, which cost {total} with their audits.")


@app.command()
def revoke(key: WhichKey, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Take a key out of force, for good; gateways refuse it within 100 ms."""
    with store_at(config) as store, store.database.transaction() as conn:
        row = store.keys.revoke(conn, key, time.time())
    say(f"{row.name} ({row.id}) is revoked.")


@app.command()
def rotate(key: WhichKey, as_json: AsJson = False, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Give a key a new secret; the old one is refused within 100 ms, the rest stays as it was."""
    secret = new_secret()
    with store_at(config) as store, store.database.transaction() as conn:
        row = store.keys.replace(conn, key, digest_of(secret), hint_of(secret))
    _show_once(secret, view_key(row, time.time()), as_json)


def _order(**fields: object) -> KeyOrder:
    try:
        return KeyOrder.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]).removesuffix("s").replace("_", "-")
        said = first["msg"].removeprefix("Value error, ")
        raise MalformedRequest(f"{field}: {said}, found {first['input']!r}") from None


def _show_once(key: str, view: KeyView, as_json: bool) -> None:
    if as_json:
        show_json(msgspec.to_builtins(view) | {"key": key})
    else:
        warn(f"{view.name} ({view.id}). {_ONCE}")
        typer.echo(key)


def _row(view: KeyView) -> Row:
    expires = "never" if view.expires_at is None else moment(view.expires_at)
    may = ", ".join(view.spec.scopes)
    limits = _limits(view.spec)
    return Row((view.name, view.id, f"…{view.hint}", view.state, may, expires, limits))


def _limits(spec: KeySpec) -> str:
    told = []
    named = (
        (spec.models, "model"),
        (spec.tasks, "task"),
        (spec.collections, "collection"),
        (spec.tools, "tool"),
    )
    for names, unit in named:
        told += [f"{unit} {name}" for name in names]
    for amount, unit in ((spec.rpm, "requests"), (spec.tpm, "tokens")):
        told += [] if amount is None else [f"{amount:,} {unit}/min"]
    for budget, period in ((spec.budget_day, "day"), (spec.budget_month, "month")):
        told += [] if budget is None else [f"{money(budget)}/{period}"]
    return ", ".join(told) or "none"
