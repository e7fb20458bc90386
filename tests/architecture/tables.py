"""The tables in `docs/` that are read off the program: `python -m tests.architecture.tables` writes them anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
from msgspec import inspect
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from config.paths import Paths
from config.schema import Config
from gateway.app import Gateway, build
from gateway.balancer.scored import Scored
from gateway.core import errors
from gateway.core.call import ANONYMOUS, Tier
from gateway.core.errors import GatewayError
from gateway.core.outcome import End, Outcome, Trail, Usage
from gateway.fleet.cached import Follower
from gateway.fleet.endpoint import Condition, Endpoint, Published, Sighting, UnixAddress
from gateway.fleet.load import Load
from gateway.fleet.pace import ENOUGH
from gateway.ledger.spool import Spool
from gateway.openai.fields import SHAPES
from gateway.openai.operations import CHAT, COMPLETIONS
from gateway.openai.privileges import PRIVILEGED, privileged
from gateway.ratelimit.allowance import KINDS, Level
from gateway.ratelimit.plan import Source
from tests.architecture.repository import ROOT

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def error_classes() -> list[type[GatewayError]]:
    """Every error a caller can meet, by status, in the order in which the module has them."""
    found = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, GatewayError)
    ]
    return sorted(found, key=lambda error: error.status)


def errors_table() -> Iterator[str]:
    """One row for each class; those that only hold others together have no code of their own."""
    yield "| status | `code` | `type` | `x-should-retry` | outcome | class | when |"
    yield "|---|---|---|---|---|---|---|"
    for error in error_classes():
        if error.code is None or (error.__subclasses__() and error not in _RAISED_THEMSELVES):
            continue
        status = "200, in-band" if error is errors.StreamInterrupted else str(error.status)
        retry = "-" if error is errors.StreamInterrupted else str(error.retry).lower()
        when = _INSTEAD.get(error) or " ".join((error.__doc__ or "").split())
        cells = (
            status,
            f"`{error.code}`",
            f"`{error.type}`",
            retry,
            error.outcome,
            f"`{error.__name__}`",
            when,
        )
        yield f"| {' | '.join(cells)} |"


_RAISED_THEMSELVES = {errors.GatewayError, errors.InvalidRequest}
"""Classes with subclasses that are raised as they are, too."""

_INSTEAD = {errors.GatewayError: "A bug in the gateway: the log has the traceback."}
"""What to say of a class whose docstring speaks of the whole tree."""


def metrics_table() -> Iterator[str]:
    """One row for each metric that a scrape shows after one call and one request to the control plane."""
    yield "| metric | type | labels | meaning |"
    yield "|---|---|---|---|"
    for family in sorted(scraped(), key=lambda family: family.name):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        named = ", ".join(f"`{label}`" for label in sorted(labels)) or "-"
        name = family.name + ("_total" if family.type == "counter" else "")
        yield f"| `{name}` | {family.type} | {named} | {family.documentation.strip()} |"


def scraped() -> list[Metric]:
    """What `/metrics` shows, without the creation times that the client library adds."""
    text = asyncio.run(_scrape())
    return [family for family in text_string_to_metric_families(text) if not family.name.endswith("_created")]


async def _scrape() -> str:
    spool = Spool(Path("unused"), reserve_bytes=0, most_bytes=0)
    gateway = build(
        Config.model_validate(
            {
                "auth": {"mode": "anonymous"},
                "limits": {"store": "valkey"},
                "admission": {"prefix_source": "events"},
            }
        ),
        Paths(Path("unused")),
        sink=spool,
    )
    _have_a_past(gateway)
    async with _client(gateway.app) as client:
        await client.get("/v1/models")
    async with _client(gateway.admin) as client:
        return (await client.get("/metrics")).text


def _client(app: Callable[..., object]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway")  # type: ignore[arg-type]


def _have_a_past(gateway: Gateway) -> None:
    """One replica, one call that ended well and one that a limit refused: every label then has a value."""
    endpoint = Endpoint(
        id="tiny-0",
        address=UnixAddress("/run/tiny-0.sock"),
        engine="vllm",
        models=(("tiny", "tiny"),),
        api_key=None,
        max_in_flight=1,
        idle_seconds=1.0,
    )
    gateway.catalog.publish("test", [Sighting(endpoint, Condition.READY)])
    policy = gateway.admission._policies["tiny"] = Scored()
    where = Published(UnixAddress("/run/tiny-0.kve"), UnixAddress("/run/tiny-0.kvr"), "/models/tiny")
    assert gateway.prefixes is not None
    gateway.prefixes.followers._followers["tiny-0"] = Follower("tiny-0", where)
    for replica in gateway.catalog.replicas():
        policy.errors.take(replica, 1, 1, Usage(1, 1, 1))
        replica.saw(
            Load(running=0.0, waiting=0.0, kv_usage=0.0, prompt_tokens=0.0, generation_tokens=0.0), 1.0
        )
        for _ in range(ENOUGH):
            replica.pace.first.take(0.1)
            replica.pace.token.take(0.1)
    assert gateway.reconciling is not None
    gateway.reconciling.sweep()
    _have_queued(gateway, "tiny")
    source = Source(Level.KEY, KINDS["requests_per_minute"])
    gateway.limiter.tally.refuse(source, "no_room")
    gateway.limiter.tally.shadow([source])
    gateway.proxy._on_end(
        End(
            request_id="req-1",
            operation="chat",
            principal=ANONYMOUS,
            model="tiny",
            stream=True,
            outcome=Outcome.OK,
            status=200,
            code=None,
            replica="tiny-0",
            attempts=1,
            usage=Usage(1, 1, 1),
            arrived=0.0,
            dispatched=0.1,
            first_content=0.2,
            ended=0.3,
            asked="chat",
            trail=Trail(
                Tier.DEFAULT, None, None, None, 0.0, (), None, None, left=(("large", "model_unavailable"),)
            ),
        )
    )


def _have_queued(gateway: Gateway, model: str) -> None:
    """One call that waited as it was thought to, one that was put out, one that was not let in."""
    watch = gateway.admission._watch
    watch.granted(model, Tier.DEFAULT, 1.0, 1.0)
    watch.evicted(model, Tier.DEFAULT, "expired")
    watch.rejected(model, Tier.DEFAULT, "full")


def fields_table() -> Iterator[str]:
    """The fields that pass, then those that need an operator."""
    chat, completions = (
        {field.name: field for field in inspect.type_info(SHAPES[operation.name]).fields}
        for operation in (CHAT, COMPLETIONS)
    )
    yield "| field | in | value |"
    yield "|---|---|---|"
    for name in sorted(chat | completions):
        where = "both" if name in chat and name in completions else "chat" if name in chat else "completions"
        kinds = {_value(shape[name].type) for shape in (chat, completions) if name in shape}
        yield f"| `{name}` | {where} | {' or '.join(sorted(kinds))} |"
    yield ""
    yield "| privileged field | why it needs an operator: it |"
    yield "|---|---|"
    for name, why in privileged(CHAT.name).items():
        yield f"| `{name}`{'' if name in PRIVILEGED else ' (chat)'} | {why} |"


def _value(kind: inspect.Type) -> str:
    """A type in words. `None` says the same as a field that is not there."""
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_value(each) for each in kind.types if not isinstance(each, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return " or ".join(f"`{value}`" for value in kind.values)
    if isinstance(kind, inspect.ListType):
        return f"list of {_value(kind.item_type)}"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        word = "whole number" if isinstance(kind, inspect.IntType) else "number"
        bounds = {"≥": kind.ge, ">": kind.gt, "≤": kind.le}
        shown = [
            f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None and abs(bound) < 2**31
        ]
        return f"{word} {', '.join(shown)}".strip()
    words = {
        inspect.BoolType: "true or false",
        inspect.StrType: "text",
        inspect.AnyType: "text or whole number or list of whole numbers",  # the prompts of a completion
    }
    return words.get(type(kind), "object")


TABLES: Mapping[Path, Callable[[], Iterator[str]]] = {
    ROOT / "docs" / "errors.md": errors_table,
    ROOT / "docs" / "metrics.md": metrics_table,
    ROOT / "docs" / "requests.md": fields_table,
}


def with_table(page: str, rows: Iterator[str]) -> str:
    """`page` with the table between its two marks replaced. Raises `ValueError` when it has no marks."""
    before, after = page.index(BEGIN) + len(BEGIN), page.index(END)
    return page[:before] + "\n\n" + "\n".join(rows) + "\n\n" + page[after:]


def main() -> None:
    """Write every table anew."""
    for path, rows in TABLES.items():
        path.write_text(with_table(path.read_text("utf-8"), rows()), "utf-8")


if __name__ == "__main__":
    main()
