"""What a checkpoint's ``config.json`` says, whichever version of transformers wrote it.

Version 5 has all of rope in ``rope_parameters``; before, ``rope_theta`` and ``rope_scaling`` stood
apart.
"""

import json
from pathlib import Path
from typing import Any

from shoal.errors import ArtifactError


class CheckpointConfig:
    """The settings of a checkpoint; those that are missing are named when they are asked for.

    Raises:
        ArtifactError: there is no ``config.json``, or it names no architecture.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.json"
        try:
            self.settings: dict[str, Any] = json.loads(self.path.read_text())
            self.architecture = str(self.settings["architectures"][0])
        except OSError as error:
            raise ArtifactError(f"{self.path}: cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, IndexError):
            raise ArtifactError(f"{self.path}: is no JSON that names its `architectures`") from None

    def get(self, name: str, default: Any = None) -> Any:
        """The setting, ``default`` where it is missing or null."""
        value = self.settings.get(name)
        return default if value is None else value

    def must(self, name: str) -> Any:
        """The setting.

        Raises:
            ArtifactError: it is missing.
        """
        if (value := self.get(name)) is None:
            raise ArtifactError(f"{self.path}: `{name}` is missing")
        return value

    @property
    def heads(self) -> int:
        """Heads of attention."""
        return int(self.must("num_attention_heads"))

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return int(self.get("num_key_value_heads", self.heads))

    @property
    def head_width(self) -> int:
        """Numbers that one head has."""
        return int(self.get("head_dim", self.must("hidden_size") // self.heads))

    @property
    def rope(self) -> dict[str, Any]:
        """``rope_type``, ``rope_theta`` and what else belongs to them."""
        found = dict(self.get("rope_scaling", {})) | dict(self.get("rope_parameters", {}))
        found.setdefault("rope_type", found.pop("type", "default"))
        for name, default in (("rope_theta", 10_000.0), ("partial_rotary_factor", 1.0)):
            found.setdefault(name, self.get(name, default))
        return found
