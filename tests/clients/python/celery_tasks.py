"""The tasks of the Celery worker in celery_round_trip.py."""

import os
import time

from celery import Celery

app = Celery("tasks", broker=os.environ["AMQP_URL"], backend="rpc://")
app.conf.update(
    task_default_queue=os.environ["CELERY_QUEUE"],
    result_expires=600,
    broker_connection_retry_on_startup=True,
)


@app.task
def add(x, y):
    return x + y


@app.task(bind=True, max_retries=5)
def third_time(self):
    """Fails twice."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.3)
    return self.request.retries


@app.task
def fail():
    raise ValueError("as asked")


@app.task(acks_late=True, reject_on_worker_lost=True)
def dies_once(path):
    """The first run never ends; the file tells that it began."""
    if os.path.exists(path):
        return "second run"
    with open(path, "w") as file:
        file.write("began")
    time.sleep(600)


@app.task
def shout(text):
    return text.upper()
