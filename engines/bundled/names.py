"""Names and words that nobody has seen before: what a model must copy because it cannot remember it."""

# Lists of sounds are easier to read as text.
# ruff: noqa: SIM905

import random
import zlib
from dataclasses import dataclass

__all__ = ["Names"]

_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl gr kr pl pr qu sh sk sl sp st th tr".split()
_VOWELS = "a e i o u a e i o u y ai au ea ee ia ie io ou".split()
_ACCENTED = "é ü ö ä ñ ó å ø".split()
_CODAS = ["", "", "", "", *"n r s l m t k d x ck ld nd nt rd rk rn rt st sk ng".split()]
_PREFIXES = ("San", "New", "Port", "Saint", "North", "Mount", "Los", "El", "Fort", "Upper")
_SUFFIXES = ("City", "Bay", "Falls", "Springs", "Hills", "Beach", "Park", "Island", "Valley")
_ACCENTED_SHARE = 0.03
_ONE_IN_HELD_OUT = 10


@dataclass(frozen=True, slots=True)
class Names:
    """A source of made-up names; `held_out` decides which tenth of all possible ones it draws from.

    The two kinds never meet: a hash of the name says which side it is on.
    """

    rng: random.Random
    held_out: bool = False

    def word(self) -> str:
        """A lower-case word such as `brankolin`."""
        while True:
            word = "".join(self._syllable() for _ in range(self.rng.choice((1, 1, 2, 2, 2, 2, 3))))
            if len(word) > 2 and self._is_ours(word):  # noqa: PLR2004 - shorter ones are real words
                return word

    def name(self) -> str:
        """A capitalised name such as `Brankolin`, at times of two words or with a hyphen."""
        name = self.word().capitalize()
        form = self.rng.random()
        if form < 0.10:  # noqa: PLR2004 - shares of the forms
            return f"{self.rng.choice(_PREFIXES)} {name}"
        if form < 0.18:  # noqa: PLR2004
            return f"{name} {self.rng.choice(_SUFFIXES)}"
        if form < 0.22:  # noqa: PLR2004
            return f"{name}-{self.word().capitalize()}"
        return name

    def _syllable(self) -> str:
        vowels = _ACCENTED if self.rng.random() < _ACCENTED_SHARE else _VOWELS
        onset = self.rng.choice(_ONSETS) if self.rng.random() < 0.9 else ""  # noqa: PLR2004
        return onset + self.rng.choice(vowels) + self.rng.choice(_CODAS)

    def _is_ours(self, word: str) -> bool:
        return (zlib.crc32(word.encode()) % _ONE_IN_HELD_OUT == 0) == self.held_out
