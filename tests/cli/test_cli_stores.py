"""Files and vector stores of ``shoal serve``, with the encoder that people have."""

import signal
from pathlib import Path

import openai
import pytest
from served_desk import Served, served, wait_for
from test_cli_serve import run_shoal

from shoal.encoder import Encoder

WORDS = "The harbour master of row {n} writes down the tide, the wind and the name of each boat. "


@pytest.fixture(autouse=True)
def _weights(real_encoder: Encoder) -> None:
    """These tests need them."""


def client_of(gateway: Served, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


def test_a_gateway_that_is_killed_goes_on_with_the_files_it_took(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# Bread\n\nRye bread rises slowly in a cold kitchen.\n")
    with served(tmp_path, "--no-learn") as gateway, client_of(gateway) as client:
        added = run_shoal("collections", "add", "notes", str(tmp_path / "notes.md"),
                          "--config", str(tmp_path / "shoal.toml"))  # fmt: skip
        assert added.returncode == 0, added.stderr
        found = client.vector_stores.search("vs_notes", query="how does dough grow").data
        assert (found[0].filename, "Rye bread" in found[0].content[0].text) == ("notes.md", True)
        store = client.vector_stores.create(name="harbour")
        text = "\n\n".join(WORDS.format(n=n) * 8 for n in range(100))
        long = client.files.create(file=("long.txt", text.encode()), purpose="assistants")
        file = client.vector_stores.files.create(store.id, file_id=long.id)
        assert file.status == "in_progress"
        gateway.stop(signal.SIGKILL)
    with served(tmp_path, "--no-learn") as gateway, client_of(gateway) as client:

        def status() -> str:
            return client.vector_stores.files.retrieve(long.id, vector_store_id=store.id).status

        quick = client.vector_stores.search("vs_notes", query="bread")  # though a file is encoded
        assert quick.data
        wait_for(lambda: status() == "completed")
        hit = client.vector_stores.search(store.id, query="who notes the wind").data[0]
        assert (hit.file_id, hit.filename) == (long.id, "long.txt")
        assert "failed" not in gateway.log.lower()


def test_a_key_for_one_collection(tmp_path: Path) -> None:
    config = str(tmp_path / "shoal.toml")
    with served(tmp_path, "--no-learn") as gateway:
        with client_of(gateway) as client:
            client.vector_stores.create(name="ours")
            client.vector_stores.create(name="theirs")
        made = run_shoal("keys", "create", "app", "--collection", "ours", "--config", config)
        with client_of(gateway, made.stdout.strip()) as client:

            def listed() -> list[str]:
                try:
                    return [store.id for store in client.vector_stores.list()]
                except openai.AuthenticationError:
                    return []  # the key is not known yet

            assert wait_for(listed) == ["vs_ours"]
            with pytest.raises(openai.PermissionDeniedError, match="may not use the collection"):
                client.vector_stores.search("vs_theirs", query="x")
    shown = run_shoal("keys", "list", "--config", config).stdout
    assert "collection ours" in " ".join(shown.split())
