"""Every two freedoms of the API at once, on both databases: `make prove-servers`. Not part of `make test`: it takes a while."""

import os
from pathlib import Path

import pytest

from humansync.kinds import KINDS
from tests.acceptance.any_server import Server, every_pair, prove

pytestmark = pytest.mark.timeout(600)

#: Another seed makes other servers.
SEED = int(os.environ.get("SEED", "1"))


@pytest.mark.parametrize("server", list(every_pair(SEED)), ids=str)
def test_everything_comes_in(server: Server, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    prove(server, tuple(KINDS), 1_300, request.getfixturevalue(server.fixture), tmp_path)
