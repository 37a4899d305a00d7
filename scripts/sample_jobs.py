"""Synthetic job adverts: what a job asks, how its text says so, and who fits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random

from sample_resumes import STEMS, TOWNS, Facts
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

HEADINGS = {
    "about": "About us; Who we are; The company; About the role; Introduction",
    "responsibilities": "Responsibilities; What you will do; Your tasks; Duties; Key duties",
    "requirements": "Requirements; What you bring; Qualifications; Must have; Your profile",
    "preferred": "Nice to have; Preferred; A plus; Bonus points; Desirable",
    "benefits": "Benefits; What we offer; Perks; Our offer",
}
ASK = {
    "t": "Hands-on experience with {x} | Solid working knowledge of {x} | {X} in daily use | "
    "Confident use of {x} | You know {x} well | Proficiency in {x} | Practical {x} skills | "
    "You have worked with {x} in earlier jobs",
    "p": "Proven experience in {x} | Practical experience with {x} | "
    "You have been responsible for {x} | Confidence in {x} | You can handle {x} on your own | "
    "A good record in {x} | Daily work with {x}, so you have done it before",
    "c": "{X} required | Current {x} | You hold the {x} | {X} (please attach a copy)",
}
WISH = {
    "t": "Knowledge of {x} | {X} is a plus | First experience with {x} | Ideally some {x}",
    "p": "Experience in {x} is a plus | Exposure to {x} | Interest in {x} | {X}, ideally",
    "c": "{X} is welcome | {X} or the wish to obtain it | {X} is an advantage",
}
YEARS = (
    "At least {y} years in a similar role | {y}+ years of experience as {role} | "
    "Minimum of {y} years in the profession | {y} or more years of relevant work"
)
DEGREE_ASK = {
    1: "Associate degree or diploma in {f} or a related subject | "
    "Completed training in {f} (associate degree or higher)",
    2: "Bachelor's degree in {f} or a related subject | Degree (B.A. or B.S.) in {f} or similar",
}
NO_DEGREE = (
    "A degree is welcome, practice counts as much | No degree needed if you know the work | "
    "School leaving certificate"
)
GENERIC = split_list(
    "You write and speak clearly; You keep calm when three things happen at once; "
    "A friendly manner with colleagues and customers; You finish what you begin; "
    "Willingness to work some evenings; You ask when something is unclear; "
    "Reliability and care with details; Good planning of your own day; "
    "Joy in teamwork; Ability to explain your work to others; Honest handling of mistakes; "
    "Readiness to travel now and then; A sense for what customers need; "
    "You take feedback well and give it kindly; Good memory for names and promises; "
    "You like order without being ruled by it; Interest in how the whole firm works"
)
BENEFITS = split_list(
    "Health and dental insurance from the first month; {n} weeks of paid leave; "
    "Retirement plan with a {n} percent match; A budget of {money2} a year for training; "
    "Flexible start between seven and ten; Home office two days a week; "
    "A permanent contract; Free parking and a bus pass; Fresh fruit and good coffee; "
    "Paid overtime or time off; A mentor in the first {n} months; "
    "Salary between {low} and {high} depending on experience; Staff discount; "
    "Four-day week after the trial period; Bicycle leasing; Quiet rooms and a garden; "
    "Yearly bonus tied to the result of the whole team; Parental leave of sixteen weeks"
)
CLOSING = split_list(
    "Please apply with a short letter to jobs@example.com; "
    "Send your papers by the end of the month to people@example.org; "
    "We answer every application within two weeks; "
    "Questions? Write to hiring@example.com; "
    "We welcome people of every age, origin and faith; "
    "The post can be filled at once; A trial day is part of our process"
)
DISTRACT = split_list(
    "No knowledge of {x} is needed: another team covers that; "
    "{X} is not part of this post; We teach {x} on the job; "
    "{X} is handled by our head office"
)
OPENERS = split_list(
    "We are looking for {a} {title} for our site in {town}; {title} wanted in {town}; "
    "Join us as {title}; To support our team in {town} we are hiring {a} {title}; "
    "For the next step of our growth we need {a} {title}"
)
ON_SITE = ("HEALTHCARE", "CHEF", "TEACHER", "CONSTRUCTION")
MORE_ABOUT = split_list(
    "Decisions are made in a short meeting on Monday and can be changed on Tuesday; "
    "The average colleague has been with us for {n} years; "
    "We have come through two hard years without letting anybody go; "
    "Our offices are plain, our tools are good; Mistakes are talked about once and then mended; "
    "The post became free because a colleague is moving abroad; "
    "The post is new, so you will shape it; You report to the head of the department; "
    "You will work with {n} direct colleagues and many neighbours in the building; "
    "Founded in a garage by two cousins, we are still owned by the family; "
    "We keep our promises to customers, even the small ones; "
    "Last year we were joined by {nn} new people and lost three; "
    "Our customers are spread over {n} states, our team over two floors; "
    "The first weeks follow a written plan and a mentor is at your side; "
    "We print little, travel by train and cook lunch together on Fridays; "
    "In the coming year we want to open a second site and need steady hands for it; "
    "The trial period is three months and is meant to be passed; "
    "We don't care for dress codes, but we do care for clear words"
)
PROCESS = split_list(
    "The process has two talks: one by telephone, one on site with the team; "
    "In the second talk you will meet the people you would work with; "
    "Travel costs for the interview are paid; Please name your earliest starting date; "
    "Letters of reference are welcome but not needed; "
    "Interviews take place from the first week of the month; "
    "Your papers are read by two people and deleted after six months; "
    "If the post is not quite right for you, tell us what would be"
)
MODES = split_list(
    "Full time, {town}; Part time possible, {town}; Full time with shifts; "
    "Full time, hybrid, {town}; Limited to two years, then permanent"
)
SOURCES = ("board-north", "board-south", "company-pages", "agency-feed")


@dataclass(kw_only=True)
class Job:
    """An advert and what it truly asks."""

    number: int
    category: str
    title: str
    required: list[str]
    preferred: list[str]
    years: int
    degree: int
    track: str
    company: str = ""
    source: str = ""
    town: str = ""
    sections: list[tuple[str, str, list[str]]] = field(default_factory=list)
    text: str = ""

    @property
    def id(self) -> str:
        return f"job-{self.number:03d}"


def grade(job: Job, facts: Facts) -> tuple[float, bool]:
    """Share of what the job requires that a person has, and whether the years are met."""
    years_met = facts.months // 12 >= job.years
    checks = [name in facts.skills for name in job.required]
    if job.years:
        checks.append(years_met)
    if job.degree:
        checks.append(facts.related and facts.degree >= job.degree)
    return sum(checks) / len(checks), years_met


def plan_job(role: Role, track: str, number: int, rng: Random) -> Job:
    """Decide what a job asks: 5 to 8 required skills, 2 or 3 preferred, years, degree."""
    core = list(role.tracks[track])
    required = rng.sample(core, rng.choice((5, 6, 6, 7, 8)))
    rest = [n for n in role.skills if n not in required]
    preferred = rng.sample(rest, rng.choice((2, 3)))
    years = rng.choice((0, 1, 2, 2, 3, 3, 4, 5, 6))
    level = 1 if years < 2 else 2 if years < 5 else 3
    degree = min(role.degree, 2) if rng.random() < 0.45 else 0
    firm = f"{rng.choice(STEMS)} {rng.choice(role.firms)}"
    return Job(
        number=number, category=role.category, title=job_title(role, level, rng),
        required=required, preferred=preferred, years=years, degree=degree, track=track,
        company=firm if rng.random() < 0.93 else "", source=rng.choice(SOURCES),
        town=rng.choice(TOWNS),
    )  # fmt: skip


def job_title(role: Role, level: int, rng: Random) -> str:
    """A title of that level, at times with a suffix as boards show it."""
    title = rng.choice(role.titles[level])
    suffix = rng.choice(("", "", "", "", " (m/f/x)", " - full time", f" / {role.role.title()}"))
    return title if title in suffix.title() else title + suffix


class AdvertWriter:
    """Writes the text of one job."""

    def __init__(self, role: Role, job: Job, rng: Random):
        self.role, self.job, self.rng = role, job, rng
        self.size = rng.choice((0, 0, 1, 1, 2, 3, 4, 4))
        self.fixed = {k: rng.choice(v) for k, v in role.slots.items()}

    def fill(self, text: str) -> str:
        """Fill the slots of a sentence for this job."""
        title = re.sub(r" [(/-].*", "", self.job.title)
        low = self.rng.randrange(34, 70)
        extra = {
            "title": title, "town": self.job.town, "money2": f"${self.rng.randrange(5, 20)}00",
            "low": f"${low},000", "high": f"${low + self.rng.randrange(6, 20)},000",
            "a": "an" if title[0] in "AEIOU" else "a", "y": str(self.job.years),
            "role": ("an " if self.role.role[0] in "aeiou" else "a ") + self.role.role,
        }  # fmt: skip
        return fill(text, self.role, self.rng, self.fixed | extra)

    def pick(self, options: str) -> str:
        return self.rng.choice([o.strip() for o in options.split("|")])

    def call(self, skill: Skill) -> str:
        return self.rng.choice(skill.names) if self.rng.random() < 0.3 else skill.name

    def about(self) -> list[str]:
        lines = [self.rng.choice(OPENERS), self.rng.choice(self.role.lists["about"])]
        if self.rng.random() < 0.5:
            lines.append(self.rng.choice(MODES[:3] if self.job.category in ON_SITE else MODES))
        lines += self.rng.sample(MORE_ABOUT, self.rng.choice((0, 1, 2, self.size, self.size)))
        return [self.fill(line.rstrip(".")) for line in lines]

    def responsibilities(self) -> list[str]:
        """Duties of the role and a few of the required skills at work."""
        pool = [d for d in self.role.lists["duties"] if not has_figures(d)]
        lines = self.rng.sample(pool, min(len(pool), self.rng.randrange(3, 7) + self.size * 2))
        shown = [n for n in self.job.required if self.role.skills[n].kind != "c"]
        for name in self.rng.sample(shown, self.rng.choice((1, 2, 3))):
            skill = self.role.skills[name]
            says = [
                s for s in (*skill.says, *skill.hints)
                if not has_figures(s) and self.role.mentions(s) <= set(self.job.required)
            ]  # fmt: skip
            lines += [self.rng.choice(says)] if says else []
        self.rng.shuffle(lines)
        return [self.fill(in_tense(line, False).rstrip(".")) for line in lines]

    def requirements(self) -> list[str]:
        """One line for each required skill (two may share one), years, degree, manners."""
        job, rng = self.job, self.rng
        names = list(job.required)
        rng.shuffle(names)
        lines = []
        while names:
            skill = self.role.skills[names.pop()]
            other = self.role.skills[names[-1]] if names else None
            if other and other.kind == skill.kind != "c" and rng.random() < 0.35:
                names.pop()
                words = f"{self.call(skill)} and {self.call(other)}"
                template = self.pick(ASK[skill.kind])
            else:
                words, template = self.call(skill), self.pick(ASK[skill.kind])
            lines.append(template.replace("{x}", words).replace("{X}", upper_first(words)))
        if job.years:
            lines.append(self.fill(self.pick(YEARS)))
        if job.years == 1:
            lines[-1] = "At least one year in a similar role"
        if job.degree:
            subject = rng.choice(self.role.fields)
            lines.append(self.pick(DEGREE_ASK[job.degree]).replace("{f}", subject))
        elif rng.random() < 0.4:
            lines.append(self.pick(NO_DEGREE))
        lines += rng.sample(GENERIC, rng.choice((1, 2, 2, 3)) + self.size // 2)
        if rng.random() < 0.7:
            rng.shuffle(lines)
        return lines

    def preferred(self) -> list[str]:
        lines = []
        for name in self.job.preferred:
            words = self.call(self.role.skills[name])
            template = self.pick(WISH[self.role.skills[name].kind])
            lines.append(template.replace("{x}", words).replace("{X}", upper_first(words)))
        if self.rng.random() < 0.3:
            asked = {*self.job.required, *self.job.preferred}
            spare = [n for n in self.role.skills if n not in asked]
            name = self.rng.choice(spare)
            line = self.rng.choice(DISTRACT).replace("{x}", name)
            lines.append(line.replace("{X}", upper_first(name)))
        return lines

    def offers(self) -> tuple[str, ...]:
        """The benefits that make sense for the role."""
        on_site = self.job.category in ON_SITE
        return tuple(b for b in BENEFITS if not (on_site and "Home office" in b))

    def benefits(self) -> list[str]:
        lines = self.rng.sample(self.offers(), self.rng.randrange(2, 6) + self.size)
        lines += self.rng.sample(CLOSING, self.rng.choice((1, 2)))
        lines += self.rng.sample(PROCESS, self.size)
        return [self.fill(line) for line in lines]

    def write(self) -> None:
        """Fill in the job's sections and text."""
        keys = ["about", "responsibilities", "requirements", "preferred", "benefits"]
        if self.rng.random() < 0.2:
            keys = ["about", "requirements", "preferred", "responsibilities", "benefits"]
        built = {key: getattr(self, key)() for key in sorted(keys)}
        self.job.sections = [
            (key, self.rng.choice(split_list(HEADINGS[key])), built[key]) for key in keys
        ]
        self.job.text = self.render()
        while len(self.job.text.split()) < 152:
            self.job.sections[-1][2].extend(
                self.fill(line) for line in self.rng.sample([*self.offers(), *CLOSING], 2)
            )
            self.job.text = self.render()

    def render(self) -> str:
        """Headings with bullets or paragraphs, glued headings, or one block."""
        form = Random(self.job.number).choice(("bullets", "bullets", "lines", "para", "glued",
                                               "block"))  # fmt: skip
        if form == "block":
            return " ".join(flow(lines, key) for key, _, lines in self.job.sections)
        out = []
        for key, heading, lines in self.job.sections:
            if form == "glued":
                out.append(heading.upper() + flow(lines, key))
            elif form == "para" or key == "about":
                out += [heading, flow(lines, key), ""]
            else:
                mark = "• " if form == "bullets" else ""
                out += [heading, *(mark + line for line in lines), ""]
        return "\n".join(out).strip()


def flow(lines: list[str], key: str) -> str:
    """Lines as running text."""
    if key == "responsibilities":
        groups = [lines[i : i + 3] for i in range(0, len(lines), 3)]
        heads = ("You will", "You also", "In addition you", "Besides, you", "At times you",
                 "Together with colleagues you", "Last but not least you")  # fmt: skip
        return " ".join(
            f"{heads[i % len(heads)]} {join_words([lower_first(x) for x in g])}."
            for i, g in enumerate(groups)
        )
    return " ".join(line.rstrip(".?") + ("?" if line.endswith("?") else ".") for line in lines)


