"""`models`: what is said of a public model name besides who serves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field

from config.schema.names import ModelName
from config.schema.section import Section, contradiction

Weight = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
MOST_FALLBACKS = 4


class Routing(Section):
    """Where the calls of one public name go: docs/routing.md."""

    split: dict[ModelName, Weight] = Field(
        default_factory=dict,
        description="Models that serve this name together, each with its weight from 0 to 100: {stable: 95, next: 5}. "
        "This name itself may be one of them. Default: this name alone.",
    )
    fallbacks: tuple[ModelName, ...] = Field(
        (),
        strict=False,
        max_length=MOST_FALLBACKS,
        description="Models that serve a call in its place when none of its replicas can, in this order.",
    )
    fall_back_on_context_length: bool = Field(
        default=False, description="Also when a request is too long for this model."
    )


def check_models(models: Mapping[str, Routing]) -> None:
    """Raise when what is said of two models does not go together."""
    for name, routing in models.items():
        for problem in (*_of_split(name, routing, models), *_of_fallbacks(name, routing)):
            raise problem


def _of_split(name: str, routing: Routing, models: Mapping[str, Routing]) -> Iterator[Exception]:
    if routing.split and not any(routing.split.values()):
        yield contradiction(
            f"all weights of '{name}' are 0",
            why="no model would serve it",
            hint="give one of them a weight above 0",
            below=(name, "split"),
        )
    for target in routing.split:
        other = models.get(target)
        if target != name and other is not None and other.split:
            yield contradiction(
                f"'{target}' has a split of its own",
                why="a split is between models that engines serve, not between splits",
                hint=f"name the models of '{target}' here, each with its weight",
                below=(name, "split", target),
            )


def _of_fallbacks(name: str, routing: Routing) -> Iterator[Exception]:
    for index, fallback in enumerate(routing.fallbacks):
        if fallback == name:
            problem = f"'{name}' is its own fallback"
        elif fallback in routing.fallbacks[:index]:
            problem = f"the fallback '{fallback}' stands there twice"
        elif fallback in routing.split:
            problem = f"'{fallback}' is in the split of '{name}' already"
        else:
            continue
        yield contradiction(
            problem,
            why="a model that could not serve a call is not asked for it again",
            hint="remove it from the list",
            below=(name, "fallbacks", index),
        )
