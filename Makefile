# mailsudo: `make demo` shows it, `make test` tests it. Each target says what it does in `make help`.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo

bindir   = $(DESTDIR)$(PREFIX)/bin
sharedir = $(DESTDIR)$(PREFIX)/share/mailsudo
etcdir   = $(DESTDIR)/etc/mailsudo
statedir = $(DESTDIR)/var/lib/mailsudo
user     = mailsudo
program  = target/$(shell rustc --print host-tuple)/release/mailsudo

.DEFAULT_GOAL := build
.PHONY: help demo build check lint deny test test-unit test-system bench install uninstall setup clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: build ## Show the main job in a throw-away folder, without root and without Postfix
	@examples/demo $(program)

build: ## Build the release binary
	$(CARGO) build --release --locked

check: lint deny ## Format, lints, docs, licences: what a change must pass besides the tests

lint: ## cargo fmt, clippy and doc, without a warning
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items

deny: ## Licences, bans and sources of all dependencies (installs cargo-deny if it is missing)
	@$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install cargo-deny --locked
	$(CARGO) deny --all-features check licenses bans sources

test: setup test-unit test-system ## Set up what the tests need, and run every one

setup: ## Install the Debian packages that the tests need (asks for sudo if need be)
	@tests/setup

test-unit: ## Tests that need no root: units, properties, protocol vectors, the built binary
	$(CARGO) test --locked

test-system: ## The real Postfix, sudo, sudo-rs and rsyslog around the program, in a sandbox (asks for sudo if need be)
	@tests/system/run

bench: build ## Print what deliveries cost: instructions, size, memory
	@tests/bench $(program)

install: ## Install program, service user and an empty gateway (as root, after `make build`)
	@test -x $(program) || { echo 'There is no $(program) yet: run `make build` first, not as root.' >&2; exit 1; }
	install -D -m 0755 $(program) $(bindir)/mailsudo
	install -d -m 0755 $(sharedir)/postfix $(sharedir)/examples/users.d $(sharedir)/examples/commands.d
	install -m 0755 postfix/install $(sharedir)/postfix/
	install -m 0644 postfix/main.cf postfix/master.cf postfix/transport $(sharedir)/postfix/
	install -m 0644 examples/mailsudo.toml $(sharedir)/examples/
	install -m 0644 examples/users.d/*.toml $(sharedir)/examples/users.d/
	install -m 0644 examples/commands.d/*.toml $(sharedir)/examples/commands.d/
	install -d -m 0755 $(etcdir) $(etcdir)/users.d $(etcdir)/commands.d
	test -e $(etcdir)/mailsudo.toml || install -m 0644 examples/mailsudo.toml $(etcdir)/
ifeq ($(DESTDIR),)
	getent passwd $(user) >/dev/null || useradd --system --user-group --no-create-home \
		--home-dir /var/lib/mailsudo --shell /usr/sbin/nologin --comment 'mailsudo gateway' $(user)
	install -d -m 0750 -o root -g $(user) $(etcdir)/secrets.d
	install -d -m 0700 -o $(user) -g $(user) $(statedir)
else
	install -d -m 0750 $(etcdir)/secrets.d
	install -d -m 0700 $(statedir)
endif

uninstall: ## Remove the program; configuration, secrets and ledger stay
	rm -f $(bindir)/mailsudo
	rm -rf $(sharedir)

clean: ## Remove what was built
	$(CARGO) clean
