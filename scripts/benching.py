"""What the programs that measure brokers share: the load generator, processes, and the table."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WARREN = TARGET / "release" / "warren"


def number(name, default):
    return int(os.environ.get(name, default))


ROUNDS = number("BENCH_ROUNDS", 3)
SECONDS = number("BENCH_SECONDS", 5)
MIB = 1 << 20
# Of the column with what was measured.
WIDTH = 56


class Failed(Exception):
    """A run that gave no figure."""


def perf(uri, *arguments, timeout=None):
    """Runs the load generator and gives its report."""
    command = [WARREN, "perf", "--uri", uri, "--json", *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout or SECONDS + 60)
    except subprocess.TimeoutExpired:
        raise Failed("not done in time") from None
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise Failed(done.stderr.strip()[-300:] or f"exit code {done.returncode}") from None
    if not report["ok"]:
        raise Failed("; ".join(report["errors"]) or "messages were lost, refused or returned")
    return report


def resident(pid):
    """Resident bytes of a process."""
    with open(f"/proc/{pid}/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise Failed("no VmRSS")


def settled(memory):
    """What `memory` gives once it has stopped falling for a second, ten seconds at most."""
    least = memory()
    for _ in range(10):
        time.sleep(1)
        now = memory()
        if now >= least:
            break
        least = now
    return least


def load(figure, rate, *arguments):
    """A scenario of producers and consumers for some seconds, and one rate of its report."""

    def run(broker):
        report = broker.perf("--warmup", 1, "--seconds", SECONDS, *arguments)
        yield figure, report[rate]

    return run


def wait_for(condition, what, process, seconds=60):
    end = time.monotonic() + seconds
    while not (value := condition()):
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"{what} did not start")
        time.sleep(0.005)
    return value


@contextlib.contextmanager
def serving(directory, *flags):
    """Warren with its data and its log in that directory: the process, and the ports by their listeners."""
    ports = directory / "ports.json"
    command = [WARREN, "server", "--data-dir", directory / "warren", "--ports-file", ports, "--cluster", "none", *flags]

    def listening():
        try:
            return json.loads(ports.read_text())
        except (OSError, ValueError):
            return None

    with open(directory / "warren.log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process, wait_for(listening, "warren", process)
        finally:
            stop(process)


def stop(process):
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def listener(port):
    """The process that listens on a TCP port of this machine, if it can be found."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError), open(table) as lines:
            for fields in map(str.split, list(lines)[1:]):
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for link in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(link) in inodes:
                return int(link.parts[2])
    return None


def measure(name, rounds, scenario, brokers):
    """The median of every figure for every broker: {figure: {broker: value or why not}}."""
    values, failures = {}, {}
    for turn in range(rounds):
        for broker in brokers if turn % 2 == 0 else reversed(brokers):
            print(f"  {name} {turn + 1}/{rounds} {broker.name} …", file=sys.stderr, flush=True)
            try:
                for figure, value in scenario(broker):
                    values.setdefault(figure, {}).setdefault(broker.name, []).append(value)
            except Failed as error:
                failures.setdefault(broker.name, str(error))
    for figure in values:
        values[figure] = {broker: statistics.median(found) for broker, found in values[figure].items()}
    for broker, why in failures.items():
        print(f"{name}, {broker}: {why}")
    return values, bool(failures)


def shown(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def line(figure, values, less, brokers):
    columns = [values.get(broker.name) for broker in brokers]
    text = f"{figure:<{WIDTH}}" + "".join(f"{shown(value):>14}" for value in columns)
    if len(columns) == 2 and all(columns):
        ratio = columns[1] / columns[0] if less else columns[0] / columns[1]
        text += f"{ratio:>10.1f}×"
    print(text, flush=True)


def build():
    subprocess.run(["cargo", "build", "--release"], cwd=ROOT, check=True)


def words(scenarios):
    """What may be said for `only`: the words of scenarios, and what several of them begin with."""
    whole = [word for word, *_ in scenarios]
    first = [word.split("-")[0] for word in whole]
    return list(dict.fromkeys(whole + first))


def run_all(scenarios, only, brokers):
    """Runs the scenarios and prints the table: the figures, and whether anything failed. A scenario
    is a word for `only` (`one` takes `one-other` too), how many rounds, what gives its figures, and which are better when less:
    all, or those with one of these words."""
    figures, failed = {}, False
    print(f"{'':<{WIDTH}}" + "".join(f"{broker.name:>14}" for broker in brokers))
    for word, rounds, scenario, less in scenarios:
        if only and not any(word == one or word.startswith(f"{one}-") for one in only):
            continue
        found, has_failed = measure(word, rounds, scenario, brokers)
        failed |= has_failed
        figures |= found
        for figure, values in found.items():
            is_less = less is True or any(word in figure for word in less or ())
            line(figure, values, is_less, brokers)
    return figures, failed


def write(file, figures):
    pathlib.Path(file).write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
