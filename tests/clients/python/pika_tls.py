"""pika over TLS, with and without a client's certificate."""

import base64
import json
import os
import pathlib
import ssl
import urllib.request

os.environ.setdefault("AMQP_URL", "")

import pika
from checks import Checks

FILES = pathlib.Path(os.environ["TLS_FILES"])
checks = Checks("pika-tls")


def connect(certificate=None, credentials=None, authority="ours"):
    context = ssl.create_default_context(cafile=FILES / f"{authority}.pem")
    if certificate:
        context.load_cert_chain(FILES / f"{certificate}.pem", FILES / f"{certificate}.key")
    parameters = pika.ConnectionParameters(
        "localhost",
        int(os.environ["TLS_PORT"]),
        credentials=credentials or pika.PlainCredentials("guest", "guest"),
        ssl_options=pika.SSLOptions(context, "localhost"),
    )
    return pika.BlockingConnection(parameters)


def connections():
    request = urllib.request.Request(os.environ["HTTP_URL"] + "/api/connections")
    request.add_header("Authorization", "Basic " + base64.b64encode(b"guest:guest").decode())
    return json.load(urllib.request.urlopen(request))


@checks.check
def messages_come_and_go():
    connection = connect()
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    bodies = [os.urandom(size) for size in (0, 1, 16383, 16384, 16385, 1_000_000)]
    for body in bodies:
        channel.basic_publish("", queue, body, mandatory=True)
    for body in bodies:
        assert channel.basic_get(queue, auto_ack=True)[2] == body
    connection.close()


@checks.check
def a_certificate_is_a_login():
    connection = connect("alice", pika.credentials.ExternalCredentials())
    [shown] = connections()
    assert (shown["user"], shown["auth_mechanism"], shown["ssl"]) == ("alice", "EXTERNAL", True), shown
    assert shown["peer_cert_subject"] == "CN=alice,O=Acme\\, Inc,C=SE", shown
    assert shown["peer_cert_issuer"] == "CN=ours", shown
    assert shown["ssl_protocol"] == "tlsv1.3", shown
    connection.close()


@checks.check
def nobody_logs_in_without_one():
    try:
        connect(None, pika.credentials.ExternalCredentials())
    except pika.exceptions.ProbableAuthenticationError:
        return
    raise AssertionError("it came in")


@checks.check
def a_broker_of_another_authority_is_not_believed():
    try:
        connect(authority="theirs")
    except (pika.exceptions.AMQPConnectionError, ssl.SSLError):
        return
    raise AssertionError("it was believed")


checks.run()
