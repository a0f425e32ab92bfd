import pytest

from humansync.redaction import one_line, redact, redact_url


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann:s3cret@db.example/health", "postgresql://ann:***@db.example/health"),
        ("redis://:p@ss/w:rd@cache:6379/0", "redis://:***@cache:6379/0"),
        ("postgresql://an/n:pass word@db/health", "postgresql://an/n:***@db/health"),
        ("unix:///run/redis.sock?db=1&password=s3cret", "unix:///run/redis.sock?db=1&password=***"),
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("sqlite:///var/humansync.db", "sqlite:///var/humansync.db"),
    ],
)
def test_an_address_loses_its_password_and_keeps_the_rest(address: str, shown: str) -> None:
    assert redact_url(address) == shown


def test_a_text_loses_secrets_wherever_they_stand() -> None:
    text = "GET /v1/apps/c11ent/users/weights Authorization: Basic YXBwa2V5Og== failed, redis://u:pw@h/0"
    assert redact(text, ("c11ent",)) == (
        "GET /v1/apps/***/users/weights Authorization: Basic *** failed, redis://u:***@h/0"
    )


def test_a_sentence_stays_on_its_line_and_gives_a_terminal_no_orders() -> None:
    assert one_line("no 'a\nb\x1b[2J\udcff' é") == "no 'a\\nb\\x1b[2J\\udcff' é"
