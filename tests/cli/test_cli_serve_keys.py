"""``shoal serve`` before and after the first key."""

import urllib.error
from pathlib import Path

import openai
import pytest
from served_desk import Served, served, wait_for
from support_desk import LABELS
from test_cli_serve import asked, run_shoal


def is_closed(gateway: Served) -> bool:
    try:
        gateway.get("/v1/models")
    except urllib.error.HTTPError as error:
        return error.code == 401
    return False


def test_the_first_key_closes_the_gateway(tmp_path: Path) -> None:
    config = str(tmp_path / "shoal.toml")
    with served(tmp_path, "--no-learn") as gateway:
        wait_for(lambda: "Nobody needs a key" in gateway.log)
        assert gateway.get("/v1/models")["data"]
        key = run_shoal("keys", "create", "app", "--config", config).stdout.strip()
        wait_for(lambda: is_closed(gateway))
        base_url = f"{gateway.url}/v1"
        with openai.OpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
            said = client.chat.completions.create(model="gpt", messages=asked(1))
            assert said.choices[0].message.content == LABELS[1]
            assert run_shoal("keys", "revoke", "app", "--config", config).returncode == 0
            with pytest.raises(openai.AuthenticationError):
                wait_for(lambda: client.models.list() and None)
        assert key not in gateway.log
