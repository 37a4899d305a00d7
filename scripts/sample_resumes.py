"""Synthetic resumes: who the person is, what they can do, and how their resume says it."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

from sample_text import (
    Role,
    Skill,
    fill,
    has_figures,
    in_tense,
    join_words,
    lower_first,
    split_list,
    upper_first,
)

NOW = 2025 * 12 + 4  # "Current" means May 2025; months are counted from year 0
MONTHS = (
    "January February March April May June July August September October November December"
).split()
FIRST = split_list(
    "Adaeze; Aiko; Alba; Anders; Anouk; Arjun; Asha; Beatriz; Bilal; Bronwyn; Camille; Carlos; "
    "Chidi; Clara; Dalia; Darius; Desmond; Elif; Emeka; Esther; Farah; Felix; Fiona; Gabriel; "
    "Greta; Hana; Hector; Ingrid; Isaac; Ivy; Jamal; Jana; Joel; Kavya; Keisha; Kenji; Lars; "
    "Latoya; Leila; Linh; Lucia; Malik; Marcus; Mei; Miriam; Nadia; Nikhil; Noor; Oksana; Omar; "
    "Paloma; Pavel; Priya; Quentin; Rafael; Rosa; Ruth; Samira; Sean; Soren; Tamika; Tariq; "
    "Tomas; Uma; Vera; Wei; Xenia; Yusuf; Zara; Zoltan"
)
LAST = split_list(
    "Abbermoor; Aldenquist; Amberlyde; Ashgrovane; Barrowick; Bellantor; Birchmandel; Brockvane; "
    "Calderhey; Castlebrand; Corvanté; Dallimoor; Delacroft; Dunmarrow; Eastermane; Elderquay; "
    "Falkenreed; Farradine; Fernandry; Galloweth; Garrinholt; Glenhaven; Haldorsey; Harkenfield; "
    "Hollingmere; Ibarrón; Iverstrand; Jarrowell; Kaldermann; Kestrelby; Kirandale; Langmoor; "
    "Larkendell; Lindqvane; Maddowen; Marchbrooke; Mirandoux; Nakamoru; Northgarde; Obasanwe; "
    "Okonvale; Orlanski; Pemberlyn; Quarrindale; Ravendahl; Redmarsh; Rosenquay; Sandovane; "
    "Sellandry; Silvermane; Tarkington-Vale; Thornbeck; Umbermann; Valdermoor; Vantongeren; "
    "Wexcombe; Whitlaren; Yamadori; Zellinger; Zubiretta"
)
STEMS = split_list(
    "Brindlecote; Harrowmere; Tallowfen; Quillmark; Osterwick; Larkenshaw; Pellandine; Drumlin; "
    "Fennimoor; Gantry Hollow; Copperlane; Marrowbrook; Saltergate; Thistledown; Wrenfield; "
    "Umberline; Kestrelholt; Northquay; Bramblewood; Cinderford; Elmsgarth; Foxmantle; "
    "Greywether; Hazelmoor; Ironbeck; Juniper Row; Lanternhill; Millrace; Oakhanger; Pinebarrow"
)
TOWNS = split_list(
    "Fernhollow, OH; Port Larken, WA; Millbarrow, PA; Eastquay, OR; Saltmarsh, NJ; Pinegate, NC; "
    "Dry Heron, AZ; Wrenfield, MN; Cedarmoor, IL; Lanternhill, VT; Copper Bend, CO; "
    "Thistle Creek, TX; Graywater, MI; Elmsford Gap, VA; North Umber, NY; Hollowell, GA; "
    "Foxbarrow, KY; Redmarsh, CA; Stillwater Point, FL; Quarrytown, TN"
)
SCHOOLS = split_list(
    "Osterwick State University; Larkenshaw Community College; University of North Umber; "
    "Pellandine College; Saltergate Technical Institute; Fernhollow University; "
    "Copper Bend State College; Graywater University; Cedarmoor College; "
    "Thistle Creek Community College; Eastquay Institute of Technology; Millbarrow University"
)
SHARED = split_list(
    "Write a short weekly summary for the team; Introduce a simple board that shows who does what; "
    "Train {n} new colleagues; Take part in a group that improved handovers; "
    "Receive a staff award for reliability; Stand in for the supervisor on holidays; "
    "Organise the yearly team day; Keep a list of lessons learned; "
    "Suggest {n} small improvements that were adopted; Work overtime calmly in peak weeks; "
    "Answer questions from other departments; Plan my own day around fixed deadlines; "
    "Help to move the office without a lost day; Present results at a regional meeting; "
    "Stay through a change of ownership; Welcome visitors and *explain the work; "
    "Join a project with {n} departments; Keep records neat and complete; "
    "Cut paper use by {pct} %; Prepare checklists that are still in use; "
    "Settle small conflicts before they became large; Work with people from {n} countries; "
    "Complete {nn} hours of further training; Take over tasks of two colleagues during leave; "
    "Ask customers for feedback and *bring it to the team; Finish a yearly plan ahead of time; "
    "Explain difficult matters in plain words; Look after interns for {n} summers; "
    "Tidy the shared drive until people found things again; "
    "Make the monthly meeting half as long; Represent the department in a works project; "
    "Translate between people who spoke past each other; "
    "Win the yearly prize for the best suggestion; Bring two older colleagues into the new tools; "
    "Hold the fort during a hard winter; Collect figures for the yearly report; "
    "Take the early shift when nobody else could; Draw up a plan for emergencies; "
    "Write instructions with pictures for newcomers; Serve as fire warden and first aider; "
    "Keep a calm tone with angry callers; Check the work of trainees twice; "
    "Close {nn} open points left by a predecessor; Share good practice with a sister site; "
    "Save {money} through a change of supplier; Volunteer for the night of the stocktaking; "
    "Manage a small budget of {money}; Cover two posts for {n} months during a vacancy; "
    "Reply to every request within a day; Run a short stand-up each morning; "
    "Pass a surprise visit without remarks; Support the move to a new building"
)
EARLIER = {
    "Barista": "Serve {nnn} guests a day; Open and *close the shop; Teach two colleagues the till",
    "Warehouse Associate": "Pick and *pack {nnn} orders a shift; Load trucks; Count stock",
    "Cashier": "Balance a drawer every evening; Help older customers; Refill shelves",
    "Delivery Driver": "Deliver {nn} parcels a day; Keep the van clean; Plan the route",
    "Call Center Agent": "Take {nn} calls a day; Calm upset callers; Record each case",
    "Library Aide": "Shelve returned books; Help readers with printers; Repair book covers",
    "Hotel Receptionist": "Check in guests; Handle bookings; Answer mail in two languages",
    "Farm Hand": "Harvest apples and hops; Repair fences; Drive a tractor",
}
GAPS = split_list(
    "Parental leave; Care for a family member; Career break and travel; Full-time study; "
    "Relocation and job search; Health leave, fully recovered"
)
TAILS = split_list(
    "which saved the team about a day a week; a routine that is still in place; "
    "to the relief of everyone involved; together with two colleagues; with little guidance; "
    "often at short notice; mostly on my own; later copied by a sister site; "
    "without extra staff; as part of a larger change; at first as a trial, then for good; "
    "praised in the yearly review; during the busiest season; after a difficult start; "
    "in close contact with the people concerned; on time and within budget; "
    "for the first time in the history of the site; alongside daily work; "
    "despite two moves of the office; with clear notes for those who came after"
)
FRAMES = {
    "t": "Use {x} daily | Work in {x} on most days, at first with help, then alone | "
    "Train {n} colleagues in {x} | Introduce {x} and *write the first house rules for it | "
    "Serve as contact for questions on {x} | Rely on {x} for the larger part of the work | "
    "Clean up what had grown wild in {x} | Bring {x} from a trial to daily use | "
    "Solve the harder cases in {x} | Put together a short internal course on {x}",
    "p": "Take responsibility for {x} | Carry out {x} on a daily basis | "
    "Improve {x} step by step | Train {n} colleagues in {x} | "
    "Look after {x} for the whole site | Take over {x} from a retired colleague | "
    "Rebuild {x} from the ground up | Stand in for the manager in {x} | "
    "Give {x} a clear structure | Spend about half of each week on {x} | "
    "Show measurable progress in {x}, up {pct} % in a year",
}
MORE_SUMMARY = split_list(
    "Colleagues come to me when something has to be explained twice; "
    "I like clear agreements and short meetings; Known for calm in busy weeks; "
    "Equally at home in small firms and large ones; Learns new tools quickly and teaches them; "
    "Comfortable with change and with routine; Good with people who are in a hurry; "
    "I look for a place where I can stay for a long time; Open to moving within the region; "
    "Ready to take on more responsibility; Believes in checklists and second looks; "
    "Direct, friendly and on time; Values honest feedback and gives it kindly; "
    "Returned to the profession after a break and glad of it; "
    "Used to working with few means; Brings humour to long days; "
    "I measure my work by what others can do with it; Prefers facts to slogans; "
    "Happy to work early, late or at weekends; Enjoys showing newcomers the ropes"
)
FIRM_NOTES = split_list(
    "A family firm with {nn} people; Part of a larger group; A young company in {sector}; "
    "Well known locally for {sector}; {nnn} people at {n} sites; "
    "Seasonal business with busy springs; "
    "A regional name in {sector}; Taken over by a competitor while I was there"
)
SOFT = split_list(
    "teamwork; time management; clear writing; problem solving; attention to detail; "
    "customer focus; planning; public speaking; conflict resolution; Microsoft Office; "
    "mentoring; adaptability; listening; organisation; self-motivated; fast learner; "
    "multitasking; dependable; critical thinking; note taking"
)
TONGUES = split_list(
    "English (native); French (conversational); German (basic); Portuguese (fluent); "
    "Vietnamese (native); Arabic (fluent); Polish (conversational); Hindi (native); "
    "Tagalog (fluent); Italian (basic); Korean (conversational); Swahili (native)"
)
HEADINGS = {
    "summary": "Summary; Professional Summary; Profile; Career Overview; Executive Profile",
    "experience": "Experience; Work History; Employment; Professional Experience; Work Experience",
    "education": "Education; Education and Training; Academic Background",
    "skills": "Skills; Core Competencies; Technical Skills; Highlights; Core Qualifications",
    "certifications": "Certifications; Licenses and Certifications; Credentials",
    "languages": "Languages; Language Skills",
    "projects": "Projects; Activities; Volunteer Work and Projects",
    "other": "Additional Information; Professional Development; Personal Note",
}
ORDERS = (
    "summary skills experience education certifications languages projects other",
    "summary experience education skills certifications projects languages other",
    "skills summary experience projects education languages certifications other",
    "summary certifications skills experience other education languages projects",
    "education summary experience skills languages projects certifications other",
    "experience skills education summary certifications other projects languages",
)
ASIDES = {
    "t": "Work next to the team that ran {x}; my own part ended at the hand-over | "
    "Pass questions on {x} to a specialist | Read output from {x} that others had set up | "
    "Sit beside the only colleague who was allowed to use {x} | "
    "Take notes while a consultant set up {x} for us | "
    "Ask for a trial of {x}, which was cancelled before it began | "
    "Forward faults in {x} to the vendor without looking into them myself | "
    "Write the purchase request for {x}; the site that received it was not mine | "
    "Rely on an outside administrator for everything in {x} | "
    "Order a course on {x} for others in the department | "
    "See {x} introduced at the sister site only | "
    "Supply data for {x}, which a separate team ran",
    "p": "Work next to the team in charge of {x}; my own part ended at the hand-over | "
    "Leave {x} to an outside firm and *check its invoices | "
    "Sit in on meetings about {x} as a guest | Pass all matters of {x} to a senior colleague | "
    "Hand papers to the person responsible for {x} | "
    "Watch my supervisor deal with {x} and *take the minutes | "
    "Share an office with the group that looked after {x} | "
    "Support the manager who did the {x} with copies and room bookings | "
    "Give way to the specialist whenever {x} came up | "
    "Observe {x} for two afternoons during a visit | "
    "Work on a site where {x} was done by the head office | "
    "Collect documents for whoever took care of {x}",
    "c": "Work under a colleague who held the {x} | "
    "Book a place for the {x} and *cancel it when the project changed | "
    "Prepare study material on the {x} for two colleagues who passed | "
    "Ask for leave to work towards the {x}; the request was put off | "
    "Rely on a foreman or lead who had the {x}",
}
WISHES = {
    "t": "No hands-on experience with {x} yet | Keen to learn {x} | "
    "Have read about {x} but never used it at work | Looking for a place to get into {x} | "
    "{X} is new to me | So far without {x}",
    "p": "No experience of my own in {x} yet | Keen to grow into {x} | "
    "Have not been responsible for {x} so far | Looking for a team where I can learn {x} | "
    "{X} was always done by others | Next step: {x}",
    "c": "{X} not yet obtained | Plan to work towards the {x} next year | "
    "{X} started but not finished",
}
LEARNING = split_list(
    "Currently learning: {xs}; Would like to learn: {xs}; Not yet practised: {xs}; "
    "Next on my list: {xs}; Courses planned for next year: {xs}; "
    "Known from reading only: {xs}"
)
NOTES = split_list(
    "Enrolled in an evening course on {x} that starts in the autumn; "
    "My former team had a specialist for {x} and I would like to become one; "
    "Was told in the last review to gain first practice in {x}; "
    "Applied for an internal move towards {x}, decision open; "
    "Attended a two-hour taster on {x} without practice since; "
    "My sister works in {x} and has made me curious; "
    "A planned placement in {x} fell through; "
    "Gave up a course on {x} after the first week for family reasons"
)
CERT_NOTES = split_list(
    "Preparation for the {x} planned for the winter; Registered for the {x} but not examined yet; "
    "{X} came up in the last review as a goal; Would take the {x} if an employer supports it"
)
DEGREES = {
    0: ("High School Diploma", "GED", "High School Diploma, general studies"),
    1: ("Associate of Applied Science in {f}", "Associate Degree : {f}", "Diploma in {f}"),
    2: ("Bachelor of Science : {f}", "B.S. in {f}", "Bachelor of Arts, {f}", "BSc {f}"),
    3: ("Master of Science : {f}", "M.A. in {f}", "Master's degree, {f}"),
}
OTHER_FIELDS = ("history", "geography", "music", "philosophy", "biology", "sociology")
MOJIBAKE = {"\u2013": "â€“", "•": "â€¢", "é": "Ã©", "ó": "Ã³", "'": "â€™"}


@dataclass(kw_only=True)
class Facts:
    """The truth about one person; labels are computed from it."""

    kind: str
    track: str
    skills: set[str]
    lacks: list[str]
    months: int
    degree: int
    related: bool


@dataclass(kw_only=True)
class Post:
    """One station of a career."""

    title: str
    start: int
    end: int | None
    counts: bool = True
    firm: str = ""
    town: str = ""
    items: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class Resume:
    """A resume as sections of (style, text) lines."""

    number: int
    category: str
    facts: Facts
    title: str
    name: str
    contact: str
    sections: list[tuple[str, list[tuple[str, str]]]] = field(default_factory=list)
    text: str = ""


def plan_facts(role: Role, kind: str, track: str, rng: Random) -> Facts:
    """Decide what a person can do: strong in a track, early in a career, or weak."""
    core, always = list(role.tracks[track]), set(split_list(role.always))
    if kind == "weak":
        base = set(rng.sample(core, rng.choice((3, 4, 5))))
    else:
        base = {name for name in core if rng.random() < 0.94}
    others = [name for name in role.skills if name not in core]
    # implied skills must not fill the holes of a weak resume
    safe = [n for n in others if not (role.closure({n}) - {n}) & (set(core) - base)]
    size = rng.choice((10, 11, 12, 13, 14))
    extra = rng.sample(safe, min(max(size - len(base), 1), len(safe)))
    skills = role.closure(base | set(extra) | always)
    missing = [n for n in core if n not in skills]
    lacks = rng.sample(missing, round(len(missing) * rng.uniform(0.7, 1)))
    spare = [n for n in others if n not in skills]
    lacks += rng.sample(spare, min(len(spare), rng.choice((0, 1, 1, 2, 3))))
    months = rng.randrange(6, 30) if kind == "early" else rng.randrange(30, 210)
    degree = max(0, min(3, role.degree + rng.choice((-1, 0, 0, 0, 0, 0, 1))))
    related = degree > 0 and (rng.random() < 0.9 or bool(role.always))
    return Facts(
        kind=kind, track=track, skills=skills, lacks=lacks, months=months,
        degree=degree, related=related,
    )  # fmt: skip


def month_name(month: int | None, style: int) -> str:
    """A month as a resume writes it."""
    if month is None:
        return "Current" if style < 3 else "Present"
    year, index = divmod(month, 12)
    forms = (f"{MONTHS[index]} {year}", f"{index + 1:02d}/{year}", f"{MONTHS[index][:3]} {year}")
    return (*forms, f"{index + 1:02d}.{year}")[style]


def plan_career(role: Role, facts: Facts, rng: Random) -> list[Post]:
    """Posts from the latest to the first; months in the role add up to facts.months."""
    count = min(5, max(1, round(facts.months / rng.choice((26, 34, 44)))))
    cuts = sorted(rng.sample(range(6, facts.months - 5, 5), count - 1))
    edges = [0, *cuts, facts.months]
    spans = [b - a for a, b in pairwise(edges)]
    end = NOW if rng.random() < 0.8 else NOW - rng.randrange(1, 9)
    posts, done = [], facts.months
    gap_at = rng.randrange(len(spans)) if rng.random() < 0.3 else -1
    for index, span in enumerate(reversed(spans)):
        level = 1 if done - span < 20 else 2 if done - span < 84 else 3
        start = end - span
        title = rng.choice(role.titles[level])
        posts.append(Post(title=title, start=start, end=None if end == NOW else end))
        done, end = done - span, start
        if index == gap_at and index + 1 < len(spans):
            end = _add_gap(posts, end, rng)
    for post in posts:
        post.firm = f"{rng.choice(STEMS)} {rng.choice(role.firms)}"
        post.town = rng.choice(TOWNS)
    if rng.random() < 0.3:
        posts.append(_earlier_post(role, end, rng))
    return posts


def _add_gap(posts: list[Post], end: int, rng: Random) -> int:
    """Put a break before the post just added; half of the breaks are explained."""
    start = end - rng.randrange(5, 19)
    if rng.random() < 0.5:
        posts.append(Post(title=rng.choice(GAPS), start=start, end=end, counts=False))
    return start


def _earlier_post(role: Role, end: int, rng: Random) -> Post:
    """A job before the career in the role began."""
    title = rng.choice(sorted(EARLIER))
    stop = end - rng.randrange(0, 6)
    items = [fill(in_tense(s, True), role, rng) + "." for s in split_list(EARLIER[title])]
    return Post(
        title=title, start=stop - rng.randrange(6, 30), end=stop, counts=False,
        firm=f"{rng.choice(STEMS)} {rng.choice(('Stores', 'Market', 'Services'))}",
        town=rng.choice(TOWNS), items=items,
    )  # fmt: skip


class Writer:
    """Writes one resume from its facts."""

    def __init__(self, role: Role, facts: Facts, number: int, rng: Random, clean: bool = False):
        self.role, self.facts, self.rng, self.number = role, facts, rng, number
        self.clean = clean
        self.posts = plan_career(role, facts, rng)
        self.own = [p for p in self.posts if p.counts]
        self.fixed = {k: rng.choice(v) for k, v in role.slots.items() if k == "sector"}
        self.listed: list[str] = []
        self.certs: list[str] = []
        self.used: set[str] = set()
        self.style = rng.randrange(4)
        self.lacks = list(facts.lacks)
        self.tail_rate = rng.choice((0.0, 0.05, 0.15, 0.25))
        self.placeholder = not clean and rng.random() < 0.35

    def pick(self, options: str, **slots: str) -> str:
        """One of the '|'-separated options with its slots filled."""
        text = self.once(tuple(o.strip() for o in options.split(" | ")))
        for key, value in slots.items():
            text = text.replace("{" + key + "}", value)
        return text

    def post_for(self) -> Post:
        """A post of the role, the recent ones more often."""
        weights = [1 / (i + 1) for i in range(len(self.own))]
        return self.rng.choices(self.own, weights)[0]

    def add_item(self, sentence: str, post: Post | None = None, tail: bool = True) -> None:
        """Put a base-form sentence into a post, in the tense that fits it."""
        self.used.add(sentence)
        post = post or self.post_for()
        is_past = post.end is not None or self.style % 2 == 0
        text = fill(in_tense(sentence, is_past), self.role, self.rng, self.fixed).rstrip(".")
        if tail and not has_figures(sentence) and self.rng.random() < self.tail_rate:
            text += ", " + self.once(TAILS)
        post.items.append(text + ".")

    def once(self, options: tuple[str, ...]) -> str:
        """One of the options, not used before in this resume where that can be had."""
        fresh = [o for o in options if o not in self.used] or list(options)
        choice = self.rng.choice(fresh)
        self.used.add(choice)
        return choice

    def allowed(self, sentence: str) -> bool:
        """Whether a sentence names only skills that the person has."""
        return sentence not in self.used and self.role.mentions(sentence) <= self.facts.skills

    def show_skill(self, skill: Skill) -> None:
        """Show a skill by its name, in a sentence, by both or by a hint alone."""
        weights = (22, 20, 22, 36) if self.facts.kind != "weak" else (45, 25, 22, 8)
        mode = self.rng.choices(("both", "list", "say", "hint"), weights)[0]
        says = [s for s in skill.says if self.allowed(s)]
        hints = [s for s in skill.hints if self.allowed(s)]
        if mode == "hint" and hints:
            self.add_item(self.rng.choice(hints))
        elif mode in ("say", "both") and says:
            framed = self.rng.random() < 0.3
            x = {"x": self.call(skill)}
            self.add_item(self.pick(FRAMES[skill.kind], **x) if framed else self.rng.choice(says))
        if mode in ("both", "list") or (mode == "say" and not says) or (
            mode == "hint" and not hints
        ):
            name = self.rng.choice(skill.names) if self.rng.random() < 0.3 else skill.name
            (self.certs if skill.kind == "c" else self.listed).append(name)

    def show_all(self) -> None:
        """Show every skill; one that another shown skill implies may stay silent."""
        names = sorted(self.facts.skills)
        self.rng.shuffle(names)
        implied = {i for n in names for i in self.role.closure({n}) - {n}}
        for name in names:
            if name in implied and self.rng.random() < 0.5:
                continue
            self.show_skill(self.role.skills[name])

    def take_lacking(self, count: int) -> list[Skill]:
        """The next skills that the person names but doesn't have."""
        taken, self.lacks = self.lacks[:count], self.lacks[count:]
        return [self.role.skills[name] for name in taken]

    def add_asides(self) -> None:
        """Name some skills that other people had."""
        for skill in self.take_lacking(self.rng.choice((1, 1, 2, 2, 3))):
            self.add_item(self.pick(ASIDES[skill.kind], x=self.call(skill)), tail=False)

    def call(self, skill: Skill) -> str:
        """The skill's name, sometimes another word for it."""
        return self.rng.choice(skill.names) if self.rng.random() < 0.25 else skill.name

    def summary(self) -> list[tuple[str, str]]:
        """Two to four sentences on the person."""
        opener = fill(self.rng.choice(self.role.lists["summary"]), self.role, self.rng, self.fixed)
        parts = [opener]
        years, rest = divmod(self.facts.months, 12)
        if years >= 1 and self.rng.random() < 0.65:
            phrase = f"{'Over ' if rest > 2 else ''}{years} year{'s' if years > 1 else ''}"
            parts.append(self.pick("{y} in the field | {y} of experience", y=phrase))
        shown = [n for n in self.listed if n in self.role.skills][:6]
        if len(shown) > 2 and self.rng.random() < 0.5:
            chosen = self.rng.sample(shown, 2)
            parts.append(f"Strongest in {join_words(chosen)}")
        parts += self.rng.sample(MORE_SUMMARY, self.rng.choice((0, 0, 1, 1, 2, 3)))
        for skill in self.take_lacking(self.rng.choice((0, 1, 1))):
            name = self.call(skill)
            parts.append(self.pick(WISHES[skill.kind], x=name, X=upper_first(name)))
        return [("para", ". ".join(parts) + ".")]

    def skills(self) -> list[tuple[str, str]]:
        """The skills list in one of several forms."""
        names = self.listed + self.rng.sample(SOFT, self.rng.choice((1, 2, 3, 5)))
        self.rng.shuffle(names)
        learning = self.take_lacking(self.rng.choice((1, 2, 2, 3)))
        form = self.rng.randrange(4)
        if form == 0:
            lines = [("para", upper_first(", ".join(names)) + ".")]
        elif form == 1:
            lines = [("item", upper_first(name)) for name in names]
        elif form == 2:
            half = (len(names) + 1) // 2
            lines = [("line", "Proficient: " + ", ".join(names[:half]))]
            lines.append(("line", "Also used: " + ", ".join(names[half:])))
        else:
            rows = [names[i : i + 3] for i in range(0, len(names), 3)]
            lines = [("line", "  ".join(upper_first(n) for n in row)) for row in rows]
        if learning:
            words = ", ".join(self.call(s) for s in learning)
            lines.append(("line", self.once(LEARNING).replace("{xs}", words)))
        return lines

    def certifications(self) -> list[tuple[str, str]]:
        """Certificates held, with a year."""
        year = NOW // 12
        low, mark = max(self.own[-1].start // 12, year - 6), self.rng.choice((", ", " - ", " "))
        return [
            ("item", f"{upper_first(name)}{mark}{self.rng.randint(low, year)}")
            for name in self.certs
        ]

    def education(self) -> list[tuple[str, str]]:
        """The degree that was reached, at times an unfinished one above it."""
        f, rng = self.facts, self.rng
        subject = rng.choice(self.role.fields if f.related else OTHER_FIELDS)
        year = self.posts[-1].start // 12 - rng.randrange(0, 2)
        if self.posts[-1].title in EARLIER:
            year = self.own[-1].start // 12
        degree = rng.choice(DEGREES[f.degree]).replace("{f}", subject.title())
        school = "Fernhollow High School" if f.degree == 0 else self.school()
        place = "City , State" if self.placeholder else rng.choice(TOWNS)
        lines = [("line", self.pick("{d} {s} {y} | {d}, {s}, {p} ({y}) | {y} {d} {s} {p}",
                                    d=degree, s=school, y=str(year), p=place))]  # fmt: skip
        if f.degree < 2 and rng.random() < 0.5:
            lines.append(("line", f"Coursework towards a bachelor's degree at {rng.choice(SCHOOLS)}"
                                  f", {rng.randrange(20, 70)} credits, no degree"))  # fmt: skip
        elif f.degree >= 2 and rng.random() < 0.3:
            lines.append(("line", f"GPA {rng.randrange(29, 40) / 10}"))
        return lines

    def school(self) -> str:
        """A school that grants the degree."""
        two_years = self.facts.degree == 1
        fits = [s for s in SCHOOLS if ("Community" in s or "Institute" in s) or not two_years]
        return self.rng.choice([s for s in fits if two_years or "Community" not in s])

    def languages(self) -> list[tuple[str, str]]:
        """Languages, in some resumes only."""
        if self.rng.random() < 0.7:
            return []
        more = self.rng.sample(TONGUES[1:], self.rng.choice((1, 2)))
        return [("line", ", ".join([TONGUES[0], *more]))]

    def projects(self) -> list[tuple[str, str]]:
        """Side projects, in some resumes only."""
        if self.rng.random() < 0.55:
            return []
        chosen = self.rng.sample(self.role.lists["projects"], self.rng.choice((1, 1, 2)))
        return [("item", fill(text, self.role, self.rng, self.fixed)) for text in chosen]

    def other(self) -> list[tuple[str, str]]:
        """What is left to say: further wishes, references."""
        lines = []
        for skill in self.take_lacking(2):
            name = self.call(skill)
            note = self.once(CERT_NOTES if skill.kind == "c" else NOTES)
            note = note.replace("{x}", name).replace("{X}", upper_first(name))
            lines.append(("line", note + "."))
        if lines and self.rng.random() < 0.3:
            lines.append(("line", "References on request."))
        return lines

    def experience(self) -> list[tuple[str, str]]:
        """All posts with their items, as bullets or as a paragraph in the first person."""
        lines: list[tuple[str, str]] = []
        form, narrative = self.rng.randrange(4), self.rng.random() < 0.15
        notes = self.rng.random() < 0.25
        for post in self.posts:
            lines += self.post_head(post, form)
            if notes and post.counts:
                note = self.once(FIRM_NOTES)
                lines.append(("line", fill(note, self.role, self.rng, self.fixed) + "."))
            if narrative and post.items and post.end is not None:
                told = ["I " + lower_first(i) for i in post.items]
                lines += [("para", " ".join(told[i : i + 5])) for i in range(0, len(told), 5)]
            else:
                lines += [("item", i) for i in post.items]
        return lines

    def post_head(self, post: Post, form: int) -> list[tuple[str, str]]:
        """The heading lines of a post in one of four layouts."""
        start, end = month_name(post.start, self.style), month_name(post.end, self.style)
        if not post.firm:
            return [("post", f"{start} to {end} {post.title}")]
        firm = "Company Name" if self.placeholder else post.firm
        town = "City , State" if self.placeholder else post.town
        if form == 0:
            return [("post", f"{firm} {start} to {end} {post.title}"), ("line", town)]
        if form == 1:
            return [("post", f"{post.title} , {start} to {end}"), ("line", f"{firm} \u2013 {town}")]
        if form == 2:
            return [("post", f"{start} to {end}"), ("line", f"{post.title} {firm} • {town}")]
        return [("post", f"{post.title} | {firm}, {town} | {start} - {end}")]

    def pad(self, target: int) -> None:
        """Add duties of the role and of any job until the posts reach the length."""
        pool = [s for s in self.role.lists["duties"] if self.allowed(s)]
        pool += self.rng.sample(SHARED, 18)
        for name in sorted(self.facts.skills):
            pool += [s for s in self.role.skills[name].says if self.allowed(s)][1:2]
        self.rng.shuffle(pool)
        while pool and (self.words() < target or min(len(p.items) for p in self.own) < 2):
            sparse = min(self.own, key=lambda p: len(p.items) * (1 + self.own.index(p) / 2))
            self.add_item(pool.pop(), sparse)

    def words(self) -> int:
        """Words in the posts so far."""
        return sum(len(i.split()) for p in self.posts for i in p.items) + 8 * len(self.posts)

    def write(self, target: int) -> Resume:
        """The whole resume, about target words long."""
        rng = self.rng
        self.show_all()
        self.add_asides()
        rest = 62 + 3 * len(self.listed) + 5 * len(self.lacks)
        self.pad(target - rest)
        for post in self.own:
            rng.shuffle(post.items)
        built = {key: getattr(self, key)() for key in ("skills", "summary")}
        order = rng.choice(ORDERS).split()
        keys = [k for k in order if k not in built]
        built |= {k: getattr(self, k)() for k in sorted(keys)}
        sections = [(rng.choice(split_list(HEADINGS[k])), built[k]) for k in order if built[k]]
        name = f"{rng.choice(FIRST)} {rng.choice(LAST)}"
        return Resume(
            number=self.number, category=self.role.category, facts=self.facts,
            title=self.headline(), name=name, contact=make_contact(name, rng), sections=sections,
        )  # fmt: skip

    def headline(self) -> str:
        """The first line: the latest title, at times another word for the role."""
        if self.rng.random() < 0.75:
            return self.own[0].title
        return self.rng.choice((self.role.role, *self.role.titles[2]))


def make_contact(name: str, rng: Random) -> str:
    """A contact line that reaches nobody."""
    plain = name.lower().translate(str.maketrans("éó", "eo", "'-")).replace(" ", ".")
    mail = f"{plain}@example.{rng.choice(('com', 'org'))}"
    phone = f"{rng.choice(('(555)', '555'))} 555-01{rng.randrange(100):02d}"
    return f"{rng.choice(TOWNS)} | {mail} | {phone}"


def render_text(resume: Resume, rng: Random, contact: bool, defects: bool) -> str:
    """The resume as plain text, its title in capitals on the first line."""
    bullet = rng.choice(("", "", "", "• ", "- ", "* ", "o ", "· "))
    lines = [resume.title.upper()]
    if contact:
        lines += [resume.name, resume.contact]
    glue = defects and rng.random() < 0.4
    for heading, block in resume.sections:
        body = [(bullet if style == "item" else "") + text for style, text in block]
        if glue and rng.random() < 0.5:
            body[0] = heading + body[0]
        else:
            lines.append(heading)
        lines += body
    text = "\n".join(lines)
    return spoil(text, rng) if defects else text


def spoil(text: str, rng: Random) -> str:
    """A few of the defects of extracted text."""
    lines = text.split("\n")
    kind = rng.choice(("mojibake", "mojibake", "entities", "blank", "blank"))
    if kind == "blank":
        for _ in range(rng.randrange(2, 6)):
            lines.insert(rng.randrange(2, len(lines)), "")
        return "\n".join(lines)
    for index in range(1, len(lines)):
        if kind == "entities":
            lines[index] = html.escape(lines[index].replace(" and ", " & "), quote=True)
        elif rng.random() < 0.6:
            lines[index] = "".join(MOJIBAKE.get(c, c) for c in lines[index])
    return "\n".join(lines)
