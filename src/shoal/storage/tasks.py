"""Tasks as rows. What a task is made of (template, contract …) is JSON that upper floors write."""

from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, delete, select, update

from shoal.errors import NotFound, StoreError
from shoal.storage.database import AnyRow, Database
from shoal.storage.packing import pack, unpack
from shoal.storage.revision import bump
from shoal.storage.schema import calls, standings, tasks


class TaskRow(Struct, frozen=True, kw_only=True):
    """A kind of call that recurs. ``name`` is unique; ``spec`` is JSON; times are unix seconds.

    A ``pinned`` task is not renamed, merged or split by discovery; an ``ignored`` one is neither
    learned nor served.
    """

    id: str
    name: str
    spec: bytes
    pinned: bool = False
    ignored: bool = False
    created_at: float
    updated_at: float


class Tasks:
    """The tasks of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, conn: Connection, task: TaskRow) -> None:
        """Insert ``task``, or replace the one of its id.

        Raises:
            StoreError: another task has that name.
        """
        other = conn.execute(select(tasks.c.id).where(tasks.c.name == task.name)).scalar()
        if other not in (None, task.id):
            raise StoreError(f"task {task.name!r} exists already (id {other}): choose another name")
        row = asdict(task) | {"spec": pack(task.spec)}
        if conn.execute(update(tasks).where(tasks.c.id == task.id).values(row)).rowcount == 0:
            conn.execute(tasks.insert(), row)
        bump(conn)

    def delete(self, conn: Connection, task_id: str) -> None:
        """Remove a task and its standing, and make its calls unassigned.

        Its cards, certificates, attempts and events stay: they are history, and receipts name them.

        Raises:
            NotFound: no such task.
        """
        if conn.execute(delete(tasks).where(tasks.c.id == task_id)).rowcount == 0:
            raise NotFound(f"no task of id {task_id!r}")
        conn.execute(delete(standings).where(standings.c.task == task_id))
        conn.execute(update(calls).where(calls.c.task == task_id).values(task=""))
        bump(conn)

    def get(self, task_id: str) -> TaskRow:
        """The task of that id.

        Raises:
            NotFound: no such task.
        """
        with self._database.read() as conn:
            row = conn.execute(select(tasks).where(tasks.c.id == task_id)).one_or_none()
        if row is None:
            raise NotFound(f"no task of id {task_id!r}")
        return _task(row)

    def named(self, name: str) -> TaskRow:
        """The task of that name.

        Raises:
            NotFound: no such task; the message lists the names there are.
        """
        with self._database.read() as conn:
            row = conn.execute(select(tasks).where(tasks.c.name == name)).one_or_none()
            if row is None:
                names = conn.execute(select(tasks.c.name).order_by(tasks.c.name)).scalars().all()
                there = ", ".join(names) or "none so far"
                raise NotFound(f"no task named {name!r}; there are: {there}")
        return _task(row)

    def list(self) -> list[TaskRow]:
        """Every task, in the order they were made."""
        with self._database.read() as conn:
            rows = conn.execute(select(tasks).order_by(tasks.c.created_at, tasks.c.id)).all()
        return [_task(row) for row in rows]


def _task(row: AnyRow) -> TaskRow:
    fields = dict(row._mapping)
    return TaskRow(**fields | {"spec": unpack(fields["spec"])})
