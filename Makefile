# The commands of the project. `make run` and `make test` need a Rust toolchain (1.90 or newer);
# the tests with other languages' clients install what they need if they can.
.PHONY: run test lint unit clients console browser screenshots bench bench-cluster sample

# More arguments for `make run`, such as ARGS="--amqp 127.0.0.1:5673".
ARGS ?=

run: console
	cargo build --release
	./target/release/warren server --data-dir ./warren-data $(ARGS)

test: console lint unit clients browser

# The web console, which the program takes in when it is built; without npm it is left out.
console:
	management-ui/build

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	scripts/check-dependencies

# cargo-nextest is faster where it is installed. The tests of logins need a directory (slapd comes by apt as root).
unit:
	test -x /usr/sbin/slapd || ! command -v apt-get >/dev/null || test "$$(id -u)" != 0 || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slapd >/dev/null; }
	if cargo nextest --version >/dev/null 2>&1; then cargo nextest run; else cargo test; fi

# Programs on real clients of other languages; the script sets up what they need (python3 and npm
# must be there; amqp-tools and haproxy come by apt as root).
clients:
	tests/clients/run

# The console in a real browser (Chromium comes by apt as root).
browser:
	management-ui/tests/run

# The pictures of the README.
screenshots:
	management-ui/tests/run tests/screenshots.mjs

# Speed and memory, beside RabbitMQ where there is one; see scripts/bench. BENCH="--only durable".
BENCH ?=

bench:
	scripts/bench $(BENCH)

# The same of three nodes; see scripts/bench-cluster.
bench-cluster:
	scripts/bench-cluster $(BENCH)

# Writes docs/rabbitmq.conf.sample and docs/arguments.md from their tables; tests hold that they are up to date.
sample:
	WARREN_WRITE_SAMPLE=1 cargo test --lib written_from_the_table
