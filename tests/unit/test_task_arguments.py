"""What an operator types behind `celery call`: taken, or refused in one sentence."""

from datetime import UTC, datetime

import pytest

from humansync.errors import ConfigError
from humansync.windows import Window
from tasks import arguments

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["sleep", "", None, 7, ["sleeps"], {"sleeps": 1}, "a\nb"])
def test_a_kind_that_there_is_not_is_answered_with_those_there_are(kind: object) -> None:
    with pytest.raises(ConfigError, match=r"^unknown kind .*: allowed are activities, ") as caught:
        arguments.known(kind)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, 5, ["2026-01-31"], "soon", "9999-12-31T23:59:59-12:00", "0001-01-01"])
def test_what_names_no_instant_is_answered_with_its_name(text: object) -> None:
    with pytest.raises(ConfigError, match=r"^since"):
        arguments.instant("since", text, NOW)


def test_a_window_is_named_by_all_forms_of_time() -> None:
    named = arguments.window("2026-02-28T12:00:00.5Z", "12h", NOW)
    assert named == Window(datetime(2026, 2, 28, 12, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    with pytest.raises(ConfigError, match="since must lie before before"):
        arguments.window("2026-01-31", "2026-01-31", NOW)


@pytest.mark.parametrize("value", [None, "1", 1.0, True, -1, 2**63, []])
def test_what_is_no_number_of_the_ledger_is_said(value: object) -> None:
    with pytest.raises(ConfigError, match="epoch is a number of the ledger"):
        arguments.number("epoch", value)
    assert arguments.number("epoch", 0) == 0
