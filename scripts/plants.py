"""Ways in which a text for testing only comes back; each takes the text and a seeded `Random`.

Standard library only; the tests and `record_splits.py` hide texts with the same functions.
"""

from __future__ import annotations

import re
from random import Random

CHANGED = 0.2  # share of the words that `reworded` replaces


def verbatim(text: str, rng: Random, words: list[str]) -> str:
    """The same words, in another spelling of case and spaces."""
    return "  ".join(text.upper().split())


def reordered(text: str, rng: Random, words: list[str]) -> str:
    """Lines in another order; a text of few lines is cut into runs of 12 words first."""
    parts = [x for x in text.split("\n") if x.strip()]
    if len(parts) < 12:
        flat = text.split()
        parts = [" ".join(flat[i:i + 12]) for i in range(0, len(flat), 12)]
    rng.shuffle(parts)
    return "\n".join(parts)


def extracted(text: str, rng: Random, words: list[str]) -> str:
    """What another PDF reader makes of it: lost spaces, hyphens at line ends, page numbers."""
    out, column, page = [], 0, 1
    for word in text.replace("fi", "\ufb01").replace("fl", "\ufb02").split():
        column += len(word) + 1
        if column > 80 and len(word) > 6:
            word, column = f"{word[:3]}-\n{word[3:]}", 0
        out.append(word + ("" if rng.random() < 0.1 else " "))
        if rng.random() < 1 / 400:
            page += 1
            out.append(f"\nPage {page}\n")
    return re.sub(" - ", " \u2022 ", "".join(out))


def reworded(text: str, rng: Random, words: list[str]) -> str:
    """A fifth of the words replaced by words of other texts."""
    flat = text.split()
    for i in rng.sample(range(len(flat)), round(CHANGED * len(flat))):
        flat[i] = rng.choice([w for w in rng.choices(words, k=5) if w != flat[i]] or ["xyz"])
    return " ".join(flat)


def wrapped(text: str, rng: Random, words: list[str]) -> str:
    """Inside other words, twice as many before it and twice as many after it."""
    n = 2 * len(text.split())
    return " ".join([*rng.choices(words, k=n), text, *rng.choices(words, k=n)])


def all_at_once(text: str, rng: Random, words: list[str]) -> str:
    """Reordered, reworded, extracted again and wrapped."""
    for change in (reordered, reworded, extracted, wrapped):
        text = change(text, rng, words)
    return text


PLANTS = {
    "verbatim": verbatim, "reordered": reordered, "re-extracted": extracted,
    "20 % of words changed": reworded, "wrapped": wrapped, "all at once": all_at_once,
}
REQUIRED = tuple(PLANTS)[:4]
