"""Check a built site: internal links, anchors and images resolve, and nothing loads from elsewhere.

`python scripts/check_links.py _docs` reads each page as a browser would. A link to another site is
counted and not opened. A script, style, font or image from another site is an error: the site must
work without a network.
"""

import json
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src"}
CSS_URL = re.compile(r"(?:url\(|@import\s+)[\"']?([^\"')\s;]+)")
NO_FILE = re.compile(r"^(?:https?|mailto|data|javascript|blob):|^#?$")


@dataclass
class Page:
    """What one page holds."""

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)  # scripts and styles


class Reader(HTMLParser):
    """Collects the ids, the links and the loaded files of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.page = Page()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        at = {k: v or "" for k, v in attrs}
        if at.get("id"):
            self.page.ids.add(at["id"])
        if tag == "a" and at.get("name"):
            self.page.ids.add(at["name"])
        if tag == "a" and "href" in at:
            self.page.links.append(at["href"])
        elif tag == "img" and "src" in at:
            self.page.images.append(at["src"])
        elif tag == "link" and "href" in at and "canonical" not in at.get("rel", ""):
            self.page.loaded.append(at["href"])
        elif tag in LOADED and LOADED[tag] in at:
            self.page.loaded.append(at[LOADED[tag]])


class Site:
    """A built site, and what is wrong with it."""

    def __init__(self, root: Path):
        self.root = root
        self.pages = {p: Reader(p.read_text(encoding="utf-8")).page for p in root.rglob("*.html")}
        self.counts = dict.fromkeys(("links", "anchors", "images", "files", "to other sites"), 0)
        self.wrong: list[str] = []

    def say(self, page: Path, what: str) -> None:
        """Note something wrong on a page."""
        self.wrong.append(f"{page.relative_to(self.root)}: {what}")

    def target(self, page: Path, link: str) -> Path:
        """The file that a link on a page points at."""
        path = unquote(urlsplit(link).path)
        found = self.root / path.lstrip("/") if path.startswith("/") else page.parent / path
        found = found.resolve() if path else page
        return found / "index.html" if found.is_dir() else found

    def check_link(self, page: Path, link: str) -> None:
        """One `<a href>`: the page is there, and so is the place on it."""
        if re.match(r"^(?:https?:)?//|^mailto:", link):
            self.counts["to other sites"] += 1
            return
        if NO_FILE.match(link):
            return
        self.counts["links"] += 1
        target, anchor = self.target(page, link), unquote(urlsplit(link).fragment)
        if not target.exists() or self.root.resolve() not in target.resolve().parents:
            self.say(page, f"broken link {link}")
        elif anchor and target.suffix == ".html":
            self.counts["anchors"] += 1
            if anchor not in self.pages[target].ids:
                self.say(page, f"no such place {link}")

    def check_file(self, page: Path, link: str, kind: str) -> None:
        """One image, script, style or font: here, and not on another host."""
        if link.startswith(("data:", "#")):
            return
        self.counts[kind] += 1
        if re.match(r"^(?:https?:)?//", link):
            self.say(page, f"loads from another host: {link}")
        elif not self.target(page, link).is_file():
            self.say(page, f"no such file {link}")

    def check(self) -> None:
        """Every page, every style sheet, and the search index."""
        for page, found in sorted(self.pages.items()):
            for link in found.links:
                self.check_link(page, link)
            for link in found.images:
                self.check_file(page, link, "images")
            for link in found.loaded:
                self.check_file(page, link, "files")
        for style in sorted(self.root.rglob("*.css")):
            text = re.sub(r"/\*.*?\*/", "", style.read_text(encoding="utf-8"), flags=re.S)
            for link in CSS_URL.findall(text):
                self.check_file(style, link.partition("?")[0], "files")
        search = self.root / "search.json"
        if not search.exists():
            self.say(search, "missing, so search finds nothing")
            return
        for entry in json.loads(search.read_text(encoding="utf-8")):
            self.check_link(self.root / "index.html", entry["href"])


def main() -> int:
    """Print the counts, and what is wrong."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else "_docs").resolve()
    if not (root / "index.html").exists():
        print(f"no built site in {root.name}: run `make docs`")
        return 1
    site = Site(root)
    site.check()
    for line in site.wrong:
        print(line)
    counted = ", ".join(f"{n} {what}" for what, n in site.counts.items())
    print(f"{len(site.pages)} pages: {counted}; {len(site.wrong)} wrong")
    return int(bool(site.wrong))


if __name__ == "__main__":
    sys.exit(main())
