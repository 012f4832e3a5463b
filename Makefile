# The commands of the README. `make test` needs only a Rust toolchain today.
.PHONY: test lint

lint:
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

test: lint
	cargo test
