from pathlib import Path

import pytest

from shoal.chat import Request
from shoal.config import Config, read_config
from shoal.engines import EchoOptions, RecordedOptions, RemoteOptions
from shoal.errors import ConfigError
from shoal.routing.budget import BudgetOptions

SECRET = "sk-live-0123456789"
REMOTE = '[models.gpt]\nengine = "remote"\nbase_url = "https://api.example.com/v1"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shoal.toml"


def read(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return read_config(file)


def refused(file: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, text)
    return str(caught.value)


def test_every_setting_has_a_default(file: Path) -> None:
    config = read(file, "")
    assert (config.gateway.host, config.gateway.port) == ("127.0.0.1", 8400)
    assert config.store.path == file.parent / "shoal-data"
    assert config.learn.promote == "observe"
    assert config.promise.alpha == 0.05
    assert config.models == {}
    assert config.promises() == {}


def test_each_part_gets_its_own_options(file: Path) -> None:
    config = read(
        file,
        REMOTE
        + """
        [models.tape]
        engine = "recorded"
        path = "calls/tape.jsonl.gz"
        latency = "recorded"
        [models.parrot]
        engine = "echo"
        input_price = 0
        [gateway]
        port = 9000
        max_body_mb = 10
        [store]
        durable = true
        [learn]
        promote = "serve"
        [promise]
        alpha = 0.1
        """,
    )
    assert isinstance(config.models["gpt"], RemoteOptions)
    assert isinstance(config.models["tape"], RecordedOptions)
    assert isinstance(config.models["parrot"], EchoOptions)
    assert config.models["parrot"].input_price == 0
    assert (config.gateway.port, config.store.durable, config.learn.promote) == (
        9000,
        True,
        "serve",
    )


def test_relative_paths_are_relative_to_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = '[store]\npath = "data"\n[models.tape]\nengine = "recorded"\npath = "../tape.jsonl"\n'
    file.write_text(text)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    config = read_config(file)
    assert config.store.path == file.parent / "data"
    tape = config.models["tape"]
    assert isinstance(tape, RecordedOptions)
    assert tape.path.resolve() == file.parent.parent / "tape.jsonl"


def test_a_tokenizer_is_a_file_or_a_repository(file: Path) -> None:
    (file.parent / "there").mkdir()
    named = ("tokens/tokenizer.json", "there", "../qwen", "/srv/tokenizer.json", "Qwen/Qwen3-8B")
    tables = [
        f"{REMOTE.replace('gpt', f'm{n}')}tokenizer = '{name}'\n" for n, name in enumerate(named)
    ]
    found = read(file, "".join(tables)).models.values()
    assert [model.tokenizer for model in found if isinstance(model, RemoteOptions)] == [
        str(file.parent / "tokens/tokenizer.json"),
        str(file.parent / "there"),
        str(file.parent / "../qwen"),
        "/srv/tokenizer.json",
        "Qwen/Qwen3-8B",
    ]


def test_a_file_named_relatively_counts_from_here(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("")
    monkeypatch.chdir(file.parent)
    assert read_config(Path("shoal.toml")).store.path == file.parent / "shoal-data"


def test_absolute_paths_stay(file: Path, tmp_path: Path) -> None:
    assert read(file, f'[store]\npath = "{tmp_path}/x"').store.path == tmp_path / "x"


def test_the_environment_is_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_GATEWAY__PORT", "9100")
    monkeypatch.setenv("SHOAL_LEARN__PROMOTE", "shadow")
    monkeypatch.setenv("SHOAL_MODELS", '{"extra": {"engine": "echo"}}')
    config = read(file, REMOTE + "[gateway]\nport = 9000\nmax_body_mb = 3\n")
    assert (config.gateway.port, config.gateway.max_body_mb) == (9100, 3)
    assert config.learn.promote == "shadow"
    assert sorted(config.models) == ["extra", "gpt"]


def test_other_variables_of_shoal_are_no_settings(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_CONFIG", str(file))
    monkeypatch.setenv("SHOAL_DATA", "../data")
    assert read(file, "").gateway.port == 8400


def test_a_task_may_have_a_promise_of_its_own(file: Path) -> None:
    text = "[promise]\nalpha = 0.1\naudit_rate = 0.2\n[tasks.topic]\nalpha = 0.02\n"
    promises = read(file, text).promises()
    assert sorted(promises) == ["topic"]
    assert (promises["topic"].alpha, promises["topic"].audit_rate) == (0.02, 0.2)


def test_stored_plans_are_promised_to_be_wrong_in_a_fiftieth_at_most(file: Path) -> None:
    text = '[promise]\nalpha = 0.1\naudit_rate = 0.2\n[tasks."plans:desk"]\nalpha = 0.05\n'
    config = read(file, text)
    assert (config.plans_promise("desk").alpha, config.plans_promise("shop").alpha) == (0.05, 0.02)
    assert config.plans_promise("shop").audit_rate == 0.2
    assert read(file, "[promise]\nalpha = 0.01\n").plans_promise("desk").alpha == 0.01


def test_recorded_references_are_called_recorded(file: Path) -> None:
    config = read(file, REMOTE + '[models.tape]\nengine = "recorded"\npath = "tape.jsonl"\n')
    labels = [config.reference_label(name) for name in ("gpt", "tape", "gone")]
    assert labels == ["gpt", "tape (recorded)", "gone"]


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        (REMOTE + "tokenizer = ''", "models.gpt.tokenizer", "at least 1 character"),
        (REMOTE + "tokenizer = 7", "models.gpt.tokenizer", "a valid string"),
        ("[models.e]\nengine = 'echo'\ntokenizer = 'x'", "models.e.tokenizer", "not permitted"),
        ("[gateway]\nport = 70000", "gateway.port", "less than or equal to 65535"),
        ("[gateway]\nport = 'http'", "gateway.port", "a valid integer"),
        ("[gateway]\nprot = 1", "gateway.prot", "not permitted"),
        ("[gateway]\nhost = 'http://localhost'", "gateway.host", "an address or a name"),
        ("[gatway]\nport = 1", "gatway", "not permitted"),
        ("gateway = 1", "gateway", "a valid dictionary"),
        ("models = 1", "models", "a valid dictionary"),
        ("store = 1", "store", "a valid dictionary"),
        ("[store]\nurl = 'mysql://db/shoal'", "store.url", "postgresql://shoal@db.example"),
        ("[store]\nurl = 'host=db dbname=shoal'", "store.url", "postgresql://shoal@db.example"),
        ("[store]\npassword_env = 'X'", "store", "password_env is for url"),
        ("[store]\nurl = 'postgresql://db'\npassword_env = 'a b'", "store.password_env", "match"),
        ("[store]\nkeep_days = 0", "store.keep_days", "greater than or equal to 1"),
        ("[learn]\npromote = 'always'", "learn.promote", "'observe', 'shadow' or 'serve'"),
        ("[promise]\nalpha = 0.7", "promise.alpha", "less than 0.5"),
        ("[tasks.topic]\nalpha = 0.7", "tasks.topic.alpha", "less than 0.5"),
        ("[tasks.topic]\nalhpa = 0.1", "tasks.topic.alhpa", "not permitted"),
        ("[tasks.topic]\nbudget_day = -1", "tasks.topic.budget_day", "greater than or equal to 0"),
        ("[tasks.topic]\nalpha = 'low'", "tasks.topic.alpha", "a valid number"),
        ("[models.gpt]\nbase_url = 'http://x/v1'", "models.gpt", "'engine'"),
        ("[models.gpt]\nengine = 'magic'", "models.gpt", "'remote', 'recorded', 'echo'"),
        ("[models.gpt]\nengine = 'remote'", "models.gpt.base_url", "field required"),
        ("[models.t]\nengine = 'recorded'\npath = 3", "models.t.path", "path"),
        (REMOTE + "timeout_s = 0", "models.gpt.timeout_s", "greater than 0"),
        (REMOTE.replace("https", "ftp"), "models.gpt.base_url", "http or https address"),
        (REMOTE + "input_price = -1", "models.gpt.input_price", "greater than or equal to 0"),
    ],
)
def test_a_wrong_setting_is_told_by_file_key_and_what_was_expected(
    file: Path, text: str, key: str, expected: str
) -> None:
    said = refused(file, text)
    assert said.startswith(f"{file}: {key}: ")
    assert expected in said


def test_every_wrong_setting_is_told_at_once(file: Path) -> None:
    said = refused(file, "[gateway]\nport = -1\n[learn]\ngrowth = 1\n").splitlines()
    assert [line.split(": ")[1] for line in said] == ["gateway.port", "learn.growth"]


def test_a_file_that_is_not_there(file: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `shoal init` writes one to start from"):
        read_config(file)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"port: 1\n", "at line 1"), (b"\xff\xfe", "utf-8"), (b"a = 1\na = 2", "overwrite")],
)
def test_a_file_that_is_no_toml(file: Path, content: bytes, told: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(file)
    assert str(caught.value).startswith(f"{file}: cannot be read: ")
    assert told in str(caught.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path)


def test_budgets_of_tasks(file: Path) -> None:
    config = read(file, "[tasks.reply]\nalpha = 0.1\nbudget_day = 5\n[tasks.other]\nalpha = 0.2\n")
    assert config.task_budgets() == {"reply": BudgetOptions(budget_day=5)}
    assert config.promises()["reply"].alpha == 0.1


@pytest.mark.parametrize("name", ["key", "api_key", "API_KEY", "apikey", "token", "password"])
def test_a_key_in_the_file_is_refused_and_not_shown(file: Path, name: str) -> None:
    said = refused(file, f'{REMOTE}{name} = "{SECRET}"\n')
    assert said.startswith(f"{file}: models.gpt.{name}: ")
    assert "key_env" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://shoal:{SECRET}@db.example/shoal",
        f"postgres://:{SECRET}@db.example/shoal",
        f"postgresql:///shoal?host=db.example&password={SECRET}",
        f"postgresql://db.example/shoal?p%61ssword={SECRET}",
        f"postgresql://db.example/shoal?sslpassword={SECRET}",
    ],
)
def test_a_password_in_the_stores_url_is_refused_and_not_shown(
    file: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    said = refused(file, f'[store]\nurl = "{url}"\n')
    assert said.startswith(f"{file}: store.url: ")
    assert "password_env" in said
    assert SECRET not in said
    monkeypatch.setenv("SHOAL_STORE__URL", url)
    said = refused(file, "")
    assert said.startswith("SHOAL_STORE__URL: ")
    assert SECRET not in said


def test_a_store_in_postgres(file: Path) -> None:
    url = "postgresql:///shoal?host=/run/postgresql&passfile=/etc/shoal.pgpass"
    store = read(file, f'[store]\nurl = "{url}"\npassword_env = "DB_PASSWORD"\n').store
    assert (store.url, store.password_env) == (url, "DB_PASSWORD")
    assert store.path == file.parent / "shoal-data"


@pytest.mark.parametrize(
    "text",
    [
        f'[store]\nurl = "postgresql://shoal:{SECRET}/x@db/shoal"\n',
        f'[store]\nurl = "postgresql://shoal:{SECRET}#@db/shoal"\n',
        f'[store]\nurl = "postgresql://db/shoal"\npassword_env = "{SECRET}"\n',
        f'[store]\nurl = "postgresql://db/shoal"\npassword = "{SECRET}"\n',
        f'{REMOTE}key_env = "{SECRET}"\n',
        f'{REMOTE}authorization = "Bearer {SECRET}"\n',
        f'{REMOTE}provider = ["{SECRET}"]\n',
        REMOTE.replace("https://", f"https://{SECRET}@"),
        REMOTE.replace("/v1", f"/v1?key={SECRET}"),
        f'[gateway]\napi_key = "{SECRET}"\n',
        f'[promise]\nalpha = "{SECRET}"\n',
        f'models = "{SECRET}"\n',
    ],
)
def test_a_key_in_the_wrong_place_is_not_shown_either(file: Path, text: str) -> None:
    assert SECRET not in refused(file, text)


def test_a_wrong_variable_is_told_by_its_own_name(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_GATEWAY__PORT", "http")
    assert refused(file, "").startswith("SHOAL_GATEWAY__PORT: input should be a valid integer")


def test_a_variable_that_should_be_json_and_is_not(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOAL_MODELS", "{oops")
    said = refused(file, "")
    assert said.startswith("the environment: ")
    assert "models" in said
    assert "oops" not in said


def test_settings_never_change(file: Path) -> None:
    config = read(file, "")
    with pytest.raises(ValueError, match="frozen"):
        config.gateway.port = 1


def test_a_tasks_cache(tmp_path: Path) -> None:
    path = tmp_path / "shoal.toml"
    path.write_text("[cache]\nmax_mb = 2\n[tasks.department]\ncache_s = 60\nalpha = 0.1\n")
    config = read_config(path)
    assert config.promises()["department"].alpha == 0.1
    assert config.task_budgets() == {}
    request = Request("gpt", (), params='{"temperature":0}')
    cache = config.answer_cache()
    assert cache.key("department", "", request)
    assert cache.key("other", "", request) == b""
    path.write_text("[tasks.department]\ncache_s = 0\n")
    with pytest.raises(ConfigError, match=r"tasks\.department\.cache_s: input should be greater"):
        read_config(path)


def test_a_promise_for_each_label_of_one_task(file: Path) -> None:
    file.write_text("[tasks.topic]\nper_label = true\n[tasks.mood]\nalpha = 0.1\n")
    promises = read_config(file).promises()
    assert promises["topic"].per_label is True
    assert promises["mood"].per_label is False
    file.write_text("[tasks.topic]\nalpha = true\n")
    with pytest.raises(ConfigError, match="should be a number"):
        read_config(file)


def test_a_task_may_have_people_as_its_reference(tmp_path: Path) -> None:
    file = tmp_path / "shoal.toml"
    file.write_text('[tasks.topic]\nreference = "people"\n')
    config = read_config(file)
    assert config.promise_of("topic").by_people
    assert not config.promise_of("mood").by_people
    assert config.promises()["topic"].reference == "people"
    file.write_text('[promise]\nreference = "the boss"\n')
    with pytest.raises(ConfigError, match=r"promise\.reference"):
        read_config(file)


def test_a_tasks_strategy_is_written_out(file: Path) -> None:
    text = "[reasoning]\nmax_samples = 9\nrisk = 0.01\n[tasks.topic]\nstrategy = 'cot+vote'\n"
    config = read(file, text)
    assert {name: str(one) for name, one in config.strategies().items()} == {"topic": "cot+vote:5"}
    assert (config.reasoning.max_samples, config.reasoning.risk) == (9, 0.01)
    with pytest.raises(
        ConfigError, match=r"tasks\.topic\.strategy: .*there is no strategy 'guess'"
    ):
        read(file, "[tasks.topic]\nstrategy = 'guess'\n")


def test_a_recorded_model_with_a_strategy_is_recorded_too(file: Path) -> None:
    config = read(file, "[models.gpt]\nengine = 'recorded'\npath = 'calls.jsonl'\n")
    assert config.reference_label("gpt+vote:5") == "gpt+vote:5 (recorded)"
    assert config.reference_label("other+vote:5") == "other+vote:5"
