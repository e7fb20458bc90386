"""Foreign refusals as ours: what configuration, keys and engines raise becomes a `Failure` with an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from gateway.cli.exits import ExitCode
from gateway.cli.failure import Failure


class Refused(Failure):
    """The configuration is wrong; the report is the problems' own."""

    def __init__(self, report: str) -> None:
        super().__init__("the configuration is wrong", fix="", next_command="", code=ExitCode.CONFIG)
        self._report = report

    def report(self) -> str:
        """Every problem, then the command to run next."""
        return self._report


@contextmanager
def refused() -> Iterator[None]:
    """Translate what a verb's inner modules raise. Looks only at modules that the verb has imported."""
    try:
        yield
    except Exception as error:
        failure = _translated(error)
        if failure is None:
            raise
        raise failure from error


def _translated(error: Exception) -> Failure | None:
    for module, name, translate in _TRANSLATIONS:
        if is_a(error, module, name):
            return translate(error)
    return None


def is_a(error: Exception, module: str, name: str) -> bool:
    """Whether `error` is of a class in a module that may not be imported, and then cannot have raised it."""
    loaded = sys.modules.get(module)
    return loaded is not None and isinstance(error, getattr(loaded, name))


def _wrong_config(error: Any) -> Failure:
    return Refused(error.report())


def _wrong_keys(error: Exception) -> Failure:
    fix = "mend the file named above"
    return Failure(str(error), fix=fix, next_command="cascadia keys list", code=ExitCode.CONFIG)


def _lost_keys(error: Exception) -> Failure:
    fix = "restore the file; or begin without the keys that were in it, by making a new one"
    return Failure(str(error), fix=fix, next_command="cascadia keys create first", code=ExitCode.CONFIG)


def _lost_tokens(error: Exception) -> Failure:
    fix = "restore the file; or begin without the tokens that were in it, by making a new one"
    return Failure(
        str(error), fix=fix, next_command="cascadia admin create first --role admin", code=ExitCode.CONFIG
    )


def _two_owners(error: Exception) -> Failure:
    fix = "mend the configuration, or the directory with the configuration as it was"
    return Failure(str(error), fix=fix, next_command="cascadia config show", code=ExitCode.CONFIG)


def _no_admin(error: Exception) -> Failure:
    fix = "mend the file named above"
    return Failure(str(error), fix=fix, next_command="cascadia doctor", code=ExitCode.CONFIG)


def _no_spool(error: Exception) -> Failure:
    fix = "make room there or let this user write there; usage is recorded there before anything else"
    return Failure(f"usage cannot be recorded: {error}", fix=fix, next_command="cascadia doctor")


def _wrong_store(error: Exception) -> Failure:
    fix = "mend the file, or the configuration that names it"
    return Failure(str(error), fix=fix, next_command="cascadia config show --why", code=ExitCode.CONFIG)


def _no_package(error: Exception) -> Failure:
    fix = "pip install 'cascadia-gateway[precise]', or set 'admission.prefix_source: sent'"
    return Failure(str(error), fix=fix, next_command="cascadia check", code=ExitCode.CONFIG)


def _taken(error: Any) -> Failure:
    from gateway.cli.instance import taken

    return taken(error)


def _not_now(error: Exception) -> Failure:
    return _told(error, ExitCode.FAILED)


def _never(error: Exception) -> Failure:
    return _told(error, ExitCode.CONFIG)


def _told(error: Exception, code: ExitCode) -> Failure:
    """The engines' errors say what, where, why and the next step; two families of them, with two names for the last."""
    told = vars(error)
    where = f" ({told['where']})" if told.get("where") else ""
    remedy = str(told.get("remedy") or told["next_step"])
    return Failure(
        f"{told['what']}{where}: {told['why']}", fix=remedy, next_command="cascadia doctor", code=code
    )


_TRANSLATIONS: tuple[tuple[str, str, Callable[[Any], Failure]], ...] = (
    ("config.problems", "ConfigErrors", _wrong_config),
    ("gateway.auth.private", "KeysGone", _lost_keys),
    ("gateway.auth.private", "KeyFileError", _wrong_keys),
    ("gateway.auth.directory.contents", "DirectoryConflict", _two_owners),
    ("gateway.auth.root", "SecretError", _no_admin),
    ("gateway.auth.tokens", "TokensGone", _lost_tokens),
    ("gateway.auth.tokens", "TokenFileError", _no_admin),
    ("gateway.audit.log", "AuditError", _no_admin),
    ("gateway.ledger.spool", "SpoolError", _no_spool),
    ("gateway.counting", "CountingError", _wrong_store),
    ("gateway.app.prefixes", "MissingPackage", _no_package),
    ("gateway.listen", "ListenError", _taken),
    ("engines.launch.errors", "AlreadySupervised", _not_now),
    ("engines.launch.errors", "LaunchError", _never),
    ("engines.environment.errors", "InstallError", _not_now),
)
