"""The queue: one at a time, in order, with a place, to be cancelled."""

import threading
import weakref

import pytest

from manyview.demo.jobs import CANCELLED, DONE, FAILED, RUNNING, WAITING, Job, Jobs

WAIT_S = 30


def test_one_at_a_time_in_order() -> None:
    jobs, gate, order = Jobs(), threading.Event(), []

    def work(name: str):
        return lambda job: (gate.wait(WAIT_S), order.append(name), name)[-1]

    made = [jobs.submit(work(name)) for name in "abc"]
    while made[0].state == WAITING:
        pass
    assert [job.state for job in made] == [RUNNING, WAITING, WAITING]
    assert [jobs.ahead(job) for job in made] == [0, 1, 2]
    jobs.cancel(made[1])
    assert made[1].state == CANCELLED and made[1].is_over and jobs.ahead(made[2]) == 1
    gate.set()
    assert made[2].ended.wait(WAIT_S) and order == ["a", "c"] and made[2].result == "c" and made[0].state == DONE


def test_cancelling_stops_at_the_next_check() -> None:
    jobs, begun = Jobs(), threading.Event()

    def work(job: Job) -> None:
        begun.set()
        while True:
            job.progress("layers", 1, 4)

    job = jobs.submit(work)
    assert begun.wait(WAIT_S)
    jobs.cancel(job)
    assert job.ended.wait(WAIT_S) and job.state == CANCELLED and job.share == 0.25 and job.result is None
    assert jobs.submit(lambda job: 1).ended.wait(WAIT_S), "the queue goes on"


def test_an_error_is_kept_and_the_queue_goes_on() -> None:
    jobs = Jobs()
    job = jobs.submit(lambda job: 1 / 0)
    assert job.ended.wait(WAIT_S) and job.state == FAILED and isinstance(job.error, ZeroDivisionError)
    assert jobs.submit(lambda job: 1).ended.wait(WAIT_S)


def test_a_failed_job_frees_what_it_held() -> None:
    class Large:
        pass

    kept: list[weakref.ref] = []

    def work(job: Job) -> None:
        large = Large()
        kept.append(weakref.ref(large))
        try:
            inner(large)
        except ZeroDivisionError as error:
            raise ValueError("words") from error

    def inner(large: Large) -> None:
        raise ZeroDivisionError

    jobs = Jobs()
    job = jobs.submit(work)
    assert job.ended.wait(WAIT_S) and str(job.error) == "words"
    assert kept[0]() is None and job.error.__traceback__ is not None, "where it was stays known"


def test_what_is_to_be_called_in_the_end() -> None:
    """Once, whether a job ends, is cancelled while it waits, or is over already."""
    jobs, gate, begun, ends = Jobs(), threading.Event(), threading.Event(), []
    running = jobs.submit(lambda job: (begun.set(), gate.wait(WAIT_S)))
    waiting = jobs.submit(lambda job: 1)
    for name, job in (("running", running), ("waiting", waiting)):
        job.on_end(lambda name=name: ends.append(name))
    assert begun.wait(WAIT_S)
    jobs.cancel(waiting)
    assert ends == ["waiting"]
    gate.set()
    assert running.ended.wait(WAIT_S)
    assert jobs.submit(lambda job: 1).ended.wait(WAIT_S) and ends == ["waiting", "running"]
    running.on_end(lambda: ends.append("late"))
    assert ends[2:] == ["late"]


def test_too_many_wait() -> None:
    jobs, gate, begun = Jobs(most_waiting=1), threading.Event(), threading.Event()
    jobs.submit(lambda job: (begun.set(), gate.wait(WAIT_S)))
    assert begun.wait(WAIT_S)
    last = jobs.submit(lambda job: 1)
    with pytest.raises(ValueError, match="try again in a few minutes"):
        jobs.submit(lambda job: 1)
    gate.set()
    assert last.ended.wait(WAIT_S)
