"""Open every page of a built site in headless Chromium and report what a reader would trip over.

`python scripts/check_site.py _docs` serves the folder on a free port of this machine, opens each
page at the width of a phone (390 px) and of a desk (1200 px) and fails on an error in the console,
a file that doesn't load, a broken image, a formula that is not typeset, or a page that is wider
than the screen. On the front page it also types into the search and opens the sidebar. Without
Chromium it says so and does nothing; `--required` makes that an error. `--shots FOLDER --pages A B`
keeps pictures. It speaks Chromium's own protocol through a pair of pipes and needs no package.
"""

import argparse
import base64
import contextlib
import functools
import http.server
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTHS = {"phone": 390, "desk": 1200}
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
# Elements that stick out of the screen, unless an ancestor scrolls or cuts them.
LOOK = """(async () => {
  const wide = document.documentElement.clientWidth, name = e => e.tagName.toLowerCase()
    + (e.id ? '#' + e.id : '') + [...e.classList].map(c => '.' + c).join('');
  const images = [...document.images];
  images.forEach(i => { i.loading = 'eager'; });
  await Promise.all(images.map(i => i.decode().catch(() => 0)));
  const held = e => { for (let p = e.parentElement; p && p !== document.body; p = p.parentElement)
    if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
  const out = [];
  for (const e of document.querySelectorAll('body *')) {
    const box = e.getBoundingClientRect(), css = getComputedStyle(e);
    if (!box.width || !box.height || css.visibility === 'hidden' || css.position === 'fixed'
        || box.left < -1) continue;
    if (box.right > wide + 1 && !held(e)) out.push(`${name(e)} ends at ${Math.round(box.right)}`);
  }
  return {width: document.documentElement.scrollWidth, screen: wide, out: out.slice(0, 3),
    broken: images.filter(i => !i.naturalWidth).map(i => i.getAttribute('src').slice(0, 80)),
    maths: [...document.querySelectorAll('.math')].filter(m => !m.querySelector('.katex')).length,
    title: document.title};
})()"""
# What the search shows for a word: the addresses of its results, or null when nothing came.
SEARCH = """(async () => {
  const box = document.querySelector('.smalldocs-search'), input = box.querySelector('input');
  const list = box.querySelector('.smalldocs-search-results');
  list.innerHTML = '';
  input.value = WORD;
  input.dispatchEvent(new Event('input', {bubbles: true}));
  for (let i = 0; i < 200 && !list.innerHTML; i++) await new Promise(r => setTimeout(r, 20));
  if (!list.innerHTML) return null;
  return [...list.querySelectorAll('a[href]')].map(a => a.getAttribute('href'));
})()"""
# A tap on the sidebar's button, and what is seen then.
SIDEBAR = """(async () => {
  const bar = document.querySelector('#quarto-sidebar');
  const button = document.querySelector('.quarto-secondary-nav .quarto-btn-toggle');
  const shown = () => bar.contains(document.elementFromPoint(60, innerHeight / 2));
  if (!bar || !button || getComputedStyle(button).display === 'none') return 'has no button';
  if (shown()) return 'is open before it is asked for';
  button.click();
  await new Promise(r => setTimeout(r, 500));
  if (!shown()) return 'does not open';
  const links = [...bar.querySelectorAll('a[href]')]
    .filter(a => a.getBoundingClientRect().height);
  const right = Math.max(...links.map(a => a.getBoundingClientRect().right));
  const bars = document.querySelector('.quarto-secondary-nav').getBoundingClientRect().bottom;
  if (links[0].getBoundingClientRect().top < bars - 1) return 'hides its first entry';
  if (bar.getBoundingClientRect().bottom > innerHeight + 1) return 'ends below the screen';
  if (links.length < 10) return `shows ${links.length} links`;
  return right > innerWidth + 1 ? `ends at ${Math.round(right)}` : '';
})()"""
WORDS = ("temperature", "hard negative", "nDCG@10", "zzqqxx")  # the last is nowhere


class BrowserError(RuntimeError):
    """Chromium went away, or did not answer in time."""


class Browser:
    """One headless Chromium with one tab, driven through its pipes."""

    def __init__(self, program: str, profile: Path, timeout: float = 30):
        self.timeout, self.ids, self.events, self.rest = timeout, itertools.count(1), [], b""
        ours, theirs = os.pipe(), os.pipe()  # what we write, what it writes

        def place() -> None:
            high = [os.dup(ours[0]), os.dup(theirs[1])]  # so that 3 and 4 can be overwritten
            high = [os.dup(h) if h in (3, 4) else h for h in high]
            for source, target in zip(high, (3, 4), strict=True):
                os.dup2(source, target)

        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(
            command, preexec_fn=place, pass_fds=(3, 4), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.write, self.read = ours[1], theirs[0]
        for unused in (ours[0], theirs[1]):
            os.close(unused)
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _receive(self, until: float) -> dict:
        """The next message."""
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.read], [], [], max(0, until - time.monotonic()))
            data = os.read(self.read, 1 << 20) if ready else b""
            if not data:
                raise BrowserError("Chromium does not answer" if not ready else "Chromium ended")
            self.rest += data
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def call(self, method: str, **params: object) -> dict:
        """Send one command and wait for its answer; events on the way are kept."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + self.timeout
        while True:
            got = self._receive(until)
            if got.get("id") == number:
                if "error" in got:
                    raise BrowserError(f"{method}: {got['error']['message']}")
                return got["result"]
            self.events.append(got)

    def wait(self, method: str) -> None:
        """Wait for an event."""
        until = time.monotonic() + self.timeout
        while not any(e.get("method") == method for e in self.events):
            self.events.append(self._receive(until))

    def evaluate(self, code: str) -> object:
        """The value of an expression on the page; a promise is waited for."""
        got = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in got:
            raise BrowserError(told(got["exceptionDetails"]))
        return got["result"].get("value")

    def size(self, width: int, height: int = 900) -> None:
        """The size of the screen."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def open(self, url: str) -> list[str]:
        """Go to a page, wait until it has loaded, and return the errors on its console."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")
        self.evaluate("new Promise(r => requestAnimationFrame(() => setTimeout(r, 0)))")
        return errors(self.events)

    def shot(self, path: Path, whole: bool = False) -> None:
        """Keep a picture of the page."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        """End the browser."""
        with contextlib.suppress(BrowserError, OSError):
            self.session = None
            self.call("Browser.close")
        for pipe in (self.write, self.read):
            os.close(pipe)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def told(details: dict) -> str:
    """The first line of an exception."""
    text = details.get("exception", {}).get("description") or details.get("text", "")
    return text.splitlines()[0] if text else "an exception"


def errors(events: list[dict]) -> list[str]:
    """What the console of a page says is wrong."""
    found = []
    for event in events:
        method, params = event.get("method"), event.get("params", {})
        if method == "Runtime.exceptionThrown":
            found.append(told(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            said = (str(a.get("value", a.get("description", ""))) for a in params["args"])
            found.append(" ".join(said))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            entry = params["entry"]
            found.append(f"{entry['text']} {entry.get('url', '')}".strip())
        elif method == "Network.loadingFailed" and not params.get("canceled"):
            found.append(f"not loaded: {params.get('errorText', '')}")
    return found


def look(browser: Browser, url: str, shots: Path | None = None) -> list[str]:
    """Open a page, look at it at each width, and say what is wrong with it."""
    browser.size(WIDTHS["phone"])
    wrong = [f"console: {e}" for e in browser.open(url)]
    for place, width in WIDTHS.items():
        browser.size(width)
        seen = browser.evaluate(LOOK)
        if seen["width"] > seen["screen"]:
            named = "; ".join(seen["out"]) or "no element named"
            wrong.append(f"{seen['width']} px wide on a {place}: {named}")
        if shots:
            browser.shot(shots / f"{url.rpartition('/')[2].removesuffix('.html')}-{place}.png")
    wrong += [f"broken image {src}" for src in seen["broken"]]
    if seen["maths"]:
        wrong.append(f"{seen['maths']} formulas are not typeset")
    if not seen["title"]:
        wrong.append("no title")
    return wrong


def use(browser: Browser, url: str) -> list[str]:
    """Search for a few words, and open the sidebar on a phone."""
    browser.size(WIDTHS["phone"])
    wrong = [f"console: {e}" for e in browser.open(url)]
    for word in WORDS:
        found = browser.evaluate(SEARCH.replace("WORD", json.dumps(word)))
        if found is None or bool(found) == (word == WORDS[-1]):
            wrong.append(f"search for {word!r} finds {found}")
    browser.open(url)
    says = browser.evaluate(SIDEBAR)
    return wrong + ([f"the sidebar {says}"] if says else [])


@contextlib.contextmanager
def served(folder: Path):
    """Serve a folder on a free port of this machine; yields its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def program() -> str | None:
    """Chromium or Chrome on this machine: $CHROMIUM, or the first name on the path."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, NAMES)), None)


def check(root: Path, chosen: list[str], shots: Path | None, chromium: str) -> list[str]:
    """Everything that is wrong on the chosen pages (none: all of them)."""
    pages = chosen or sorted(p.relative_to(root).as_posix() for p in root.rglob("*.html"))
    wrong: list[str] = []
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="check-site-") as profile, served(root) as address:
        browser = Browser(chromium, Path(profile))
        try:
            for page in pages:
                wrong += [f"{page}: {w}" for w in look(browser, address + page, shots)]
            if not chosen:
                wrong += [f"index.html: {w}" for w in use(browser, address + "index.html")]
        finally:
            browser.close()
            time.sleep(0.2)  # the profile is written until the last process has gone
    return wrong


def main() -> int:
    """Print what is wrong, and the number of pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("site", type=Path, nargs="?", default=Path("_docs"))
    parser.add_argument("--pages", nargs="*", default=[], help="only these, such as index.html")
    parser.add_argument("--shots", type=Path, help="folder for pictures")
    parser.add_argument("--required", action="store_true", help="fail where there is no Chromium")
    args = parser.parse_args()
    root = args.site.resolve()
    if not (root / "index.html").exists():
        print(f"no built site in {root.name}: run `make docs`")
        return 1
    chromium = program()
    if not chromium:
        print("no Chromium here, so the pages were not opened: install it, or name it in $CHROMIUM")
        return int(args.required)
    started = time.monotonic()
    wrong = check(root, args.pages, args.shots, chromium)
    for line in wrong:
        print(line)
    n = len(args.pages) or sum(1 for _ in root.rglob("*.html"))
    print(f"{n} pages at {' and '.join(f'{w} px' for w in WIDTHS.values())}, "
          f"{time.monotonic() - started:.0f} s; {len(wrong)} wrong")  # fmt: skip
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
