"""What Tab offers depends on where the cursor stands."""

import threading
import time

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from stellar.cli.sql_completion import SqlCompleter
from stellar.cli.sql_prompt import is_complete

COLUMNS = {
    "curated.gaia": ["source_id", "ra", "dec", "parallax"],
    "scores.teff": ["object_id", "ra", "teff_k"],
    "ledger.snapshot": ["key", "dataset", "state"],
}


@pytest.fixture
def offered():
    completer = SqlCompleter(COLUMNS, ["freshness", "cone_search"])
    completer.result = ["teff_k", "n"]

    def ask(text):
        """Completions at `|` in a text."""
        before, _, after = text.partition("|")
        document = Document(before + after, len(before))
        return [one.text for one in completer.get_completions(document, CompleteEvent())]

    return ask


def test_datasets_tables_and_macros_after_from(offered):
    assert offered("select * from |")[:3] == list(COLUMNS)
    assert offered("select * from cur|") == ["curated.gaia"]
    assert offered("select 1 from scores.teff join led|") == ["ledger.snapshot"]
    assert offered("select * from con|") == ["cone('"]
    assert offered("DESCRIBE sc|") == ["scores.teff"]


def test_columns_of_the_tables_that_the_statement_names(offered):
    assert offered("select par| from curated.gaia") == ["parallax"]
    assert "teff_k" not in offered("select | from curated.gaia")
    assert offered("select s.| from scores.teff s join curated.gaia as g on s.ra = g.ra") == [
        "s.object_id", "s.ra", "s.teff_k"
    ]  # fmt: skip
    assert offered("select g.par| from scores.teff s join curated.gaia as g on true") == ["g.parallax"]
    assert offered("select sou| from cone('curated.gaia', 1, 2, 3)")[0] == "source_id"
    assert offered("select * from ledger.snapshot where st|")[0] == "state"


def test_datasets_within_a_macros_quotes(offered):
    assert offered("select * from cone('cur|") == ["curated.gaia"]
    assert offered("select * from changes('|") == ["curated.gaia", "scores.teff"]


def test_keywords_in_any_case(offered):
    assert offered("sel|") == ["SELECT"]
    assert "WHERE" in offered("select 1 from curated.gaia wh|")


def test_commands_and_what_they_take(offered):
    assert offered("\\ex|") == ["\\examples"]
    assert offered("\\examples co|") == ["cone_search"]
    assert offered("\\d cur|") == ["curated.gaia"]
    assert offered("\\plot te|") == ["teff_k"]
    assert offered("\\plot h|") == ["hr"]


def test_tab_completes_and_enter_begins_a_line_until_the_statement_ends():
    with create_pipe_input() as pipe:
        session: PromptSession[str] = PromptSession(
            completer=SqlCompleter(COLUMNS),
            complete_while_typing=False,
            multiline=Condition(lambda: not is_complete(session.default_buffer.text)),
            input=pipe,
            output=DummyOutput(),
        )

        def type_():
            pipe.send_text("select parallax\rfrom cura\t")
            while not session.default_buffer.text.endswith("curated.gaia"):
                time.sleep(0.05)
            pipe.send_text(";\r")

        threading.Thread(target=type_, daemon=True).start()
        assert session.prompt() == "select parallax\nfrom curated.gaia;"
