"""Which errors say that a database cannot be had."""

import pytest
from sqlalchemy.exc import DBAPIError

from gateway.store.trouble import trouble_of


class Refused(Exception):
    def __init__(self, sqlstate):
        super().__init__("no")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("sqlstate", "trouble"),
    [("22021", None), ("22P05", None), ("57P01", "no"), ("08006", "no"), (None, "no")],
)
def test_a_value_that_a_server_cannot_take_is_no_outage(sqlstate, trouble):
    assert trouble_of(DBAPIError("SELECT 1", {}, Refused(sqlstate))) == trouble
