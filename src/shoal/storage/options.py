"""What the store lets its user choose."""

from pathlib import Path
from typing import Annotated, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _checked_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port  # a password with a '/' in it makes this no number
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("postgresql", "postgres") or parts.fragment:
        raise ValueError("expected an address like postgresql://shoal@db.example:5432/shoal")
    secret = [name for name, _ in parse_qsl(parts.query) if "password" in name.lower()]
    if parts.password is not None or secret:
        raise ValueError(
            "a password does not belong here; put it into an environment variable and name that, "
            'password_env = "SHOAL_DB_PASSWORD", or into the file that PGPASSFILE names'
        )
    return value


class StoreOptions(BaseModel):
    """Where the store lies and how long it keeps what it recorded.

    ``path`` is the data folder, with model files and, unless ``url`` names a Postgres database for
    it, the database. ``password_env`` names an environment variable with the password for ``url``.
    With ``durable`` a write is on the disk, past a power cut, before it is acknowledged; without it
    a killed process loses at most the last 50 ms and a power cut at most what the system had not
    written back. Calls older than ``keep_days`` go, and the oldest beyond ``max_gb`` (10⁹ bytes of
    database) too.
    """

    # a password written into the wrong field must not be shown by the error about it
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    path: Path
    url: Annotated[str, AfterValidator(_checked_url)] | None = None
    password_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    durable: bool = False
    keep_days: int = Field(default=90, ge=1)
    max_gb: float = Field(default=5.0, gt=0)

    @model_validator(mode="after")
    def _password_has_a_use(self) -> Self:
        if self.password_env is not None and self.url is None:
            raise ValueError("password_env is for url, which is not set")
        return self
