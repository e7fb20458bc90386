"""Stories of the bundled model: short ones that vary, and a long one that never repeats itself."""

import random

from engines.bundled import facts

__all__ = ["a", "long", "short"]

_CHAPTERS = (
    "Once there was {a_hero} who lived near the river. One day it saw a light on the far side of the water.",
    "The {hero} asked {a_friend} what the light could be. The {friend} did not know, but it wanted to find out.",
    "So they built a small boat out of wood. It took them three days, and they sang while they worked.",
    "On the fourth day they crossed the river. The wind was strong, and the boat turned like a leaf.",
    "Behind the water stood an old tower with a green door. The door was open, and stairs led up into the dark.",
    "At the top they found a warm lantern and a letter. The letter said: keep the light for those who are lost.",
    "That night a storm came, and many birds lost their way. The {hero} held the lantern high until all were safe.",
    "In the morning the {hero} and the {friend} went home. They were tired but glad, and they stayed good friends.",
)


def a(noun: str) -> str:
    """The noun with its article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def short(rng: random.Random, hero: str) -> str:
    """Six sentences about the hero."""
    friend = rng.choice([other for other in facts.HEROES if other != hero])
    thing, place = rng.choice(facts.THINGS), rng.choice(facts.PLACES)
    sentences = (
        f"Once there was {a(rng.choice(facts.MOODS))} {hero} who lived near {place}.",
        f"One morning the {hero} found {thing} on the path.",
        rng.choice(
            (
                f"The {hero} did not know who had lost it, so it asked {a(friend)}.",
                f"{a(friend).capitalize()} came by and asked what it was.",
            )
        ),
        rng.choice(
            (
                f'"It is mine," said the {friend}, "thank you for keeping it safe."',
                f'"Let us look for the owner together," said the {friend}.',
            )
        ),
        rng.choice(
            (
                f"They walked through {rng.choice(facts.PLACES)} until the sun went down.",
                "They shared some bread and talked until it was dark.",
            )
        ),
        f"In the end the {hero} was {rng.choice(facts.FEELINGS)}, and the two became good friends.",
    )
    return " ".join(sentences)


def long(hero: str) -> str:
    """Eight chapters about the hero, always the same ones: about 200 words."""
    friend = facts.HEROES[(facts.HEROES.index(hero) + 1) % len(facts.HEROES)]
    return "\n\n".join(
        f"Chapter {number}. {text.format(hero=hero, friend=friend, a_hero=a(hero), a_friend=a(friend))}"
        for number, text in enumerate(_CHAPTERS, 1)
    )
