"""What every suite may use."""

pytest_plugins = [
    "tests.support.figures",
    "tests.support.watched",
    "tests.support.real_engine",
    "tests.support.databases",
]
