"""What every suite may use."""

import os

# Many tests look inside, or plant a bug: of compiled modules they could do neither. `tests/integration/test_native.py`
# runs those that do not against the compiled ones.
os.environ.setdefault("CASCADIA_NATIVE", "0")

pytest_plugins = [
    "tests.support.figures",
    "tests.support.watched",
    "tests.support.real_engine",
    "tests.support.databases",
]
