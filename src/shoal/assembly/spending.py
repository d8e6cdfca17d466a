"""What was spent, on its way into the store."""

import logging
from concurrent.futures import Future

from sqlalchemy import Connection

from shoal.errors import StoreError
from shoal.storage import Spending, Store

log = logging.getLogger(__name__)

Recorded = Future[bool] | None
"""When the store has it; None if it is closed."""


def record_spending(store: Store, spending: Spending) -> Recorded:
    """Have it added to the sums of its day."""

    def add(conn: Connection) -> bool:
        store.spend.add(conn, spending)
        return True

    try:
        return store.writer.submit(add)
    except StoreError as failure:
        log.warning("what %s cost is not recorded: %s", spending.model, failure)
        return None
