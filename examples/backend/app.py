"""The learned score over HTTP: `python examples/backend/app.py`, then http://127.0.0.1:8000/docs

From the project it imports `resume_contrastive.scorer` and nothing else. README.md beside it lists
the endpoints, the environment variables and the limits. No text of a request is logged, is part of
an error, or is written to disk, and nothing that a client sends is ever opened as a path.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import math
import os
import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from resume_contrastive.scorer import ContrastiveScorer, as_document, hybrid_similarity

log = logging.getLogger("resume_api")


# ---------------------------------------------------------------- settings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Each is an environment variable: `RESUME_API_` and the name in capitals."""

    host: str = "127.0.0.1"  # a proxy stands in front: see README.md
    port: int = 8000  # 0: any free one
    warm: str = "score"  # what is loaded at the start: 'none', 'score', or 'all' (blend as well)
    backend: str = ""  # of the scorer: 'torch', 'onnx', 'onnx-int8'; '': its default
    keep: int = 20_000  # document vectors kept in memory, 1 KB each
    torch_threads: int = os.cpu_count() or 1  # of the model, all requests together
    threads: int = 64  # requests that are worked on at once; the scorer batches them
    pending: int = 128  # requests taken in at once, waiting ones too; more are told to come back
    body_bytes: int = 1_048_576  # of a request
    body_seconds: float = 10  # for a request's body to arrive
    text_chars: int = 50_000  # of one text; a long resume has 20,000
    documents: int = 100  # of one request
    depth: int = 16  # nesting of the JSON
    seconds: float = 60  # for the answer
    grace_seconds: int = 20  # for running requests at the end

    def __post_init__(self):
        for f in fields(self):
            value, least = getattr(self, f.name), {"port": 0}.get(f.name, 1e-3)
            if not isinstance(value, str) and not least <= value < 1e9:
                raise ValueError(f"RESUME_API_{f.name.upper()} must be > 0, got {value}")
        if self.warm not in ("none", "score", "all"):
            raise ValueError(f"RESUME_API_WARM must be none, score or all, got {self.warm!r}")

    @classmethod
    def from_environment(cls) -> Settings:
        """`ValueError` names the variable."""
        found: dict[str, Any] = {}
        for f in fields(cls):
            name = f"RESUME_API_{f.name.upper()}"
            if name in os.environ:
                kind = type(f.default)
                try:
                    found[f.name] = kind(os.environ[name])
                except ValueError:
                    raise ValueError(f"{name} must be of type {kind.__name__}, "
                                     f"got {os.environ[name]!r}") from None  # fmt: skip
        return cls(**found)


SETTINGS = Settings.from_environment()
# torch reads it when it is imported, which the scorer does when it loads: one pool of threads for
# all requests, so that 64 clients get no more of them than there are cores.
if "RESUME_API_TORCH_THREADS" in os.environ or "OMP_NUM_THREADS" not in os.environ:
    os.environ["OMP_NUM_THREADS"] = str(SETTINGS.torch_threads)
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


# ---------------------------------------------------------------- what goes in and out


class Strict(BaseModel):
    """Unknown fields and other types are errors, not guesses."""

    model_config = ConfigDict(extra="forbid", strict=True)


Text = Annotated[str, Field(min_length=1, max_length=SETTINGS.text_chars)]


class Item(Strict):
    """One document of a list."""

    # Any string without control characters: it comes back in the answer and means nothing here.
    id: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
    text: Text


Items = Annotated[list[Item], Field(max_length=SETTINGS.documents)]
TopK = Annotated[int | None, Field(ge=0, le=SETTINGS.documents)]


class ScoreRequest(Strict):
    """One resume, one job."""

    resume: Text
    job: Text
    mode: Literal["replace", "blend", "explain"] = "replace"


class ExplainRequest(Strict):
    """One resume, one job."""

    resume: Text
    job: Text


class RankRequest(Strict):
    """One job, many resumes."""

    job: Text
    resumes: Items
    top_k: TopK = None  # None: all


class RankJobsRequest(Strict):
    """One resume, many jobs."""

    resume: Text
    jobs: Items
    top_k: TopK = None  # None: all


class Score(BaseModel):
    """`explanation` for mode 'explain' only."""

    mode: str
    score: float  # 0 to 100
    explanation: dict[str, Any] | None = None


class Explanation(BaseModel):
    """What `ContrastiveScorer.explain` says."""

    score: float  # 0 to 100
    explanation: dict[str, Any]


class Place(BaseModel):
    """One line of a ranking."""

    rank: int  # 1 = best
    id: str  # as sent
    score: float  # 0 to 100
    title: str  # found in the text, or ''


class Ranking(BaseModel):
    """Best first."""

    ranking: list[Place]


class Health(BaseModel):
    """`live`: the process answers. `ready`: the warm start, or an answer, has been given."""

    live: bool
    ready: bool
    version: str  # of resume_contrastive
    model: str  # folder's name, or 'zero-shot'
    model_hash: str | None  # of the weights and the configuration; None before they are loaded
    pending: int  # requests inside


class Problem(BaseModel):
    """What was wrong. `field` is a path such as `resumes[3].text`, where there is one."""

    code: str
    message: str
    field: str | None


class Problems(BaseModel):
    """Each answer that isn't 200 looks like this."""

    error: Problem


# ---------------------------------------------------------------- errors without texts


class Refused(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None,
                 **headers: str):  # fmt: skip
        super().__init__(code)
        self.status, self.code, self.message, self.field = status, code, message, field
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}

    def response(self) -> JSONResponse:
        """As JSON."""
        problem = {"code": self.code, "message": self.message, "field": self.field}
        return JSONResponse({"error": problem}, self.status, headers=self.headers)


KNOWN = {n for m in (ScoreRequest, RankRequest, RankJobsRequest, Item) for n in m.model_fields}
WRONG = {  # pydantic's kind of error -> our sentence; its own would quote what was sent
    "missing": "is missing",
    "extra_forbidden": "holds a field that is not known here",
    "string_type": "must be a text",
    "string_unicode": "holds half a character (a lone surrogate)",
    "string_too_short": "is empty",
    "string_too_long": "is longer than {max_length} characters",
    "string_pattern_mismatch": "holds control characters",
    "list_type": "must be a list",
    "too_long": "has more than {max_length} documents",
    "int_type": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be one of {expected}",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
}


def field_of(location: tuple) -> str | None:
    """`('body', 'resumes', 3, 'text')` -> `resumes[3].text`; names made up by clients stay out."""
    path = ""
    for part in location[1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part in KNOWN:
            path += f".{part}" if path else part
    return path or None


def invalid(_request: Any, error: RequestValidationError) -> JSONResponse:
    """The first thing wrong with a body."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Refused(400, "invalid_json", "The body is no JSON.").response()
    field = field_of(first["loc"])
    text = WRONG.get(first["type"], "is not valid").format_map(
        {k: v for k, v in first.get("ctx", {}).items() if isinstance(v, (int, str))}
    )
    return Refused(422, first["type"], f"{field or 'the body'} {text}", field).response()


def refused_by_framework(_request: Any, error: HTTPException) -> JSONResponse:
    """Unknown paths, other methods, bodies that the framework can't read."""
    code, message = {
        404: ("not_found", "There is no such endpoint. GET /docs lists them."),
        405: ("method_not_allowed", "This endpoint has another method. GET /docs lists them."),
        400: ("invalid_json", "The body is no JSON that can be read."),
    }.get(error.status_code, ("refused", "The request was refused."))
    return Refused(error.status_code, code, message, **(error.headers or {})).response()


def where(error: BaseException) -> list[str]:
    """The way to an error, as file:line function. Its message stays out: it may quote a resume."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in frames]


# ---------------------------------------------------------------- the work


class Work:
    """The scorer, and the threads that call it; a fixed number of requests is inside at once."""

    def __init__(self, settings: Settings):
        extra = {"backend": settings.backend} if settings.backend else {}
        self.settings, self.pending, self.ready = settings, 0, False
        self.scorer = ContrastiveScorer(keep=settings.keep, **extra)
        self.pool = ThreadPoolExecutor(settings.threads, "score")

    def load(self) -> ContrastiveScorer:
        """The scorer with its weights; `Refused` when the model folder is bad."""
        try:
            return self.scorer.load()
        except Exception as e:
            log.error(json.dumps({"event": "model can't be loaded", "kind": type(e).__name__,
                                  "reason": str(e)}))  # fmt: skip
            raise Refused(503, "model_unavailable", "The model can't be loaded; the log says why.",
                          retry_after="30") from e  # fmt: skip

    def warm(self) -> None:
        """Everything that the first request would wait for."""
        mode = {"score": "replace", "all": "explain"}[self.settings.warm]
        hybrid_similarity("Cook\nSkills\nsoup", "Cook\nRequirements:\nsoup", mode,
                          scorer=self.load())  # fmt: skip
        self.ready = True

    async def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run in a thread within the time limit; what hasn't begun by then never begins."""
        loop = asyncio.get_running_loop()
        future = self.pool.submit(function, *args)
        answer = asyncio.wrap_future(future)
        done, _ = await asyncio.wait({answer}, timeout=self.settings.seconds)
        if done:
            found, self.ready = answer.result(), True
            return found
        if not future.cancel():  # it runs on, and keeps its place until it ends
            self.pending += 1

            def ended(f: Any) -> None:
                with suppress(RuntimeError):  # the server has ended before it
                    loop.call_soon_threadsafe(self._ended, f)

            future.add_done_callback(ended)
        answer.cancel()
        raise Refused(504, "timeout", f"No answer within {self.settings.seconds:g} s.",
                      retry_after="5")  # fmt: skip

    def _ended(self, future: Any) -> None:
        self.pending -= 1
        future.exception()  # nobody waits for it any more

    @property
    def model_hash(self) -> str | None:
        """Of the weights and the configuration."""
        if not self.scorer.loaded:
            return None
        known = getattr(self.scorer, "version", "") or self.scorer.config.get("backbone_sha256")
        return known or None


def document(text: str, kind: str, field: str, id: str = "") -> Any:
    """A text as a document; `Refused` names the field."""
    if not re.search(r"\w", text):
        raise Refused(422, "empty_text", f"{field} holds no words", field)
    try:
        found = as_document(text, kind)
    except ValueError:  # its message may quote the text
        raise Refused(422, "unreadable_text", f"{field} can't be read as a {kind}: send its whole "
                      "text, not the name of a file", field) from None  # fmt: skip
    return replace(found, id=id) if id else found


def documents(items: list[Item], kind: str, field: str) -> list[Any]:
    """A list of documents under the client's ids; `Refused` when two share one."""
    seen: set[str] = set()
    for n, item in enumerate(items):
        if item.id in seen:
            raise Refused(422, "duplicate_id", f"{field}[{n}].id was used before in the list",
                          f"{field}[{n}].id")  # fmt: skip
        seen.add(item.id)
    return [document(x.text, kind, f"{field}[{n}].text", x.id) for n, x in enumerate(items)]


def plain(value: Any) -> Any:
    """What JSON can hold: numbers of numpy as numbers, NaN as null, half characters as `?`."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict):
        return {plain(str(k)): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def do_score(work: Work, body: ScoreRequest) -> Score:
    scorer = work.load()
    pair = document(body.resume, "resume", "resume"), document(body.job, "job", "job")
    answer = plain(hybrid_similarity(*pair, body.mode, scorer=scorer))
    if body.mode != "explain":
        return Score(mode=body.mode, score=answer)
    return Score(mode=body.mode, score=answer["score"], explanation=answer)


def do_explain(work: Work, body: ExplainRequest) -> Explanation:
    scorer = work.load()
    pair = document(body.resume, "resume", "resume"), document(body.job, "job", "job")
    answer = plain(scorer.explain(*pair))
    return Explanation(score=answer["score"], explanation=answer)


def do_rank(work: Work, body: RankRequest) -> Ranking:
    scorer, job = work.load(), document(body.job, "job", "job")
    found = scorer.rank(job, documents(body.resumes, "resume", "resumes"), body.top_k)
    return Ranking(ranking=[Place(**plain(r)) for r in found])


def do_rank_jobs(work: Work, body: RankJobsRequest) -> Ranking:
    scorer, resume = work.load(), document(body.resume, "resume", "resume")
    found = scorer.rank_jobs(resume, documents(body.jobs, "job", "jobs"), body.top_k)
    return Ranking(ranking=[Place(**plain(r)) for r in found])


# ---------------------------------------------------------------- the gate

TOKENS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.S)  # strings, and brackets outside


def too_deep(body: bytes, most: int) -> bool:
    """Whether brackets nest deeper than `most`; a parser that recurses is never asked."""
    depth = 0
    for token in TOKENS.finditer(body):
        first = token[0][0]
        if first in b"[{":
            depth += 1
            if depth > most:
                return True
        elif first in b"]}":
            depth -= 1
    return False


ROUTES = {"/health", "/health/ready", "/score", "/rank", "/rank-jobs", "/explain", "/docs",
          "/openapi.json"}  # fmt: skip
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Gate:
    """Limits before anything is parsed, a request id, one line of log without texts."""

    def __init__(self, app: Any, work: Work):
        self.app, self.work, self.settings = app, work, work.settings

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, headers = time.perf_counter(), dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        id = given if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else uuid.uuid4().hex
        seen = {"status": 0, "bytes": 0}

        async def answer(message: dict) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                extra = [(b"x-request-id", id.encode()), (b"cache-control", b"no-store")]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        try:
            if scope["method"] == "POST":  # whatever its path
                await self.admit(scope, headers, receive, answer, seen)
            else:
                await self.app(scope, receive, answer)
        except Refused as e:
            await e.response()(scope, receive, answer)
        except ConnectionError:
            pass  # the client is gone
        except Exception as e:
            log.error(json.dumps({"event": "unexpected error", "request_id": id,
                                  "kind": type(e).__name__, "at": where(e)}))  # fmt: skip
            if not seen["status"]:
                sorry = Refused(500, "internal_error", "Something went wrong here, not with you.")
                await sorry.response()(scope, receive, answer)
        finally:
            path, method = scope["path"], scope["method"]
            log.info(json.dumps({
                "request_id": id, "method": method if method in METHODS else "-",
                "route": path if path in ROUTES else "-", "status": seen["status"],
                "bytes": seen["bytes"], "ms": round(1000 * (time.perf_counter() - start), 1),
                "pending": self.work.pending}))  # fmt: skip

    async def admit(self, scope: dict, headers: dict, receive: Any, send: Any, seen: dict) -> None:
        """One of the places inside, then the body, then the application."""
        if self.work.pending >= self.settings.pending:
            raise Refused(503, "busy", "Too many requests are inside. Come back later.",
                          retry_after="1", connection="close")  # fmt: skip
        self.work.pending += 1
        try:
            body = await self.body(headers, receive)
            seen["bytes"] = len(body)
            sent = False

            async def replay() -> dict:
                nonlocal sent
                if sent:
                    return await receive()
                sent = True
                return {"type": "http.request", "body": body, "more_body": False}

            await self.app(scope, replay, send)
        finally:
            self.work.pending -= 1

    async def body(self, headers: dict, receive: Any) -> bytes:
        """The whole body, counted while it arrives; `Refused` says which limit it broke."""
        most = self.settings.body_bytes
        kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        length = headers.get(b"content-length", b"0")
        wrong = None
        if kind != b"application/json":
            wrong = Refused(415, "unsupported_type", "Content-Type must be application/json.",
                            connection="close")  # fmt: skip
        elif headers.get(b"content-encoding", b"identity").lower() != b"identity":
            wrong = Refused(415, "unsupported_encoding", "The body must not be compressed.",
                            connection="close")  # fmt: skip
        large = Refused(413, "body_too_large", f"The body is larger than {most} bytes.",
                        connection="close")  # fmt: skip
        if wrong is None and (not length.isdigit() or len(length) > 15 or int(length) > most):
            wrong = large
        body = bytearray()
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                more, total = True, 0
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ConnectionError("gone")
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    total += len(chunk)
                    if total > most:
                        wrong = wrong or large
                    if wrong is None:
                        body += chunk
                    elif total > 16 * most:  # a client reads the answer if its body is taken in
                        break
        except TimeoutError:
            limit = f"{self.settings.body_seconds:g} s"
            raise Refused(408, "slow_body", f"The body took longer than {limit}.",
                          connection="close") from None  # fmt: skip
        if wrong:
            raise wrong
        return self.checked(bytes(body))

    def checked(self, body: bytes) -> bytes:
        """UTF-8, and no deeper than allowed."""
        try:
            body.decode()
        except UnicodeDecodeError:
            raise Refused(400, "invalid_utf8", "The body is not UTF-8.") from None
        if too_deep(body, self.settings.depth):
            raise Refused(400, "too_deep",
                          f"The JSON nests deeper than {self.settings.depth} levels.")  # fmt: skip
        return body


# ---------------------------------------------------------------- the application


def create_app(settings: Settings = SETTINGS) -> FastAPI:
    """The application; the model is loaded by the start, or by the first request."""
    work = Work(settings)

    @asynccontextmanager
    async def life(_app: FastAPI):
        def warm() -> None:
            try:
                work.warm()
            except Refused:
                pass  # logged; /health/ready says 503, and each request tries again
            except Exception as e:
                log.error(json.dumps({"event": "warm start failed", "kind": type(e).__name__,
                                      "at": where(e)}))  # fmt: skip

        if settings.warm != "none":  # in a thread: /health answers meanwhile
            work.pool.submit(warm)
        yield
        work.pool.shutdown(wait=False, cancel_futures=True)

    wrong = {c: {"model": Problems} for c in (400, 408, 413, 415, 422, 500, 503, 504)}
    app = FastAPI(title="resume_contrastive", version=version("resume_contrastive"), lifespan=life,
                  description="One learned score from 0 to 100 for a resume and a job",
                  redoc_url=None, redirect_slashes=False,
                  exception_handlers={
                      RequestValidationError: invalid, HTTPException: refused_by_framework,
                      Refused: lambda _request, e: e.response()})  # fmt: skip
    app.add_middleware(Gate, work=work)

    def health() -> Health:
        return Health(live=True, ready=work.ready, version=app.version,
                      model=Path(work.scorer.path).name, model_hash=work.model_hash,
                      pending=work.pending)  # fmt: skip

    @app.get("/health")
    async def live_and_ready() -> Health:
        """200 while the process lives; `ready` once the model is in memory."""
        return health()

    @app.get("/health/ready", responses={503: {"model": Health}})
    async def ready() -> Health:
        """503 until the model is loaded; with `RESUME_API_WARM=none` the first score loads it."""
        found = health()
        if not found.ready and settings.warm != "none":
            return JSONResponse(found.model_dump(), 503, headers={"retry-after": "1"})
        return found

    @app.post("/score", responses=wrong, response_model_exclude_none=True)
    async def score(body: ScoreRequest) -> Score:
        """One pair: the learned score, blended with the five signals, or with its reasons."""
        return await work(do_score, work, body)

    @app.post("/rank", responses=wrong)
    async def rank(body: RankRequest) -> Ranking:
        """Resumes for a job, best first."""
        return await work(do_rank, work, body)

    @app.post("/rank-jobs", responses=wrong)
    async def rank_jobs(body: RankJobsRequest) -> Ranking:
        """Jobs for a resume, best first."""
        return await work(do_rank_jobs, work, body)

    @app.post("/explain", responses=wrong)
    async def explain(body: ExplainRequest) -> Explanation:
        """Why a pair scores as it does. The answer quotes the two texts."""
        return await work(do_explain, work, body)

    return app


app = create_app()


def few_arenas() -> None:
    """Two pools of memory for all threads: glibc gives each thread one, and they fill slowly."""
    try:
        ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX
    except (AttributeError, OSError):  # another C library
        pass


def main() -> None:
    """Serve until a signal comes; requests that run are answered first."""
    import uvicorn

    few_arenas()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    uvicorn.run(app, host=SETTINGS.host, port=SETTINGS.port, access_log=False, log_config=None,
                server_header=False, timeout_keep_alive=15, backlog=512,
                timeout_graceful_shutdown=SETTINGS.grace_seconds)  # fmt: skip


if __name__ == "__main__":
    main()
