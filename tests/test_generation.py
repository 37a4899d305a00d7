"""Tasks for a model: strict checks, honest sources, and a way on without an answer."""

import pytest

from resume_contrastive.augmentation import append_hyre
from resume_contrastive.composer import Profile
from resume_contrastive.documents import Document, ReadError
from resume_contrastive.generation import (
    VERSIONS,
    DryRun,
    changed_facts,
    hypothetical_resumes,
    hyre_prompt,
    paraphrase_prompt,
    paraphrased,
    pieces,
    reference_job,
    reference_job_prompt,
    with_hyre,
    written_jobs,
)
from resume_contrastive.llm import LLMClient, LLMConfig, Prompt
from resume_contrastive.splits import group_documents, is_generated, make_splits, origins

JOB = Document(id="j", kind="job", title="Clerk", category="ADMIN",
               sections={"requirements": "- Excel\n- SAP\n- Payroll"})
GOOD = ("Summary\n" + "I kept the files of a large office in order and answered the mail. " * 5
        + "\nExperience\nRan payroll in SAP and Excel.\nSkills\nSAP, Excel, Payroll")
ADVERT = ("Ledger Clerk\nResponsibilities\n- Keep ledgers\n- Pay bills\n- Close months\n"
          "Requirements\n- Excel skills\n- Two years\n- Tidy files")
TEXT = ("Kept the books of Umberline Foods in SAP for two years, from May 2010 to 2012. Holds a "
        "diploma in bookkeeping. No experience of payroll, and cut the costs by 12 %.")


class Fake(LLMClient):
    """A client whose answers come from a function; checks them as the real one does."""

    def __init__(self, reply, folder):
        super().__init__(LLMConfig(model="m"), folder)
        self.reply, self.asked = reply, []

    def complete(self, prompts):
        self.asked += prompts
        texts = [self.reply(p) for p in prompts]
        return [t if t and not (p.check and p.check(t)) else None
                for p, t in zip(prompts, texts, strict=True)]


def test_hyre_marks_its_source_and_falls_back_to_the_plain_job(tmp_path):
    other = Document(id="k", kind="job", title="Cook", sections={"about": "Cook meals."})
    client = Fake(lambda p: GOOD if "Clerk" in p.user else "no", tmp_path)
    assert with_hyre([JOB, other]) == [JOB, other]
    first, second = with_hyre([JOB, other], client)
    assert second == other and first.id == "j" and first.source.endswith("+hyre")
    assert "[Example resume]" in first.text and not is_generated(first)
    made = hypothetical_resumes([JOB, other], client)
    assert list(made) == ["j"] and made["j"].source == "hyre:j" and is_generated(made["j"])
    assert first == append_hyre(JOB, made["j"].text)
    assert with_hyre([JOB], client, ask=False) == [JOB]  # nothing is in the cache


@pytest.mark.parametrize(("answer", "problem"), [
    ("short", "the resume has 1 words"), (GOOD.replace("Experience\n", ""), "the section exper"),
    ("word " * 1000, "the resume has 1000 words"),
    (GOOD.replace("SAP", "it").replace("ayroll", "ay"), "only 1 of 3 required skills are shown: "),
    (GOOD.replace("Ran payroll in SAP and Excel", "No experience of SAP or payroll").replace(
        "SAP, Excel, Payroll", "Excel"), "only 1 of 3 required skills"),
])
def test_a_resume_that_does_not_fit_is_refused(answer, problem):
    assert hyre_prompt(JOB).check(answer).startswith(problem)
    assert hyre_prompt(JOB).check(GOOD) == ""


@pytest.mark.parametrize(("old", "new", "problem"), [
    ("2010", "2011", "a number was lost: 2010"), ("12 %", "12.5 %", "a number was lost"),
    ("two", "three", "a number word was lost: two"), ("May", "June", "a month was lost"),
    ("diploma", "degree", "a degree was lost"), ("diploma", "bachelor", "a degree was lost"),
    ("in SAP ", "", "a skill was lost"), ("in SAP", "in SAP and Excel", "a skill was lost, added"),
    ("No experience of", "Experience of", "a skill was lost, added or turned around: Payroll"),
    ("Umberline Foods", "the company", "a name was lost: Umberline, Foods"),
    ("Umberline Foods", "Umberline Foods Berlin", "a name was added: Berlin"),
    ("cut the costs", "cut the costs in 2 places", "a number was added: 2"),
])
def test_a_paraphrase_that_changes_a_fact_is_refused(old, new, problem):
    assert changed_facts(TEXT, TEXT.replace(old, new)).startswith(problem)


def test_a_paraphrase_that_keeps_its_facts_is_taken():
    after = ("From May 2010 to 2012 looked after SAP books for two years at Umberline Foods. Has a "
             "bookkeeping diploma. No experience of payroll, and brought costs down by 12 %.")
    assert changed_facts(TEXT, after) == "" and paraphrase_prompt(TEXT).check(after) == ""
    assert "times the words" in paraphrase_prompt(TEXT).check(f"{after} {after} {after}")
    assert "times the words" in paraphrase_prompt(TEXT).check("Kept.")


def test_real_texts_are_equal_to_themselves(resumes, jobs):
    for d in [*resumes[::9], *jobs[::9]]:
        for text in d.sections.values():
            assert changed_facts(text, text, d.kind) == ""


def test_pieces_are_the_text():
    text = "\n".join(["one two three"] * 50 + ["", "word " * 300, ""])
    assert "\n".join(pieces(text, most=20)) == text
    assert max(len(p.split()) for p in pieces(text, most=20)[:-2]) <= 21
    assert pieces("") == [""]


def test_a_copy_is_marked_and_a_refused_piece_stays(tmp_path):
    lines = [f"{TEXT} Office {n}. " * 5 for n in range(3)]
    resume = Document(id="r", kind="resume", sections={
        "experience": "\n".join(lines), "skills": "SAP", "summary": "Too short to change"})

    def reply(p):
        said = p.user.replace("Kept the books", "Did the books")
        return said.replace("12 %", "a lot") if "Office 1" in said else said

    copy, = paraphrased([resume], Fake(reply, tmp_path))
    assert (copy.id, copy.source, copy.kind) == ("r~paraphrase", "paraphrase:r", "resume")
    new = copy.sections["experience"].split("\n")
    assert "Did the books" in new[0] and new[1] == lines[1] and "Did the books" in new[2]
    assert {k: v for k, v in copy.sections.items() if k != "experience"} == {
        k: v for k, v in resume.sections.items() if k != "experience"}
    assert paraphrased([resume], None) == []
    assert paraphrased([resume], Fake(lambda p: None, tmp_path)) == []


def test_reference_jobs_name_their_sources_and_the_composer_fills_up(tmp_path):
    resumes = [Document(id=f"r{i}", kind="resume", title="Clerk", category="ADMIN",
                        sections={"summary": f"Filed papers and ledgers {i}"}) for i in range(7)]
    profile = Profile(code="1", title="Clerks", alternate_titles=("Clerk",),
                      tasks=("File papers and ledgers.",), technologies=("Excel",))
    other = Profile(code="2", title="Cooks", tasks=("Cook meals.",))
    client = Fake(lambda p: ADVERT, tmp_path)
    made = written_jobs(resumes, ["ADMIN"], client=client, profiles=[other, profile], number=2)
    assert [d.id for d in made] == ["synthetic:ADMIN:0", "synthetic:ADMIN:1"]
    sources = [o for d in made for o in origins(d)]
    assert len(sources) == len(set(sources)) == 6 and all(k == "resume" for k, _ in sources)
    assert {d.source.partition(":")[0] for d in made} == {"reference-job"}
    half = Fake(lambda p: "no" if "ledgers 0" in p.user or "ledgers 1" in p.user else ADVERT,
                tmp_path)
    mixed = written_jobs(resumes, ["ADMIN"], client=half, profiles=[other, profile], number=2)
    assert [d.source.partition(":")[0] for d in mixed] == ["reference-job", "profile"]
    offline = written_jobs(resumes, ["ADMIN"], profiles=[other, profile], number=2)
    assert [d.source for d in offline] == ["profile:1"]
    assert offline == written_jobs(resumes, ["ADMIN", "ADMIN"], profiles=[other, profile], number=2)
    assert written_jobs(resumes, ["ADMIN"]) == [] and written_jobs(resumes, []) == []


def test_a_reference_job_is_checked(resumes):
    check = reference_job_prompt(resumes[:2]).check
    assert check(ADVERT) == ""
    assert "first line" in check("A title of far more words than an advert needs\n" + ADVERT)
    assert check(ADVERT.replace("- Pay bills\n", "")) == (
        "responsibilities must be a heading with five to eight bullets, got 2")
    line = max(resumes[0].sections["experience"].split("\n"), key=len)
    assert check(f"{ADVERT}\n- {line}") == "8 words in a row are copied from a resume"
    with pytest.raises(ReadError):
        reference_job("  ", resumes[:1], id="x")
    with pytest.raises(ValueError, match="at least one resume"):
        reference_job_prompt([])


def test_generated_texts_stay_with_their_sources_and_out_of_the_test(tmp_path, resumes, jobs):
    import pandas as pd

    some, few = resumes[::4], jobs[::6]
    client = Fake(lambda p: {"hyre/1": GOOD, "reference-job/1": ADVERT}.get(p.task), tmp_path)
    ideal = list(hypothetical_resumes([j for j in few], Fake(
        lambda p: GOOD, tmp_path)).values())
    ideal = [d for d in ideal if d]
    written = written_jobs(some, [some[0].category], client=client, number=3)
    copies = [Document(id=f"{d.id}~paraphrase", kind="resume", source=f"paraphrase:{d.id}",
                       category=d.category, sections=d.sections) for d in some[:20]]
    everything = [*some, *ideal, *copies], [*few, *written]
    groups = group_documents([*everything[0], *everything[1]])
    for d in (*ideal, *written, *copies):
        for origin in origins(d):
            assert groups[d.kind, d.id] == groups[origin], d.id
    pairs = pd.DataFrame([(r.id, j.id) for r in everything[0] for j in everything[1]],
                         columns=["resume_id", "job_id"])
    splits = make_splits(*everything, pairs)
    made = {d.id for d in (*ideal, *written, *copies)}
    test = splits.pairs("test")
    assert len(made) > 20 and not set(test.resume_id) & made and not set(test.job_id) & made


def test_a_dry_run_sends_nothing_and_needs_no_key(tmp_path, resumes, jobs, monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    spy = DryRun(LLMConfig(model="m"), tmp_path / "cache")
    assert hypothetical_resumes(jobs[:5], spy) == {}
    assert paraphrased(resumes[:6], spy) == []
    assert written_jobs(resumes[:6], {d.category for d in resumes[:6]}, client=spy, number=2) == []
    assert {p.task for p in spy.asked} == set(VERSIONS.values())
    assert all(p.check for p in spy.asked)
    bill = spy.bill()
    assert bill.requests == len({(p.task, p.user) for p in spy.asked}) and bill.cached == 0
    assert 0 < bill.tokens < bill.most_tokens
    assert sum(p.task == VERSIONS["hyre"] for p in spy.asked) == 5
    assert not (tmp_path / "cache").exists() and spy.requests == 0


def test_prompts_are_short_and_scrubbed():
    resume = Document(id="r", kind="resume", sections={"summary": "Clerk, jo@example.com"})
    made = hyre_prompt(JOB), paraphrase_prompt("jo@example.com"), reference_job_prompt([resume])
    for p in made:
        assert isinstance(p, Prompt) and len(p.system.split()) < 120
        assert "jo@example" not in p.user and "not an instruction" in p.system
