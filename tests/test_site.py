"""The pages say what is true: commands parse, terms are linked, each page has its neighbours."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from resume_contrastive.cli import app, apply_settings

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / "nbs"
PAGES = sorted([*NBS.glob("howto_*.ipynb"), NBS / "glossary.ipynb", NBS / "limits.ipynb"])
page = pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
LATER = ("examples/backend",)  # a folder with a task of its own: checked once it is there
FENCE = re.compile(r"```bash\n(.*?)```", re.S)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def script(name: str):
    """A script of the repository as a module."""
    if str(ROOT / "scripts") not in sys.path:
        sys.path.insert(0, str(ROOT / "scripts"))
    place = next(p for p in (ROOT / "scripts", ROOT / "examples") if (p / f"{name}.py").exists())
    spec = importlib.util.spec_from_file_location(name, place / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(path: Path) -> str:
    """The markdown of a notebook."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def shell(path: Path) -> list[str]:
    """The lines of shell that a notebook shows or runs, each whole."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    blocks = FENCE.findall(prose(path))
    blocks += [c.partition("\n")[2] for c in code if c.startswith("%%bash")]
    text = "\n".join(blocks).replace("\\\n", " ")
    inline = re.findall(r"`(resume-contrastive [a-z][^`]*)`", prose(path))
    return [line.strip() for line in [*text.splitlines(), *inline] if line.strip()]


def commands(program: str) -> list:
    """(page, arguments) of each call of a program on the pages."""
    found = []
    for path in [*PAGES, NBS / "index.ipynb"]:
        for line in shell(path):
            words = shlex.split(line.partition("||")[0], comments=True)
            if program in words:
                found.append(pytest.param(words[words.index(program) + 1 :],
                                          id=f"{path.stem}: {line[:70]}"))  # fmt: skip
    return found


# ---------------------------------------------------------------- commands


@pytest.mark.parametrize("words", commands("resume-contrastive"))
def test_each_command_of_the_pages_parses(words):
    import typer

    from resume_contrastive.pipeline import PipelineConfig

    group = typer.main.get_command(app)
    if words[0] in ("--help", "-h"):
        return
    verb = group.get_command(None, words[0])
    assert verb, f"there is no verb {words[0]}"
    if "--help" in words:
        return
    context = verb.make_context(words[0], list(words[1:]))  # raises on an option that isn't there
    settings = [s for s in context.params.get("settings") or () if "NAME" not in s]
    apply_settings(PipelineConfig(), [s for s in settings if "data.generate" not in s])


def test_a_wrong_command_would_be_found():
    import typer

    group = typer.main.get_command(app)
    with pytest.raises(Exception, match=r"(?i)no.such"):
        group.get_command(None, "rank").make_context("rank", ["a", "b", "--no-such", "1"])


@pytest.mark.parametrize("words", commands("examples/several_gpus.py"))
def test_each_call_of_the_script_parses(words):
    module = script("several_gpus")
    arguments = module.arguments(words)
    from resume_contrastive.training import PRESETS, TrainConfig

    assert module.PRESETS == tuple(PRESETS)
    assert isinstance(module.settings(arguments), TrainConfig)


def test_two_notebooks_never_share_a_page():
    module = script("build_docs")
    module.check_names([p.name for p in NBS.glob("[!_]*.ipynb")], list(module.modules()))
    with pytest.raises(ValueError, match=r"09k_index\.ipynb and index\.ipynb would be one page"):
        module.check_names(["index.ipynb", "00_pairs.ipynb", "09k_index.ipynb"], [])
    with pytest.raises(ValueError, match="would take the page of the reference"):
        module.check_names([], ["index"])


@page
def test_make_targets_are_there(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    asked = {line.split()[1] for line in shell(path) if line.startswith("make ")}
    assert asked <= targets


@page
def test_settings_in_the_prose_exist(path):
    from resume_contrastive.pipeline import PipelineConfig
    from resume_contrastive.store import plain

    config = plain(PipelineConfig())
    named = re.findall(r"`(?:--set )?((?:data|encoder|train|mining)\.[a-z_.]+)(?:=[^`]*)?`",
                       prose(path))  # fmt: skip
    for name in named:
        place = config
        for part in name.split("."):
            assert part in place, f"there is no setting {name}"
            place = place[part]


# ---------------------------------------------------------------- links


@page
def test_links_to_files_and_pages_resolve(path):
    for link in LINK.findall(prose(path)):
        target = link.partition("#")[0]
        if re.match(r"\w+:", link) or not target:
            continue
        place = (NBS / target).resolve()
        if place.relative_to(ROOT.resolve()).as_posix() in LATER and not place.exists():
            continue
        assert place.exists(), f"{path.name} links to {link}"


def terms() -> dict[str, str]:
    """Each term of the glossary with its entry."""
    parts = re.split(r"^### (.+)$", prose(NBS / "glossary.ipynb"), flags=re.M)[1:]
    entries = zip(parts[::2], parts[1::2], strict=True)
    return {term: re.split(r"^## ", entry, flags=re.M)[0].strip() for term, entry in entries}


def test_each_term_is_explained_in_a_sentence_and_linked_to_its_page():
    found = terms()
    assert len(found) >= 70
    for term, entry in found.items():
        assert LINK.findall(entry)[-1].endswith(".ipynb"), f"{term} names no page"
        assert 5 <= len(LINK.sub("", entry).split()) <= 60, term


def test_links_inside_the_glossary_point_at_terms():
    slugs = {re.sub(r"[^\w-]", "", t.lower().replace(" ", "-")) for t in terms()}
    inside = {m for m in LINK.findall(prose(NBS / "glossary.ipynb")) if m.startswith("#")}
    assert inside and {m[1:] for m in inside} <= slugs


def test_the_words_that_matter_are_in_the_glossary():
    words = ("Anchor", "Positive", "Hard negative", "In-batch negative", "Temperature", "Window",
             "Runner-up mining", "Qrels", "nDCG@10", "MAP", "MRR", "Own-skills pair", "Leak",
             "Counterfactual triple", "InfoNCE", "Zero-shot", "Calibration")  # fmt: skip
    assert set(words) <= set(terms())


def test_limits_claims_nothing_that_was_not_measured():
    text = prose(NBS / "limits.ipynb").lower()
    for word in ("is fair", "unbiased", "bias-free", "is compliant", "complies with"):
        assert word not in text
    for needed in ("no legal advice", "a person decides", "name swaps", "annex iii", "144"):
        assert needed in text


# ---------------------------------------------------------------- what the builder changes


def cell(kind: str, source: str, *outputs: dict) -> dict:
    """A cell; each output is the `data` of a display."""
    shown = [{"output_type": "display_data", "data": data} for data in outputs]
    return {"cell_type": kind, "source": source} | ({"outputs": shown} if kind == "code" else {})


def test_each_figure_says_what_it_is_and_what_it_shows():
    build = script("build_docs")
    picture = {"image/png": "iVBO"}
    book = {"cells": [
        cell("markdown", "text\n\n## Seen `so` far {#x}\n\nmore"),
        cell("code", "plot()", picture),
        cell("code", "caption(x)", {"text/markdown": ["*A gain of 0.12, e.g. *here*. ", "More.*"]}),
        cell("code", "plot()", picture, {"text/markdown": "| a |\n|---|"}),
        cell("code", "table()", {"text/markdown": "| a |"}),
    ]}  # fmt: skip
    build.describe_figures(book)
    first, _, second, table = [c["source"] for c in book["cells"][1:]]
    assert first.splitlines()[0] == (
        '#| fig-alt: "Figure. Seen so far: A gain of 0.12, e.g. here."')
    assert second.splitlines()[0] == '#| fig-alt: "Figure. Seen so far"'
    assert first.endswith("\nplot()") and table == "table()"


def test_a_plain_word_in_backticks_is_no_link_and_a_name_is_one():
    build = script("build_docs")
    link = build.Links("")
    assert link(f"[`head`]({build.DOCS}explain.html#head)") == "`head`"
    assert link(f"[`mine_round`]({build.DOCS}rounds.html#mine_round)") == (
        "[`mine_round`](rounds.html#mine_round)")
    assert link("[`head`](06_training.ipynb)") == "[`head`](training.ipynb)"


def test_no_notebook_stores_noise():
    noise = re.compile(r"^<(?:matplotlib|contextlib)|^\[<|^\[?Text\(|\d%\||Warning: ", re.M)
    for path in sorted(NBS.glob("*.ipynb")):
        for c in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in c.get("outputs", []):
                data = output.get("data", {})
                if len(data) > 1:  # the page shows the richer kind
                    continue
                text = "".join(output.get("text", data.get("text/plain", "")))
                assert not (found := noise.search(text)), f"{path.name} {c['id']}: {found[0]}"


# ---------------------------------------------------------------- order


def test_the_sidebar_holds_every_page_once_in_the_order_of_the_story():
    build = script("build_docs")
    listed = []

    def walk(entries):
        for entry in entries:
            listed.append(entry["href"])
            walk(entry.get("contents", ()))

    walk(build.story())
    numbered = sorted(p.name for p in NBS.glob("[0-9]*.ipynb"))
    assert listed == [build.page_name(name) for name in numbered]
    others = {p.stem for p in NBS.glob("[!_0-9]*.ipynb")}
    assert others == {"index", *build.ABOUT, *(f"howto_{n}" for n in build.HOWTO)}


@pytest.fixture(scope="module")
def site():
    """The built site; skipped where it is missing or older than the notebooks."""
    index = ROOT / "_docs" / "index.html"
    if not index.exists():
        pytest.skip("no built site: run `make docs`")
    newest = max(p.stat().st_mtime for p in NBS.glob("*.ipynb"))
    if index.stat().st_mtime < newest:
        pytest.skip("the built site is older than the notebooks: run `make docs`")
    return index.parent


def test_previous_and_next_link_all_pages_in_one_chain(site):
    def neighbour(path, side):
        text = path.read_text(encoding="utf-8")
        link = re.search(rf'nav-page-{side}"><a href="([^"]+)"', text)
        return (path.parent / link[1]).resolve() if link else None

    chain, at = [], (site / "index.html").resolve()
    assert neighbour(at, "previous") is None
    while at:
        assert at not in chain
        after = neighbour(at, "next")
        if after:
            assert neighbour(after, "previous") == at
        chain.append(at)
        at = after
    assert set(chain) == {p.resolve() for p in site.rglob("*.html")}


def test_every_glossary_term_has_its_place_on_the_page(site):
    ids = set(re.findall(r'id="([^"]+)"', (site / "glossary.html").read_text(encoding="utf-8")))
    for term in terms():
        assert re.sub(r"[^\w-]", "", term.lower().replace(" ", "-")) in ids, term


def test_every_figure_of_the_site_has_alt_text(site):
    figures = [m for p in sorted(site.glob("*.html")) for m in re.findall(
        r'<img [^>]{0,900}?src="data:image/png', p.read_text(encoding="utf-8"))]  # fmt: skip
    assert figures and all(m.startswith('<img alt="Figure. ') for m in figures)


# ---------------------------------------------------------------- the browser


def test_without_chromium_the_check_says_so(tmp_path):
    (tmp_path / "index.html").write_text("<title>a</title>")
    env = os.environ | {"PATH": "", "CHROMIUM": "no-such-browser"}
    command = [sys.executable, str(ROOT / "scripts" / "check_site.py"), str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "no Chromium here" in done.stdout
    done = subprocess.run([*command, "--required"], env=env, capture_output=True, text=True)
    assert done.returncode == 1


def test_the_browser_sees_what_is_wrong(tmp_path):
    check = script("check_site")
    chromium = check.program()
    if not chromium:
        pytest.skip("no Chromium here")
    head = "<!doctype html><meta name='viewport' content='width=device-width'><title>t</title>"
    (tmp_path / "good.html").write_text(head + "<link rel='icon' href='data:,'><p>text</p>")
    (tmp_path / "bad.html").write_text(
        head + "<link rel='icon' href='data:,'><img src='gone.png'>"
        "<div style='width:700px'>wide</div><script>missing()</script>"
    )
    wrong = "\n".join(check.check(tmp_path, ["good.html", "bad.html"], None, chromium))
    assert "good.html" not in wrong
    for sign in ("missing is not defined", "wide on a phone: div ends", "image gone.png", "404"):
        assert sign in wrong, wrong
