"""Data-parallel vLLM replicas in Ray actors, fed so that none idles while another has work waiting."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval._keys import Sample
from eval._ray import actor_options, count_cores, count_replicas, require_place, use_cpu
from eval._replica import LoadOptions, Replica, Request, VideoSize
from eval.config import EngineConfig, SamplingConfig
from eval.store import Answer, failed_answer
from lipo.common import LipoError

Deliver = Callable[[list[Answer]], None]

_PATIENCE = 8
"""Failures in a row, beyond the one that a lost node costs every replica, after which the engine itself is at fault."""
_CONVICTIONS = 4
"""Questions found to kill replicas, without an answer in between, after which the engine itself is at fault."""
_VIDEO_BYTES = 4 << 30
"""Memory that a replica's waiting videos may take: vLLM prepares every request's pictures when it is added."""
_BYTES_PER_PIXEL = 15
"""Three channels as a byte each, and as a float each."""
_NARROWING = 8
"""From the second death on, a request's batch shrinks by this factor each time, to find the request to blame."""


@dataclass
class _Job:
    """A request, and how often a replica died while holding it."""

    request: Request
    deaths: int = 0
    alone: int = 0
    """How often it was the only one that the replica held."""


@dataclass
class _Seat:
    """A replica's place: its actor and what it holds."""

    actor: Any
    model: Path | None = None
    held: dict[str, _Job] = field(default_factory=dict)


class ReplicaPool:
    """Replicas that answer questions with one model after another.

    Needs an initialised Ray. A replica that dies is replaced and its requests are asked again, in ever smaller
    batches; a request that kills two replicas while it is alone there gets an error for an answer.

    Args:
        sampling: How answers are drawn.
        engine: Replicas and vLLM's settings.
        local: Whether actors share this machine's files.
        images_per_prompt: The most images any question has.
        video: Largest video that any question has; None without videos.
    """

    def __init__(
        self,
        sampling: SamplingConfig,
        engine: EngineConfig,
        local: bool,
        images_per_prompt: int,
        video: VideoSize | None = None,
    ) -> None:
        """Start the actors; models are loaded by :meth:`generate`.

        Raises:
            LipoError: No node of the cluster is large enough for a replica.
        """
        import ray

        self._sampling, self._engine, self._images, self._video = sampling, engine, images_per_prompt, video
        self._on_cpu = use_cpu()
        options = actor_options(engine, self._on_cpu, local)
        require_place(options)
        total = ray.cluster_resources()
        gpus = 0 if self._on_cpu else int(total.get("GPU", 0))
        cpus = count_cores() if local else int(total.get("CPU", 1))
        self._actor_class = ray.remote(Replica).options(**options)
        self._seats = [_Seat(self._actor_class.remote()) for _ in range(count_replicas(engine, gpus, cpus, local))]

    def __enter__(self) -> ReplicaPool:
        """Enter a block at whose end the replicas stop."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all replicas."""
        import ray

        for seat in self._seats:
            ray.kill(seat.actor)

    def generate(self, model: Path, samples: Sequence[Sample], deliver: Deliver) -> None:
        """Answer ``samples`` with the model in ``model``, handing answers to ``deliver`` as they come.

        Args:
            model: Hugging Face directory, readable by the replicas.
            samples: What to answer; every one is delivered exactly once.
            deliver: Called in this thread.

        Raises:
            LipoError: The model cannot be loaded, or replicas die whatever they are asked.
        """
        _Run(self, model, samples, deliver).work()

    def load(self, seat: _Seat, model: Path) -> Any:
        """Begin loading a model into a replica; returns Ray's reference to the outcome."""
        seat.model = model
        images = max(1, self._images)
        options = LoadOptions(str(model.resolve()), self._sampling, self._engine, self._on_cpu, images, self._video)
        return seat.actor.load.remote(options)

    def replace(self, seat: _Seat) -> None:
        """Put a new actor in the place of a dead or faulty one."""
        import ray

        ray.kill(seat.actor)
        seat.actor, seat.model = self._actor_class.remote(), None
        seat.held.clear()

    @property
    def seats(self) -> list[_Seat]:
        """The replicas' places."""
        return self._seats

    @property
    def window(self) -> int:
        """Requests a replica may hold: what it runs at once, and as many waiting, or fewer large videos."""
        requests = 2 * self._engine.max_num_seqs
        if self._video is None:
            return requests
        video = _BYTES_PER_PIXEL * self._video.frames * self._video.width * self._video.height
        return min(requests, max(2, _VIDEO_BYTES // video))


class _Run:
    """One model's questions on their way through the pool."""

    def __init__(self, pool: ReplicaPool, model: Path, samples: Sequence[Sample], deliver: Deliver) -> None:
        self._pool, self._model, self._deliver = pool, model, deliver
        self._queue = deque(_Job(_to_request(sample)) for sample in samples)
        self._calls: dict[Any, tuple[_Seat, bool]] = {}
        """Ray references of running calls: by which replica, and whether it is loading."""
        self._failures = 0
        self._convicted: list[Answer] = []
        """Not delivered before an answer proves the engine sound: one that is at fault leaves no errors behind."""

    def work(self) -> None:
        import ray

        self._employ()
        # A replica may wait for a place for ever, after the loss of a node; the others' work does not wait for it.
        while self._calls and (self._queue or any(seat.held for seat in self._pool.seats)):
            (reference,), _ = ray.wait(list(self._calls), num_returns=1)
            seat, loading = self._calls.pop(reference)
            try:
                outcome = ray.get(reference)
            except ray.exceptions.RayError as error:
                self._recover(seat, error, loading)
            else:
                if not loading:
                    self._take(seat, outcome)
                self._feed(seat)
            self._employ()
        self._acquit()

    def _employ(self) -> None:
        """Give every idle replica something to do; each loads the model when it is first needed."""
        busy = {id(seat) for seat, _ in self._calls.values()}
        loading = sum(is_loading for _, is_loading in self._calls.values())
        for seat in self._pool.seats:
            if id(seat) in busy:
                continue
            if seat.model == self._model:
                self._feed(seat)
            elif len(self._queue) > loading:
                self._calls[self._pool.load(seat, self._model)] = (seat, True)
                loading += 1

    def _feed(self, seat: _Seat) -> None:
        """Give a replica its share of the queue and let it work on."""
        jobs: list[_Job] = []
        if self._queue:
            limit = max(1, self._pool.window // _NARROWING ** max(0, self._queue[0].deaths - 1))
            share = math.ceil(len(self._queue) / len(self._pool.seats))
            room = max(0, min(limit - len(seat.held), share))
            jobs = [self._queue.popleft() for _ in range(room)]
        seat.held.update((job.request.key, job) for job in jobs)
        if seat.held:
            reference = seat.actor.advance.remote([job.request for job in jobs], bool(self._queue))
            self._calls[reference] = (seat, False)

    def _take(self, seat: _Seat, answers: list[Answer]) -> None:
        for answer in answers:
            del seat.held[answer.key]
        if answers:
            self._acquit()
            self._deliver(answers)

    def _acquit(self) -> None:
        """Hold no death against the engine; those that were convicted are to blame."""
        self._failures = 0
        if self._convicted:
            self._deliver(self._convicted)
            self._convicted = []

    def _recover(self, seat: _Seat, error: Exception, loading: bool) -> None:
        """Replace a dead replica, and put back what it held."""
        import ray

        jobs = list(seat.held.values())
        self._failures += 1
        hopeless = self._failures >= _PATIENCE + len(self._pool.seats) or len(self._convicted) >= _CONVICTIONS
        if hopeless or (loading and isinstance(error, ray.exceptions.RayTaskError)):
            raise LipoError(
                f"vLLM cannot {'load' if loading else 'run'} {self._model}: {_cause(error)}",
                "check engine.max_model_len, engine.kv_cache_gb and the memory left; 'lipo doctor' tests vLLM itself",
            ) from error
        for job in jobs:
            job.deaths += 1
        if len(jobs) == 1:
            jobs[0].alone += 1
        # Twice: once may be chance, such as a node that is lost.
        if len(jobs) == 1 and jobs[0].alone >= 2:
            self._convicted.append(_convict(jobs[0], error))
            self._failures = 0
        else:
            self._queue.extendleft(reversed(jobs))
        self._pool.replace(seat)


def _to_request(sample: Sample) -> Request:
    item = sample.item
    frames, fps = (item.clip.frames, item.clip.fps) if item.clip else ((), 0.0)
    return Request(sample.key, item.index, sample.number, item.messages, item.images, sample.seed, frames, fps)


def _convict(job: _Job, error: Exception) -> Answer:
    why = f"{job.deaths} replicas died on this question: {_cause(error)}"
    return failed_answer(job.request.key, job.request.item, job.request.sample, why)


def _cause(error: Exception) -> str:
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).strip().splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(cause).__name__
