"""Pages of metrics, read by the parser of Prometheus' own Python client."""

import os
import urllib.request

import pika
from checks import URL, Checks, equal, unique
from prometheus_client.parser import text_string_to_metric_families

checks = Checks("prometheus-client")


def scrape(path):
    """The samples of a page: by name, each its labels and value."""
    with urllib.request.urlopen(os.environ["METRICS_URL"] + path, timeout=20) as answer:
        text = answer.read().decode()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((sample.labels, sample.value))
    return samples


@checks.check
def every_page_is_read():
    for path in ["/metrics", "/metrics/per-object", "/metrics/detailed?family=queue_metrics", "/metrics/memory-breakdown"]:
        samples = scrape(path)
        equal(len(samples["rabbitmq_identity_info"]), 1)


@checks.check
def names_and_counts_come_through():
    name = unique('a "quoted" back\\slash')
    connection = pika.BlockingConnection(pika.URLParameters(URL))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(name, durable=True)
    before = scrape("/metrics")["rabbitmq_global_messages_received_total"][0][1]
    for _ in range(7):
        channel.basic_publish("", name, b"body")
    after = scrape("/metrics")["rabbitmq_global_messages_received_total"][0][1]
    equal(after - before, 7)
    ready = scrape("/metrics/per-object")["rabbitmq_queue_messages_ready"]
    equal([value for labels, value in ready if labels == {"vhost": "/", "queue": name}], [7])
    channel.queue_delete(name)
    connection.close()


checks.run()
