"""Three nodes of the built broker behind HAProxy."""

import base64
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 60


def until(what, holds):
    """Looks again and again until something is so."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"not after {PATIENCE} s: {what}")
        time.sleep(0.05)


class Nodes:
    """Counted from 1. Each has a loopback address of its own, so that all have the same ports."""

    def __init__(self, directory, settings=""):
        """`settings` is the configuration of all nodes."""
        self.directory = pathlib.Path(directory)
        (self.directory / "nodes.conf").write_text(settings)
        self.has_tls = "ssl_options" in settings
        self.network = f"127.{random.randint(1, 254)}.{random.randint(1, 254)}"
        self.host = f"{self.network}.100"
        self.url = f"amqp://guest:guest@{self.host}:5672/%2f"
        (self.directory / "secret").write_text("the secret of a test")
        self.processes = {}
        self.proxy = None

    def __enter__(self):
        for node in self.all():
            self.start(node)
        self.all_ready()
        settings = self.directory / "haproxy.cfg"
        settings.write_text((HERE / "haproxy.cfg").read_text().replace("NETWORK", self.network))
        # -db: it stays a child of ours.
        self.proxy = subprocess.Popen(["haproxy", "-db", "-f", settings], **self.log("haproxy"))
        until("HAProxy listens", self.proxy_listens)
        return self

    def __exit__(self, *failure):
        processes = [process for process in (*self.processes.values(), self.proxy) if process]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()

    def all(self):
        return range(1, 4)

    def proxy_listens(self):
        try:
            socket.create_connection((self.host, 5672), timeout=1).close()
            return True
        except OSError:
            return False

    def show_logs(self):
        for log in sorted(self.directory.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            print(f"── {log.name}, its last lines", *lines[-80:], sep="\n", flush=True)

    def log(self, name):
        log = open(self.directory / f"{name}.log", "a")
        return {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}

    def start(self, node):
        host = f"{self.network}.{node}"
        command = [os.environ["BROKER_BINARY"], "server", "--node-name", f"rabbit@n{node}"]
        command += ["--config", self.directory / "nodes.conf"]
        command += ["--amqp", f"{host}:5672", *(["--amqps", f"{host}:5671"] if self.has_tls else []), "--management", f"{host}:15672", "--prometheus", "none"]
        command += ["--stream", f"{host}:5552"]
        command += ["--cluster", f"{host}:25672", "--advertise", f"{host}:25672"]
        command += ["--cluster-secret-file", self.directory / "secret", "--data-dir", self.directory / f"n{node}"]
        for other in self.all():
            command += ["--join", f"{self.network}.{other}:25672"]
        self.processes[node] = subprocess.Popen(command, **self.log(f"n{node}"))

    def kill(self, node):
        self.processes[node].kill()
        self.processes[node].wait()

    def stop(self, node):
        self.processes[node].terminate()
        status = self.processes[node].wait(PATIENCE)
        assert status == 0, f"node {node} ended with {status}"

    def pause(self, node):
        self.processes[node].send_signal(signal.SIGSTOP)

    def resume(self, node):
        self.processes[node].send_signal(signal.SIGCONT)

    def resident(self, node):
        """Bytes of memory of a node."""
        status = pathlib.Path(f"/proc/{self.processes[node].pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))

    def ask(self, node, path):
        """What a node's API answers as JSON; nothing if it does not, or refuses."""
        credentials = base64.b64encode(b"guest:guest").decode()
        request = urllib.request.Request(
            f"http://{self.network}.{node}:15672/api/{path}", headers={"Authorization": f"Basic {credentials}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)
        except (OSError, urllib.error.URLError, ValueError):
            return None

    def all_ready(self):
        """Waits until each node serves clients and sees all of them run."""
        for node in self.all():
            until(
                f"node {node} ready and seeing all run",
                lambda: self.ask(node, "health/checks/ready-to-serve-clients")
                and sum(other["running"] for other in self.ask(node, "nodes") or []) == 3,
            )
