"""The client against a server that misbehaves: retries, repair, cache, budget, scrubbing."""

import email.utils
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from resume_contrastive.documents import Document
from resume_contrastive.generation import hyre_prompt, paraphrase_prompt, reference_job_prompt
from resume_contrastive.llm import BudgetError, LLMClient, LLMConfig, LLMError, Prompt, StopError

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
        with s.lock:
            s.waiting += 1
        s.hold.wait(60)
        with s.lock:
            s.waiting -= 1
        time.sleep(s.delay)
        end, said = "stop", s.reply(body["messages"][-1]["content"])
        if isinstance(said, tuple):
            end, said = said
        value = {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
                 "choices": [{"index": 0, "finish_reason": end,
                              "message": {"role": "assistant", "content": said}}],
                 "usage": {"prompt_tokens": 6, "completion_tokens": 4, "total_tokens": 10}}
        raw = json.dumps(value if status == 200 else {"error": error}).encode()
        raw = error if isinstance(error, bytes) else raw
        with s.lock:
            s.busy -= 1
        self.send_response(status)
        self.send_header("content-type", "text/html" if raw[:1] == b"<" else "application/json")
        self.send_header("content-length", str(len(raw) + 99 * raw.endswith(b"...")))
        if s.retry_after:
            self.send_header("retry-after", s.retry_after)
        try:
            self.end_headers()
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
        self.seen, self.keys, self.busy, self.most, self.waiting = [], [], 0, 0, 0
        self.hold = threading.Event()  # cleared: answers are held back
        self.hold.set()
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
        s.hold.set()
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


@pytest.mark.parametrize(("headers", "low", "high"), [
    ({"retry-after": "7"}, 7, 7), ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, 1.5),
    ({"retry-after": email.utils.formatdate(time.time() + 3000, usegmt=True)}, 2000, 3001),
    ({"retry-after": "soon"}, 0, 0), ({"retry-after": "-4"}, 0, 0), ({"retry-after": "inf"}, 0, 0),
    ({"retry-after": "nan"}, 0, 0), ({}, 0, 0),
])
def test_what_the_server_asks_to_wait(headers, low, high):
    from resume_contrastive.llm import _asked_wait

    response = type("Response", (), {"headers": headers})()
    assert low <= _asked_wait(response) <= high and _asked_wait(None) == 0


def test_the_wait_that_was_asked_for_is_kept(start, monkeypatch):
    import asyncio

    waits, sleep = [], asyncio.sleep
    monkeypatch.setattr("resume_contrastive.llm.asyncio.sleep",
                        lambda s: waits.append(s) or sleep(0))
    _, client = start([429, 503, 503], retry_after="0.3", backoff=0.2)
    client.complete(prompts(1))
    assert [w for w in waits if w] == [0.3, 0.4, 0.8]
    server, client = start([429] * 3, retry_after="600", model="other")
    with pytest.raises(LLMError, match=r"status 429 .* after 1 try"):
        client.complete(prompts(1))
    assert len(server.seen) == 1


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
    server, client = start(timeout=0.3, retries=1)
    server.hold.clear()
    with pytest.raises(LLMError, match="a timeout after 2 tries"):
        client.complete(prompts(1))
    server.hold.set()
    assert client.requests == 2 and client.tokens > 2000  # they may have been paid for


def test_a_lost_server_is_a_sentence(start):
    server, client = start(retries=1)
    server.shutdown()
    server.server_close()
    with pytest.raises(LLMError, match="APIConnectionError after 2 tries"):
        client.complete(prompts(1))


@pytest.mark.parametrize("body", [
    b"<html>private</html>", b'{"id":', b"", b"null", b"[1]", b'{"id": "1"}', b'{"choices": null}',
    b'{"choices": []}', b'{"choices": [{"message": null}]}', b'{"choices": "private"}',
    b'{"choices": [{"message": {"content": [{"text": "x"}]}}]}', b'{"choices"...', b'{"a": "\xe9"}',
], ids=range(13))
def test_an_answer_of_another_form_is_tried_again(start, body):
    server, client = start([(200, body)])
    assert client.complete(prompts(1)) == ["0 txet etavirp"] or client.rejected == 0
    assert len(server.seen) == 2
    server, client = start([(200, body)] * 9, retries=1, model="other")
    try:
        assert client.complete(prompts(1)) == [None]
    except LLMError as e:
        assert "private" not in str(e) and e.__cause__ is None
    assert len(server.seen) == 2


@pytest.mark.parametrize(("reply", "problem"), [
    (" ", "the answer is empty"), (None, "the answer is empty"),
    (("length", "half a text"), "the answer is cut off, so it must be shorter"),
    (("content_filter", "x"), "the model ended with 'content_filter'"),
])
def test_an_unusable_answer_is_asked_for_once_more_and_remembered(start, tmp_path, reply, problem):
    server, client = start(reply=lambda t: reply)
    assert client.complete(prompts(1)) == [None] and len(server.seen) == 2
    assert client.complete(prompts(1)) == [None] and len(server.seen) == 2
    assert (client.rejected, client.repaired, client.requests) == (1, 0, 2)
    stored, = (tmp_path / "cache").rglob("*.json")
    assert json.loads(stored.read_text()) == {"answer": None, "problem": problem}


def test_a_repair_says_what_is_wrong_and_keeps_no_quote(start, tmp_path):
    def check(answer):
        return "" if "12" in answer else "a number was lost: 12"

    def reply(text):
        return "It is 12." if "a number was lost: 12" in text else "Twelve, call 555-123-4567"

    server, client = start(reply=reply)
    ask = Prompt("Say it.", "12", task="say/1", check=check)
    assert client.complete([ask]) == ["It is 12."] and client.repaired == 1
    roles = [m["role"] for m in server.seen[1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]
    assert "555-123-4567" not in json.dumps(server.seen[1])
    server, client = start(reply=lambda t: "never")
    assert client.complete([Prompt("Say it.", "12", task="say/2", check=check)]) == [None]
    kept = [p.read_text() for p in (tmp_path / "cache").rglob("*.json")]
    assert sum("a number was lost" in t for t in kept) == 1 and not any("lost:" in t for t in kept)


def test_contacts_in_an_answer_are_scrubbed_before_it_is_kept(start, tmp_path):
    _, client = start(reply=lambda t: "Write to jo@example.com")
    assert client.complete(prompts(1)) == ["Write to [email]"]
    assert "jo@" not in "".join(p.read_text() for p in (tmp_path / "cache").rglob("*.json"))


def test_the_cache_holds_no_prompt_and_is_for_its_owner_only(start, tmp_path):
    _, client = start(reply=lambda t: "An answer.")
    client.complete([Prompt("Rewrite.", "Umberline paid 4711 to Jo Example")])
    kept = b"".join(p.read_bytes() for p in (tmp_path / "cache").rglob("*.json"))
    assert not any(x in kept for x in (b"Umberline", b"4711", b"Example", b"Rewrite"))
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) & 0o077 == 0


def test_repairs_and_retries_cannot_overrun_the_tokens(start):
    server, client = start([(200, b'{"id":')] * 9, max_tokens=2500, answer_tokens=1000)
    with pytest.raises(BudgetError, match="the 2500 tokens allowed are used up"):
        client.complete(prompts(1))
    assert len(server.seen) == 2 and client.tokens <= 2500
    server, client = start([500] * 4, max_tokens=1500, answer_tokens=1000, model="other")
    assert client.complete(prompts(1)) and client.tokens == 10  # refusals cost no tokens


@pytest.mark.parametrize(("script", "why"), [
    ([401] * 99, "status 401"), ([404] * 99, "status 404"),
    ([(429, {"message": "pay", "code": "insufficient_quota"})] * 99, "status 429"),
])
def test_what_would_fail_for_all_stops_the_job(start, script, why):
    server, client = start(script, concurrency=2)
    with pytest.raises(StopError, match=f"were not asked, the other answers are kept.*{why}"):
        client.complete(prompts(50))
    assert len(server.seen) <= 3


def test_failures_in_a_row_stop_the_job_and_bad_prompts_do_not(start):
    server, client = start([503] * 99, concurrency=2, retries=0)
    with pytest.raises(LLMError, match="were not asked"):
        client.complete(prompts(50))
    assert len(server.seen) < 10
    server, client = start([(400, {"message": "too long"})] * 20, concurrency=2, model="other")
    with pytest.raises(LLMError, match="20 of 50 prompts failed, the other"):
        client.complete(prompts(50))
    assert len(server.seen) == 50


def test_progress_is_told(start):
    _, client = start()
    told = []
    client.progress = lambda done, total: told.append((done, total))
    client.complete(prompts(3))
    assert told == [(1, 3), (2, 3), (3, 3)]
    client.complete(prompts(4))
    assert told[3:] == [(4, 4)]


CHILD = """
import sys
from resume_contrastive.llm import LLMClient, LLMConfig, Prompt
url, cache, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = LLMClient(LLMConfig(model="m", base_url=url, concurrency=4), cache)
answers = client.complete([Prompt("Reverse it.", f"private text {i}") for i in range(n)])
assert answers == [f"private text {i}"[::-1] for i in range(n)], "wrong answers"
print(client.requests)
"""


def test_a_killed_job_loses_nothing_and_asks_nothing_twice(start, tmp_path):
    """SIGKILL with requests in flight: what was answered is kept, at most 4 are asked again."""
    server, _ = start(delay=0.01)
    n, many = 40, 4
    cache = tmp_path / "killed"
    command = [sys.executable, "-c", CHILD, f"http://127.0.0.1:{server.server_port}/v1", str(cache),
               str(n)]

    def count():
        return Counter(b["messages"][-1]["content"] for b in list(server.seen))

    def kept():
        return [p for p in cache.rglob("*.json") if not p.name.startswith(".")]

    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while len(kept()) < 10:
        assert child.poll() is None and time.monotonic() < deadline, "the job ended too soon"
        time.sleep(0.005)
    server.hold.clear()  # whoever asks now is in flight, and stays so
    calm, last = 0, None
    while calm < 5 and time.monotonic() < deadline:  # until all four are held, and nothing moves
        time.sleep(0.05)
        state = (server.waiting, len(server.seen), len(kept()))
        calm, last = calm + 1 if state == last and server.waiting == many else 0, state
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    saved, before = len(kept()), count()
    assert 10 <= saved < n and sum(before.values()) == saved + many and max(before.values()) == 1
    server.hold.set()
    run = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr[-2000:]
    after = count()
    assert int(run.stdout) == n - saved  # the second run asks for exactly what is missing
    assert len(after) == n and Counter(after.values()) == {1: n - many, 2: many}
    assert len(kept()) == n
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "0"


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
    server, client = start([400], delay=0.05, concurrency=3)  # never more than 3 at once
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
    newer = [Prompt(p.system, p.user, "reverse/2") for p in prompts(1)]
    assert client.estimate(newer).requests == 1
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


@pytest.mark.parametrize(("value", "message"), [
    (dict(model=""), "model must be named"),
    (dict(concurrency=0), "concurrency must be at least 1"),
    (dict(timeout=-1), "timeout must be > 0, got -1"), (dict(retries=-1), "at least 0, got -1"),
    (dict(max_tokens=0), "max_tokens must be at least 1, got 0"),
    (dict(max_wait=-1), "max_wait must be at least 0, got -1"),
])
def test_config_says_what_is_wrong(value, message):
    with pytest.raises(ValueError, match=message):
        LLMConfig(**{"model": "m", **value})
