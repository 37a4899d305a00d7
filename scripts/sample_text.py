"""Text tables of the sample corpus (scripts/sample/*.txt) and the sentences made from them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from random import Random

TABLES = Path(__file__).parent / "sample"
LIST_SECTIONS = ("duties", "summary", "projects", "about", "tasks")
IRREGULAR = dict(
    pair.split(":")
    for pair in (
        "beat:beat become:became be:was bring:brought break:broke build:built catch:caught "
        "choose:chose cut:cut dig:dug do:did draw:drew drive:drove feed:fed find:found get:got "
        "give:gave go:went hang:hung have:had hear:heard hide:hid hit:hit hold:held keep:kept "
        "lay:laid lead:led let:let make:made meet:met oversee:oversaw pay:paid put:put read:read "
        "rebid:rebid rebuild:rebuilt rethink:rethought rewrite:rewrote ring:rang run:ran say:said "
        "see:saw sell:sold send:sent set:set show:showed sit:sat speak:spoke spend:spent "
        "split:split stand:stood take:took teach:taught throw:threw win:won write:wrote "
        "redraw:redrew map:mapped log:logged trap:trapped man:manned plan:planned stop:stopped "
        "chat:chatted ship:shipped tie:tied fit:fit shrink:shrank learn:learned deal:dealt "
        "speed:sped spot:spotted model:modelled sum:summed pin:pinned scan:scanned "
        "grow:grew know:knew tell:told leave:left refit:refitted trim:trimmed "
        "cancel:cancelled come:came"
    ).split()
)


@dataclass(frozen=True, kw_only=True)
class Skill:
    """One skill of a role's pool: kind t = tool, p = practice, c = certificate."""

    name: str
    kind: str
    aka: tuple[str, ...] = ()
    implies: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.aka)


@dataclass(kw_only=True)
class Role:
    """All that the generator knows about one role."""

    category: str = ""
    near: str = ""
    role: str = ""
    degree: int = 2
    soc: str = ""
    occupation: str = ""
    description: str = ""
    always: str = ""
    fields: tuple[str, ...] = ()
    firms: tuple[str, ...] = ()
    titles: dict[int, tuple[str, ...]] = field(default_factory=dict)
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tracks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    skills: dict[str, Skill] = field(default_factory=dict)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    alternates: tuple[str, ...] = ()
    tech: tuple[tuple[str, ...], ...] = ()

    def closure(self, names: set[str]) -> set[str]:
        """The skills named and all that they imply."""
        known = set(names)
        while more := {i for n in known for i in self.skills[n].implies} - known:
            known |= more
        return known

    def mentions(self, text: str) -> set[str]:
        """Skills of the pool that a text names, the longest name first."""
        return {self._skill_of[hit.lower()] for hit in self._pattern.findall(text)}

    @cached_property
    def _skill_of(self) -> dict[str, str]:
        return {name.lower(): s.name for s in self.skills.values() for name in s.names}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        names = sorted(self._skill_of, key=lambda name: (-len(name), name))
        return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, names))})(?![\w-])", re.I)


def split_list(text: str) -> tuple[str, ...]:
    """Parts of a list that semicolons separate."""
    return tuple(part.strip() for part in text.split(";") if part.strip())


def parse_role(text: str) -> Role:
    """One table file as a Role."""
    role, section, block = Role(), "", []
    blocks: dict[str, list[str]] = {}
    for line in filter(str.strip, text.splitlines()):
        if line.startswith("= "):
            section = line[2:].strip()
            block = blocks.setdefault(section, [])
        elif section:
            block.append(line.strip())
        else:
            _header(role, *(part.strip() for part in line.split(":", 1)))
    role.skills = _parse_skills(blocks["skills"])
    role.lists = {name: tuple(blocks[name]) for name in LIST_SECTIONS}
    role.alternates = split_list(";".join(blocks["alternates"]))
    role.tech = tuple(tuple(p.strip() for p in line.split("|")) for line in blocks["tech"])
    return role


def _header(role: Role, key: str, value: str) -> None:
    """Put one header line of a table into the role."""
    kind, _, rest = key.partition(".") if "." in key else key.partition(" ")
    if kind == "titles":
        role.titles[int(rest)] = split_list(value)
    elif kind == "slot":
        role.slots[rest] = split_list(value)
    elif kind == "track":
        role.tracks[rest] = tuple(part.strip() for part in value.split(","))
    elif kind == "field":
        role.fields = split_list(value)
    elif kind == "firms":
        role.firms = split_list(value)
    elif kind == "degree":
        role.degree = int(value)
    else:
        setattr(role, key, value)


def _parse_skills(lines: list[str]) -> dict[str, Skill]:
    """Skill blocks: 'name | kind | aka: a; b | implies: c', then + and ~ sentences."""
    raw: list[dict] = []
    for line in lines:
        if line[0] in "+~":
            raw[-1]["says" if line[0] == "+" else "hints"] += (line[2:],)
            continue
        name, kind, *rest = (part.strip() for part in line.split("|"))
        options = dict(part.split(":", 1) for part in rest)
        extra = {key: split_list(options.get(key, "")) for key in ("aka", "implies")}
        raw.append({"name": name, "kind": kind, "says": (), "hints": (), **extra})
    return {item["name"]: Skill(**item) for item in raw}


@cache
def load_roles() -> dict[str, Role]:
    """All roles by category, in the order of their file names."""
    roles = [parse_role(p.read_text("utf-8")) for p in sorted(TABLES.glob("*.txt"))]
    return {role.category: role for role in roles}


def past(verb: str) -> str:
    """Past tense of an English verb in its base form."""
    low = verb.lower()
    if low in IRREGULAR:
        form = IRREGULAR[low]
    elif low.endswith("e"):
        form = low + "d"
    elif low.endswith("y") and low[-2] not in "aeiou":
        form = low[:-1] + "ied"
    else:
        form = low + "ed"
    return form.capitalize() if verb[0].isupper() else form


def in_tense(sentence: str, is_past: bool) -> str:
    """A base-form sentence in the past or as it stands; *word marks further verbs."""
    if not is_past:
        return sentence.replace("*", "")
    first = re.sub(r"^[A-Za-z]+", lambda m: past(m[0]), sentence, count=1)
    return re.sub(r"\*([A-Za-z]+)", lambda m: past(m[1]), first)


def fill(text: str, role: Role, rng: Random, fixed: dict[str, str] | None = None) -> str:
    """Replace {slot} by a number, an amount of money or a word of the role's table."""

    def value(match: re.Match) -> str:
        key = match[1]
        if fixed and key in fixed:
            return fixed[key]
        if key in role.slots:
            return rng.choice(role.slots[key])
        return _number(key, rng)

    return fix_article(re.sub(r"\{(\w+)\}", value, text))


def fix_article(text: str) -> str:
    """'a' before a vowel becomes 'an'."""
    return re.sub(r"\b([Aa]) (?=[aeiou])(?!uni|use|usu|one|eu)", r"\1n ", text)


def _number(key: str, rng: Random) -> str:
    """A figure for one of the number slots."""
    if key == "money":
        return f"${rng.randrange(12, 480)},000"
    if key == "m":
        return f"${rng.randrange(11, 190) / 10:.1f} million"
    low, high = {"n": (2, 9), "d": (3, 8), "pct": (6, 42), "nn": (11, 64), "nnn": (110, 890)}[key]
    number = rng.randrange(low, high + 1)
    return str(round(number, -1) if key == "nnn" else number)


def has_figures(text: str) -> bool:
    """Whether a sentence carries a number slot, and so states an achievement."""
    return bool(re.search(r"\{(n|d|pct|nn|nnn|money|m)\}", text))


def upper_first(text: str) -> str:
    """The text with its first letter in capitals and the rest untouched."""
    return text[:1].upper() + text[1:]


def lower_first(text: str) -> str:
    """The text with its first letter in lower case, unless an acronym stands there."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def join_words(words: list[str], last: str = "and") -> str:
    """'a, b and c'."""
    head, tail = ", ".join(words[:-1]), words[-1] if words else ""
    return f"{head} {last} {tail}" if head else tail
