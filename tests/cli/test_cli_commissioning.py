"""The learner reaches the models of ``shoal.toml``."""

from command_line import CONFIG, Desk
from support_desk import add_tasks

from shoal.chat import Message, Request
from shoal.cli.commissioning import commissions
from shoal.cli.context import find_task
from shoal.config import read_config


async def test_a_model_of_the_settings_is_asked(desk: Desk) -> None:
    desk.config.write_text(f"{CONFIG}\n[learn]\nfine_tune = true\naugment = 30\n")
    config = read_config(desk.config)
    assert config.learn.augment == 30
    with desk.store() as store:
        add_tasks(store, "department")
        task = find_task(store, "department")
        async with commissions(config, store)(task) as asking:
            answer = await asking.answer(Request("gpt", (Message("user", "a word"),)))
        assert answer.text == "a word"
        store.writer.submit(lambda conn: None, urgent=True).result()
        (spent,) = store.spend.list("task")
        assert (spent.group, spent.calls, spent.audits) == (task.id, 0, 1)
