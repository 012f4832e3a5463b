"""A Celery worker and a caller: tasks with results, retries, remote control, a worker that dies."""

import os
import subprocess
import sys
import tempfile
import time

from checks import Checks, equal, unique

os.environ["CELERY_QUEUE"] = unique("celery")

from celery import group  # noqa: E402  the app reads the queue's name when it is imported

import celery_tasks  # noqa: E402
from celery_tasks import add, app, dies_once, fail, shout, third_time  # noqa: E402

checks = Checks("celery")
PATIENCE = 40
here = os.path.dirname(os.path.abspath(__file__))


def start_worker():
    command = [sys.executable, "-m", "celery", "-A", celery_tasks.__name__, "worker"]
    command += ["--loglevel", "INFO", "--pool", "solo", "--hostname", unique("worker")]
    return subprocess.Popen(command, cwd=here, stdout=sys.stderr)


worker = start_worker()


@checks.check
def the_worker_answers_a_ping():
    end = time.monotonic() + PATIENCE
    while not (answers := app.control.ping(timeout=1)):
        assert worker.poll() is None, "the worker ended"
        assert time.monotonic() < end, "no answer in time"
    equal([list(answer.values()) for answer in answers], [[{"ok": "pong"}]])


@checks.check
def a_result_comes_back():
    equal(add.delay(2, 3).get(timeout=PATIENCE), 5)


@checks.check
def many_results_come_back():
    results = group(add.s(number, number) for number in range(50))()
    equal(results.get(timeout=PATIENCE), [number * 2 for number in range(50)])


@checks.check
def one_task_calls_the_next():
    chain = shout.s("quiet") | shout.s()
    equal(chain.delay().get(timeout=PATIENCE), "QUIET")


@checks.check
def a_failure_comes_back():
    try:
        fail.delay().get(timeout=PATIENCE)
    except ValueError as error:
        equal(str(error), "as asked")
    else:
        raise AssertionError("it did not fail")


@checks.check
def a_task_is_tried_again():
    equal(third_time.delay().get(timeout=PATIENCE), 2)


@checks.check
def a_delayed_task_waits():
    begin = time.monotonic()
    equal(add.apply_async((1, 1), countdown=1).get(timeout=PATIENCE), 2)
    assert time.monotonic() - begin >= 0.9, "too soon"


@checks.check
def the_worker_tells_its_queues():
    # Answers are gathered for the whole time given.
    (queues,) = app.control.inspect(timeout=2).active_queues().values()
    equal([queue["name"] for queue in queues], [os.environ["CELERY_QUEUE"]])


@checks.check
def a_task_of_a_killed_worker_is_run_by_the_next():
    global worker
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "began")
        result = dies_once.delay(path)
        end = time.monotonic() + PATIENCE
        while not os.path.exists(path):
            assert time.monotonic() < end, "the task did not begin"
            time.sleep(0.05)
        worker.kill()
        worker.wait()
        worker = start_worker()
        equal(result.get(timeout=PATIENCE), "second run")


try:
    checks.run()
finally:
    worker.terminate()
    worker.wait(timeout=PATIENCE)
