"""What the store lets its user choose."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class StoreOptions(BaseModel):
    """Where the store lies and how long it keeps what it recorded.

    ``path`` is the data folder. With ``durable`` a write is on the disk, past a power cut, before
    it is acknowledged; without it a killed process loses at most the last 50 ms and a power cut at
    most what the system had not written back. Calls older than ``keep_days`` go, and the oldest
    beyond ``max_gb`` (10⁹ bytes of database) too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    durable: bool = False
    keep_days: int = Field(default=90, ge=1)
    max_gb: float = Field(default=5.0, gt=0)
