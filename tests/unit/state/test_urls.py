import ssl

import pytest
from kombu import Connection

from humansync.errors import ConfigError
from humansync.state.shared import Shared
from humansync.state.urls import for_broker, for_client


@pytest.mark.parametrize(
    ("address", "client", "broker"),
    [
        ("redis://cache:6379/1", "redis://cache:6379/1", "redis://cache:6379/1"),
        ("unix:///run/r.sock", "unix:///run/r.sock?db=0", "redis+socket:///run/r.sock?virtual_host=0"),
        ("unix:///run/r.sock?db=2", "unix:///run/r.sock?db=2", "redis+socket:///run/r.sock?virtual_host=2"),
        (
            "redis+socket:///run/r.sock?virtual_host=2",
            "unix:///run/r.sock?db=2",
            "redis+socket:///run/r.sock?virtual_host=2",
        ),
        ("rediss://:pw@cache/0", "rediss://:pw@cache/0", "rediss://:pw@cache/0?ssl_cert_reqs=required"),
        ("rediss://cache?ssl_cert_reqs=none", "rediss://cache?ssl_cert_reqs=none", "rediss://cache?ssl_cert_reqs=none"),
    ],
)
def test_each_library_gets_its_own_spelling(address: str, client: str, broker: str) -> None:
    assert for_client(address) == client
    assert for_broker(address) == broker


def test_kombu_checks_the_certificate_of_a_tls_broker() -> None:
    connection = Connection(for_broker("rediss://cache/0"))
    assert connection.ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED}


@pytest.mark.parametrize("option", ["nope=1", "db=first", "socket_timeout=soon"])
def test_an_option_that_there_is_not_is_a_wrong_setting(option: str) -> None:
    with pytest.raises(ConfigError, match=r"^REDIS_URL=.* is wrong") as caught:
        Shared(f"redis://:s3cret@cache/0?{option}", rate_per_s=1)
    assert "s3cret" not in str(caught.value)
