"""Build the docs site into _docs: nbdev's own processors, then smalldocs. No Quarto, no network.

The steps: stage the notebooks with nbdev; name the pages (`00a_documents.ipynb` becomes
`documents`); point the links between notebooks, and to files of the repository, at pages of the
site; fold the source of each exported definition under its signature; write the API reference, the
sidebar in the order of the story, and the pages; and make the result independent of other hosts.

The order of the sidebar is the order of the links at the foot of each page: the front page, the
numbered notebooks, the how-to notebooks (`howto_*.ipynb`, in the order of `HOWTO`), the pages of
`ABOUT`, and the reference.
"""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import fastcore.docments
import nbdev.processors
import yaml
from nbdev.config import get_config, nbpath2html
from nbdev.doclinks import _build_modidx
from nbdev.quarto import nbdev_sidebar, refresh_quarto_yml
from nbdev.serve import proc_nbs
from write_readme import chapter_notebooks, title_and_subtitle

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "resume_contrastive"
DOCS, REPO = "https://docs.invalid/", "https://repo.invalid/"  # stand-ins, replaced in each page
PAGES = {"CONTRIBUTING.md": "contributing.md", "data/README.md": "data.md"}  # also on the site
# nbs/howto_NAME.ipynb, in this order
HOWTO = ("rank", "data", "recipes", "encoder", "gpus", "backend", "judge")
ABOUT = ("glossary", "limits")  # notebooks of prose, before the pages above
CDN = re.compile(r"https://cdn\.jsdelivr\.net/npm/katex@[\d.]+/dist")
WEB_FONT = re.compile(r"@import url\([\"']?https?://fonts\.[^)]*\);?")
LEAD = re.compile(r"\A\s*# .+\n+(?:> .*\n?)*(?:- (?:\w|-)+:.*\n)*")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^)\s#]*)(#[^)\s]*)?\)")
PRIVATE = re.compile(rf"\[([^\]]+)\]\({re.escape(DOCS)}\w+\.html#_\w+\)")
# `head` or `query` is more often an option or a preset than the function of that name
WORD = re.compile(rf"\[(`[a-z]+`)\]\({re.escape(DOCS)}[^)\s]*\)")
METHOD = re.compile(rf"({re.escape(DOCS)}\w+\.html#\w+)\.\w+")
RULE = re.compile(r"\|(?:\s*:?-+:?\s*\|)+\s*$")  # the line under the head of a table
CAPTION = re.compile(r"\*([^*].*[^*])\*")  # what `plots.caption` displays
SENTENCE = re.compile(r".+?[.!?](?=\s+[A-Z]|$)", re.S)
SOURCE_LINK = re.compile(r"\[source\]\([^)]*\)\{[^}]*\}\s*")


def repository_url() -> str:
    """Where this checkout comes from, or '' when it doesn't say."""
    if os.environ.get("GITHUB_REPOSITORY"):
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{os.environ['GITHUB_REPOSITORY']}"
    command = ["git", "config", "--get", "remote.origin.url"]
    url = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    url = re.sub(r"^(?:ssh://)?git@([^:/]+)[:/]", r"https://\1/", url).removesuffix(".git")
    return re.sub(r"//[^/@]*@", "//", url) if url.startswith("https://") else ""


# ---- staging


def stage() -> Path:
    """Run nbdev's processors into `_proc`, under the names of the pages."""
    os.chdir(ROOT)
    config = get_config()
    refresh_quarto_yml()
    _build_modidx(skip_exists=True)
    nbdev_sidebar.__wrapped__(force=True)
    point_lookup_at_stand_ins()
    run_only_what_is_shown()
    proc = Path(proc_nbs(n_workers=0, force=True))
    for path in sorted(proc.glob("*.ipynb")):
        path.rename(proc / page_name(path.name))
    for source, page in PAGES.items():
        if (ROOT / source).exists():
            stage_markdown(ROOT / source, proc / page)
    if config.doc_path.name != "_docs":
        raise ValueError(f"doc_path must be _docs, got {config.doc_path.name}")
    return proc


def run_only_what_is_shown() -> None:
    """Signatures need the exported cells and nothing else; the types may be for checkers only."""
    told = nbdev.processors._do_eval

    def needed(cell) -> bool:
        shown = {"export", "exports", "exporti"} & set(cell.directives_)
        return bool(shown or nbdev.processors._is_showdoc(cell)) and bool(told(cell))

    nbdev.processors._do_eval = needed
    evaluated = fastcore.docments.signature

    def signature(function, eval_str: bool = False):
        try:
            return evaluated(function, eval_str=eval_str)
        except NameError:
            return evaluated(function)

    fastcore.docments.signature = signature


def point_lookup_at_stand_ins() -> None:
    """Let nbdev's links for names in backticks start with the stand-ins."""
    from importlib import import_module

    settings = import_module(f"{PACKAGE}._modidx").d["settings"]
    settings.update(doc_host=DOCS.rstrip("/"), doc_baseurl="/", git_url=REPO.rstrip("/"))


def page_name(notebook: str) -> str:
    """`00a_documents.ipynb` -> `documents.ipynb`, as nbdev names its pages."""
    return nbpath2html(Path(notebook)).with_suffix(".ipynb").name


def stage_markdown(source: Path, dest: Path) -> None:
    """Stage a markdown file of the repository as a page: its H1 becomes the title."""
    text = source.read_text(encoding="utf-8")
    title = re.match(r"# (.+)\n", text)
    if not title:
        raise ValueError(f"{source.relative_to(ROOT)}: the first line must be '# Title'")
    body = text[title.end() :].lstrip()
    dest.write_text(f"---\ntitle: {json.dumps(title[1])}\n---\n\n{body}", encoding="utf-8")


# ---- links


class Links:
    """Turns links as they stand in the repository into links of the site."""

    def __init__(self, repository: str):
        self.repository = repository

    def __call__(self, text: str, folder: str = "nbs") -> str:
        """Rewrite the links of one page that lies in `folder` in the repository."""
        if not self.repository:
            text = SOURCE_LINK.sub("", text)
        text = PRIVATE.sub(r"\1", text)  # a name with a leading _ has no entry
        text = WORD.sub(r"\1", text)
        text = METHOD.sub(r"\1", text)  # a method is shown with its class
        text = text.replace(REPO, self.repository + "/").replace(DOCS, "")
        return LINK.sub(lambda m: self.link(folder, *m.groups()), text)

    def link(self, folder: str, bang: str, text: str, target: str, anchor: str | None) -> str:
        """One link: to a page of the site, or to the repository, or else only its text."""
        kept = f"{bang}[{text}]({target}{anchor or ''})"
        if bang or target.endswith(".html"):
            return kept
        path = os.path.normpath(os.path.join(folder, target)).replace(os.sep, "/")
        page = None
        if path.startswith("nbs/") and path.endswith(".ipynb"):
            page = page_name(Path(path).name)
        elif path == "README.md":
            page = "index.ipynb"
        elif path in PAGES and (ROOT / path).exists():
            page = PAGES[path]
        if page:
            return f"[{text}]({page}{anchor or ''})"
        if path.startswith("nbs/"):
            return kept
        if self.repository:
            return f"[{text}]({self.repository}/blob/main/{path})"
        return text


def restore_lead(notebook: dict, source: Path) -> None:
    """Put back what the first cell says under its title and subtitle: nbdev drops it."""
    first = json.loads(source.read_text(encoding="utf-8"))["cells"][0]
    lead = LEAD.sub("", "".join(first["source"])).strip()
    if lead:
        at = 1 if notebook["cells"][0]["cell_type"] == "raw" else 0
        notebook["cells"].insert(at, {"cell_type": "markdown", "metadata": {}, "source": lead})


def tables_from_prints(notebook: dict) -> None:
    """Show a printed markdown table as a table."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            lines = "".join(output.get("text", "")).strip().splitlines()
            if output["output_type"] == "stream" and len(lines) > 2 and RULE.match(lines[1]) \
                    and all(line.startswith("|") for line in lines):
                table = "\n".join(lines)
                output.clear()
                output |= {"output_type": "display_data", "metadata": {},
                           "data": {"text/markdown": table}}  # fmt: skip


def caption_of(cell: dict) -> str:
    """The caption that a code cell displays, or ''."""
    for output in cell.get("outputs", []):
        told = "".join(output.get("data", {}).get("text/markdown", "")).strip()
        if found := CAPTION.fullmatch(" ".join(told.split())):
            return found[1]
    return ""


def describe_figures(notebook: dict) -> None:
    """Say in the alt text of each figure what it is and what it shows.

    That is the heading above, and the first sentence of the caption, which stands in the cell of
    the figure or in the next one.
    """
    heading, cells = "", notebook["cells"]
    for cell, after in zip(cells, [*cells[1:], {}], strict=True):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            heading = ([heading, *re.findall(r"^#+ +(.+?)(?: *\{[^}]*\})?$", source, re.M)])[-1]
        drawn = [o for o in cell.get("outputs", []) if "image/png" in o.get("data", {})]
        if cell["cell_type"] != "code" or not drawn:
            continue
        told = caption_of(cell) or (caption_of(after) if after.get("outputs") else "")
        first = SENTENCE.match(told)
        words = re.sub(r"[*`$]|\]\([^)]*\)|\[", "", f"{heading}: {first[0] if first else told}")
        alt = json.dumps(f"Figure. {words.strip().rstrip(':')}", ensure_ascii=False)
        cell["source"] = f"#| fig-alt: {alt}\n#| fig-align: left\n{source}"


def each_text(notebook: dict, change) -> None:
    """Apply `change` to the prose of a staged notebook, and to its markdown outputs."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "raw":  # the front matter: smalldocs names the page by its file
            cell["source"] = re.sub(r"^output-file:.*\n?", "", "".join(cell["source"]), flags=re.M)
        if cell["cell_type"] == "markdown":
            cell["source"] = change("".join(cell["source"]))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                data["text/markdown"] = change("".join(data["text/markdown"]))


# ---- the source under each signature


def definitions() -> dict[str, str]:
    """The source of each function and class of the package, decorators too, by name."""
    found = {}
    for path in sorted((ROOT / PACKAGE).glob("[!_]*.py")):
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def fold_source(notebook: dict, sources: dict[str, str]) -> None:
    """Put a folded block with the code behind each signature that nbdev shows."""
    for cell in notebook["cells"]:
        call = re.search(r"^show_doc\((\w+)\)", "".join(cell["source"]), re.M)
        if cell["cell_type"] != "code" or not call or call[1] not in sources:
            continue
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "text/markdown" in data:
                code = f"```python\n{sources[call[1]]}\n```"
                fold = f"<details class='source'>\n<summary>Code</summary>\n\n{code}\n\n</details>"
                text = "".join(data["text/markdown"])
                data["text/markdown"] = re.sub(r"\A---\s+", "", text) + f"\n\n{fold}"


# ---- configuration


def chapters() -> list[tuple[str, str, str]]:
    """(label, page, title) of each chapter, in the order of the story."""
    found = chapter_notebooks(ROOT / "nbs")
    return [(label, page_name(p.name), title_and_subtitle(p)[0]) for label, p in found]


def modules() -> dict[str, str]:
    """Each public module, in the order of the story, with a link to its chapter."""
    there = {p.stem for p in (ROOT / PACKAGE).glob("[!_]*.py")}
    told = {}
    for label, path in chapter_notebooks(ROOT / "nbs"):
        name = re.search(r"#\|\s*default_exp\s+(\w+)", path.read_text(encoding="utf-8"))
        if name and name[1] in there:
            title = title_and_subtitle(path)[0]
            told.setdefault(name[1], f"[{label} · {title}](../{page_name(path.name)})")
    return told | dict.fromkeys(sorted(there - set(told)), "")


def write_reference(proc: Path) -> None:
    """The landing page of the API reference, and a link from each module to its chapter."""
    rows = []
    for name, chapter in modules().items():
        page = proc / "api" / f"{name}.qmd"
        if chapter and page.exists():
            head, _, body = page.read_text(encoding="utf-8").partition("\n---\n")
            page.write_text(f"{head}\n---\n\nExplained in {chapter}.\n{body}", encoding="utf-8")
        text = (ROOT / PACKAGE / f"{name}.py").read_text(encoding="utf-8")
        summary = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        rows.append(f"| [`{name}`]({name}.qmd) | {summary} | {chapter} |")
    lead = "Each module is exported by the notebook that explains it."
    columns = "| module | what it holds | chapter |\n|---|---|---|\n"
    head = f"---\ntitle: Reference\n---\n\n{lead}\n\n{columns}"
    (proc / "api").mkdir(exist_ok=True)
    (proc / "api" / "index.qmd").write_text(head + "\n".join(rows) + "\n", encoding="utf-8")


def story() -> list[dict]:
    """The chapters as entries of the sidebar; a numbered page folds its companions under it."""
    entries: list[dict] = []
    for label, page, title in chapters():
        entry = {"text": f"{label} · {title}", "href": page}
        if not label[-1].isalpha():
            entries.append(entry)
            continue
        parent = entries[-1]
        if "contents" not in parent:
            parent["section"] = parent.pop("text")
        parent.setdefault("contents", []).append(entry)
    return entries


def check_names(notebooks: list[str], names: list[str]) -> None:
    """A number isn't part of a page's name: two notebooks may ask for one page, and one be lost."""
    pages: dict[str, str] = {}
    for notebook in sorted(notebooks):
        page = page_name(notebook)
        if page in pages:
            raise ValueError(f"{pages[page]} and {notebook} would be one page: rename one of them.")
        pages[page] = notebook
    if "index" in names:
        raise ValueError("a module 'index' would take the page of the reference: rename it.")


def write_config(proc: Path, repository: str) -> None:
    """The sidebar, and nbdev's part of the configuration."""
    named = {p.stem for p in (ROOT / "nbs").glob("[!_]*.ipynb") if not p.name[0].isdigit()}
    howto, about = [f"howto_{name}" for name in HOWTO], list(ABOUT)
    if lost := named ^ {"index", *howto, *about}:
        raise ValueError(f"HOWTO and ABOUT of build_docs.py and nbs/ differ: {sorted(lost)}")
    check_names([p.name for p in (ROOT / "nbs").glob("[!_]*.ipynb")], list(modules()))
    reference = [{"text": m, "href": f"api/{m}.qmd"} for m in modules()]
    pages = [f"{name}.ipynb" for name in about] + [p for p in PAGES.values() if (proc / p).exists()]
    contents = [
        {"text": "Front page", "href": "index.ipynb"},
        {"section": "Chapters", "contents": story()},
        {"section": "How to", "contents": [f"{name}.ipynb" for name in howto]},
        {"section": "The project", "contents": pages},
        {"section": "Reference", "href": "api/index.qmd", "contents": reference},
    ]
    style = {"style": "docked", "collapse-level": 2}
    sidebar = {"website": {"sidebar": {**style, "contents": contents}}}
    write_yaml(proc / "sidebar.yml", sidebar)
    nbdev = yaml.safe_load((proc / "nbdev.yml").read_text(encoding="utf-8"))
    website = {"title": PACKAGE}
    if repository:
        website |= {"repo-url": repository, "repo-branch": "main"}
    nbdev.pop("format-links", None)
    write_yaml(proc / "nbdev.yml", nbdev | {"website": website})
    quarto = yaml.safe_load((proc / "_quarto.yml").read_text(encoding="utf-8"))
    for entry in quarto["website"]["navbar"]["left"]:
        if entry["href"].endswith(".ipynb"):
            entry["href"] = page_name(entry["href"])
    if repository:
        link = {"text": "Source", "icon": "github", "href": repository}
        quarto["website"]["navbar"].setdefault("right", []).append(link)
        quarto["smalldocs"]["api"]["source"] = f"{repository}/blob/main"
    write_yaml(proc / "_quarto.yml", quarto)


def drop_api_settings(proc: Path) -> None:
    """Forget the API settings, so that rendering doesn't write the pages again over our own."""
    quarto = yaml.safe_load((proc / "_quarto.yml").read_text(encoding="utf-8"))
    del quarto["smalldocs"]["api"]
    quarto["smalldocs"]["linkify"] = True  # names in backticks link to their entries all the same
    write_yaml(proc / "_quarto.yml", quarto)


def write_yaml(path: Path, value: object) -> None:
    """One YAML file, keys in the order given."""
    path.write_text(yaml.dump(value, sort_keys=False, allow_unicode=True), encoding="utf-8")


# ---- rendering


def smalldocs(*arguments: str | Path) -> None:
    """Run smalldocs of this environment; stop when it fails."""
    command = Path(sysconfig.get_path("scripts")) / "smalldocs"
    subprocess.run([command, *arguments], check=True)


def free_of_other_hosts(site: Path) -> None:
    """Point the maths at the copy of KaTeX on the site, and drop the themes' web fonts."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        local = "../" * (len(page.relative_to(site).parts) - 1) + "assets/katex"
        if CDN.search(text):
            page.write_text(CDN.sub(local, text), encoding="utf-8")
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        if WEB_FONT.search(text):
            style.write_text(WEB_FONT.sub("", text), encoding="utf-8")


def main() -> int:
    """Build the site and put it in place of the last one."""
    repository = repository_url()
    proc = stage()
    links, sources = Links(repository), definitions()
    for origin in sorted((ROOT / "nbs").glob("[!_]*.ipynb")):
        path = proc / page_name(origin.name)
        notebook = json.loads(path.read_text(encoding="utf-8"))
        restore_lead(notebook, origin)
        tables_from_prints(notebook)
        describe_figures(notebook)
        each_text(notebook, links)
        fold_source(notebook, sources)
        path.write_text(json.dumps(notebook, ensure_ascii=False), encoding="utf-8")
    for source, page in PAGES.items():
        if (proc / page).exists():
            text = (proc / page).read_text(encoding="utf-8")
            changed = links(text, str(Path(source).parent))
            (proc / page).write_text(changed, encoding="utf-8")
    write_config(proc, repository)
    smalldocs("api", "build", "--dir", proc)
    drop_api_settings(proc)
    write_reference(proc)
    smalldocs("render", "--strict", proc)
    free_of_other_hosts(proc / "_docs")
    shutil.rmtree(ROOT / "_docs", ignore_errors=True)
    shutil.move(proc / "_docs", ROOT / "_docs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
