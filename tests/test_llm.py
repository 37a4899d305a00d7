"""The client against a server that misbehaves: retries, cache, budget, scrubbing."""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from resume_contrastive.documents import Document, ReadError
from resume_contrastive.llm import (
    BudgetError,
    LLMClient,
    LLMConfig,
    LLMError,
    Prompt,
    hyre_prompt,
    paraphrase_prompt,
    reference_job,
    reference_job_prompt,
)

pytest.importorskip("openai", reason="the optional openai package is not installed")


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        s, body = self.server, json.loads(self.rfile.read(int(self.headers["content-length"])))
        with s.lock:
            s.busy += 1
            s.most = max(s.most, s.busy)
            s.seen.append(body)
            s.keys.append(self.headers.get("authorization"))
            step = s.script.pop(0) if s.script else (200, None)
        status, error = step if isinstance(step, tuple) else (step, {"message": "busy"})
        time.sleep(s.delay)
        message = {"role": "assistant", "content": s.reply(body["messages"][-1]["content"])}
        value = {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
                 "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                 "usage": {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}}
        raw = json.dumps(value if status == 200 else {"error": error}).encode()
        with s.lock:
            s.busy -= 1
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        if s.retry_after:
            self.send_header("retry-after", s.retry_after)
        self.end_headers()
        try:
            self.wfile.write(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self, script=(), delay=0.0, reply=lambda text: text[::-1], retry_after=""):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script, self.delay, self.reply = list(script), delay, reply
        self.retry_after, self.lock = retry_after, threading.Lock()
        self.seen, self.keys, self.busy, self.most = [], [], 0, 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start servers, and clients of them that don't wait long."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    servers = []

    def go(script=(), delay=0.0, reply=lambda text: text[::-1], retry_after="", **kw):
        server = Server(script, delay, reply, retry_after)
        servers.append(server)
        config = LLMConfig(**{"model": "m", "base_url": f"http://127.0.0.1:{server.server_port}/v1",
                              "backoff": 0.01, **kw})
        return server, LLMClient(config, tmp_path / "cache")

    yield go
    for s in servers:
        s.shutdown()
        s.server_close()


def prompts(n):
    return [Prompt("Reverse it.", f"private text {i}") for i in range(n)]


def test_busy_then_broken_then_right_then_from_the_cache(start, tmp_path):
    server, client = start([429, 500])
    ask = prompts(1)
    assert client.complete(ask) == ["0 txet etavirp"]
    assert len(server.seen) == client.requests == 3 and client.tokens == 10
    assert client.complete(ask) == ["0 txet etavirp"] and len(server.seen) == 3
    files = [p for p in (tmp_path / "cache").rglob("*") if p.is_file()]
    assert [json.loads(p.read_text()) for p in files] == [{"answer": "0 txet etavirp"}]
    assert client.estimate(ask).cached == 1 and client.estimate(ask).requests == 0


def test_the_server_says_how_long_to_wait(start):
    _, client = start([429], retry_after="0.3", backoff=0.0)
    before = time.monotonic()
    client.complete(prompts(1))
    assert time.monotonic() - before >= 0.3


@pytest.mark.parametrize(("script", "n", "message"), [
    ([401], 1, "status 401"), ([404], 1, "status 404"), ([(400, {"message": "bad"})], 1, "400"),
    ([(429, {"message": "pay", "code": "insufficient_quota"})], 1, "status 429"),
    ([503] * 9, 3, "status 503 .* after 3 tries"),
])
def test_what_cannot_pass_stops_and_quotes_no_text(start, script, n, message):
    server, client = start(script, retries=2)
    with pytest.raises(LLMError, match=message) as e:
        client.complete(prompts(1))
    assert len(server.seen) == n and "private" not in str(e.value)


def test_a_timeout_is_tried_again(start):
    server, client = start(delay=0.4, timeout=0.1, retries=1)
    with pytest.raises(LLMError, match="APITimeoutError after 2 tries"):
        client.complete(prompts(1))
    assert len(server.seen) == 2


def test_a_lost_server_is_a_sentence(start):
    server, client = start(retries=1)
    server.shutdown()
    server.server_close()
    with pytest.raises(LLMError, match="APIConnectionError after 2 tries"):
        client.complete(prompts(1))


def test_an_empty_answer_is_asked_for_once_more(start):
    server, client = start(reply=lambda t: " ")
    with pytest.raises(LLMError, match="an empty answer after 2 tries"):
        client.complete(prompts(1))
    assert len(server.seen) == 2


def test_over_budget_nothing_is_sent(start):
    server, client = start(max_requests=2)
    with pytest.raises(BudgetError, match="needs up to 3 requests, and 2 of 2 are left"):
        client.complete(prompts(3))
    _, poor = start(max_tokens=1500, answer_tokens=1000)
    with pytest.raises(BudgetError, match="tokens, and 1500 of 1500 are left"):
        poor.complete(prompts(2))
    assert server.seen == [] and client.requests == 0
    client.complete(prompts(2))
    with pytest.raises(BudgetError, match="and 0 of 2 are left"):
        client.complete([Prompt("", "one more")])


def test_retries_count_and_end_at_the_limit(start):
    server, client = start([500] * 9, max_requests=3)
    with pytest.raises(BudgetError, match="used up by retries"):
        client.complete(prompts(1))
    assert len(server.seen) == 3


def test_one_failure_loses_no_other_answer(start):
    server, client = start([400], delay=0.05, concurrency=3)
    with pytest.raises(LLMError, match="1 of 8 prompts failed, the other answers are kept"):
        client.complete(prompts(8))
    assert len(server.seen) == 8 and 1 < server.most <= 3
    assert len(client.complete(prompts(8))) == 8 and len(server.seen) == 9


def test_repeats_are_asked_once_and_order_is_kept(start):
    server, client = start()
    a, b = prompts(2)
    assert client.complete([b, a, b]) == ["1 txet etavirp", "0 txet etavirp", "1 txet etavirp"]
    assert len(server.seen) == 2
    assert client.complete([]) == []


def test_the_cache_depends_on_the_question_and_survives_damage(start, tmp_path):
    server, client = start()
    client.complete(prompts(1))
    for change in (dict(model="other"), dict(temperature=0.7), dict(answer_tokens=5)):
        _, other = start(**change)
        assert other.estimate(prompts(1)).requests == 1
    next(p for p in (tmp_path / "cache").rglob("*.json")).write_text('{"answer":')
    assert client.complete(prompts(1)) == ["0 txet etavirp"] and len(server.seen) == 2


def test_a_model_that_wants_the_other_name_of_the_limit(start):
    error = {"message": "Unsupported parameter: use 'max_completion_tokens' instead."}
    server, client = start([(400, error)], answer_tokens=7, temperature=None)
    client.complete(prompts(1))
    assert server.seen[0]["max_tokens"] == server.seen[1]["max_completion_tokens"] == 7
    assert "temperature" not in server.seen[0]


def test_contacts_never_leave(start):
    server, client = start()
    job = Document(id="j", kind="job", title="Clerk", sections={
        "about": "Write to jobs@example.com or call 555-123-4567, see https://example.com/x."})
    resume = Document(id="r", kind="resume", sections={"summary": "jo@example.com, clerk"})
    client.complete([hyre_prompt(job), reference_job_prompt([resume]),
                     paraphrase_prompt(resume.sections["summary"]), Prompt("a@b.org", "text")])
    sent = json.dumps(server.seen)
    assert not any(x in sent for x in ("@example", "555-123", "example.com", "a@b.org"))
    assert "clerk" in sent.lower()


def test_address_and_key_come_from_the_environment(start, monkeypatch):
    server, _ = start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    _, client = start(base_url="")
    client.complete(prompts(1))
    assert server.keys == ["Bearer sk-test"]


def test_without_key_or_package_there_is_a_sentence(start, monkeypatch):
    _, client = start(base_url="")
    with pytest.raises(LLMError, match="set OPENAI_API_KEY"):
        client.complete(prompts(1))
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(LLMError, match=r"pip install 'resume_contrastive\[llm\]'"):
        client.complete(prompts(1))


def test_it_works_inside_a_running_event_loop(start):
    import asyncio

    _, client = start()

    async def inside():
        return client.complete(prompts(1))

    assert asyncio.run(inside()) == ["0 txet etavirp"]


def test_reference_job_names_its_sources():
    resumes = [Document(id=i, kind="resume", sections={"summary": "x"}) for i in "ab"]
    job = reference_job("Cook\nResponsibilities\n- Cook", resumes, id="ref", category="CHEF")
    assert (job.kind, job.title, job.source) == ("job", "Cook", "reference-job:a|b")
    with pytest.raises(ReadError):
        reference_job("  ", resumes, id="ref")
    with pytest.raises(ValueError, match="at least one resume"):
        reference_job_prompt([])


@pytest.mark.parametrize(("value", "message"), [
    (dict(model=""), "model must be named"),
    (dict(concurrency=0), "concurrency must be at least 1"),
    (dict(timeout=-1), "timeout must be > 0, got -1"), (dict(retries=-1), "at least 0, got -1"),
    (dict(max_tokens=0), "max_tokens must be at least 1, got 0"),
])
def test_config_says_what_is_wrong(value, message):
    with pytest.raises(ValueError, match=message):
        LLMConfig(**{"model": "m", **value})
