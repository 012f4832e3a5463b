"""Storms of connections through HAProxy, plain and over TLS: many one after the other, and many at once.

STORM_SHORT (1000) and STORM_AT_ONCE (500) say how many; what is meant to hold is 5000 and 2000.
"""

import functools
import os
import resource
import ssl
import subprocess
import tempfile
import time

import pika
from pika.adapters.select_connection import IOLoop

from checks import Checks, equal
from nodes import Nodes, until

checks = Checks("storm")
SHORT = int(os.environ.get("STORM_SHORT", 1000))
AT_ONCE = int(os.environ.get("STORM_AT_ONCE", 500))
# What a node may have more afterwards than after the first such storm, which brings it to its working size.
MIB = 1 << 20
MORE = 16 * MIB
PATIENCE_SECONDS = 120


def certificates(directory):
    """A certificate for the nodes, signed by itself; its file and the configuration with it."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=nodes", "-keyout", f"{directory}/key.pem", "-out", f"{directory}/cert.pem"],
        check=True,
        capture_output=True,
    )
    return f"{directory}/cert.pem"


def settings(directory):
    return (
        f"ssl_options.certfile = {directory}/cert.pem\nssl_options.keyfile = {directory}/key.pem\n"
        "loopback_users = none\n"
    )


def parameters(nodes, certificate):
    credentials = pika.PlainCredentials("guest", "guest")
    options = {"credentials": credentials, "heartbeat": 0, "socket_timeout": 60, "stack_timeout": 60}
    if certificate is None:
        return pika.ConnectionParameters(nodes.host, 5672, **options)
    context = ssl.create_default_context(cafile=certificate)
    context.check_hostname = False
    return pika.ConnectionParameters(nodes.host, 5671, ssl_options=pika.SSLOptions(context), **options)


class Many:
    """Connections in one event loop: so many are opened, at most `width` at a time, and each is closed when `ripe`."""

    def __init__(self, parameters, count, width, stay):
        self.parameters, self.count, self.width, self.stay = parameters, count, width, stay
        self.begun = self.ended = 0
        self.open = []
        self.failures = []
        self.loop = IOLoop()

    def run(self):
        for _ in range(min(self.width, self.count)):
            self.begin()
        limit = self.loop.call_later(PATIENCE_SECONDS, functools.partial(self.give_up))
        self.loop.start()
        self.loop.remove_timeout(limit)
        return self

    def give_up(self):
        self.failures.append(f"{self.ended} of {self.count} ended after {PATIENCE_SECONDS} s, {len(self.open)} open")
        self.loop.stop()

    def begin(self):
        self.begun += 1
        pika.SelectConnection(
            self.parameters,
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.opened),
            on_open_error_callback=lambda _connection, error: self.over(error),
            on_close_callback=lambda _connection, reason: self.over(None if reason.reply_code == 200 else reason),
            custom_ioloop=self.loop,
        )

    def opened(self, channel):
        self.open.append(channel.connection)
        if not self.stay:
            self.open.pop().close()
        elif len(self.open) == self.count:
            for connection in self.open:
                connection.close()

    def over(self, failure):
        self.ended += 1
        if failure is not None:
            self.failures.append(repr(failure))
        if self.begun < self.count:
            self.begin()
        elif self.ended == self.count:
            self.loop.stop()


def storms(nodes, certificate):
    """Both kinds; what failed."""
    failures = Many(parameters(nodes, certificate), SHORT, 1, stay=False).run().failures
    return failures + Many(parameters(nodes, certificate), AT_ONCE, AT_ONCE, stay=True).run().failures


def memory_of(nodes):
    return [nodes.resident(node) for node in nodes.all()]


def storm_of(nodes, certificate):
    warm = Many(parameters(nodes, certificate), AT_ONCE, AT_ONCE, stay=True).run().failures
    until("all connections gone", lambda: nodes.ask(1, "connections") == [])
    before = memory_of(nodes)
    begun = time.monotonic()
    failures = warm + storms(nodes, certificate)
    took = time.monotonic() - begun
    equal(failures[:5], [])
    until("all connections gone", lambda: nodes.ask(1, "connections") == [])
    until(
        f"memory as before, {before}",
        lambda: all(now <= then + MORE for now, then in zip(memory_of(nodes), before)),
    )
    print(f"# {took:.1f} s; MiB before and after {[[round(n / MIB) for n in when] for when in (before, memory_of(nodes))]}")


def main():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as directory:
        certificate = certificates(directory)
        with Nodes(directory, settings(directory)) as nodes:

            @checks.check
            def plain():
                storm_of(nodes, None)

            @checks.check
            def over_tls():
                storm_of(nodes, certificate)

            try:
                checks.run()
            except SystemExit as end:
                if end.code:
                    nodes.show_logs()
                raise


main()
