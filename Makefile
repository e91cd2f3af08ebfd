# mailsudo: `make demo` shows it, `make test` tests it. Each target says what it does in `make help`.

PREFIX  ?= /usr/local
DESTDIR ?=
CARGO   ?= cargo

bindir   = $(DESTDIR)$(PREFIX)/bin
datadir  = $(DESTDIR)$(PREFIX)/share
sharedir = $(datadir)/mailsudo
docdir   = $(datadir)/doc/mailsudo
mandir   = $(datadir)/man
etcdir   = $(DESTDIR)/etc/mailsudo
statedir = $(DESTDIR)/var/lib/mailsudo
user     = mailsudo
man      = target/man
# What `make build` built last. root, who installs, often has no rustc to ask.
built    = target/built
program  = $(shell cat $(built) 2>/dev/null || echo target/release/mailsudo)

# Builds the debug program as `make test-unit` does. `cargo build` would build its dependencies once more, because it gives
# them fewer features.
test-program = $(CARGO) test --locked --no-run --test golden
# Where cargo has put it, as cargo says it.
debug-program = $$($(test-program) --quiet --message-format json | sed -n 's|.*"executable":"\([^"]*/mailsudo\)".*|\1|p' | tail -1)

.DEFAULT_GOAL := build
.PHONY: help toolchain demo build man check lint deny page test test-unit test-page test-system soak soak-chaos setup-soak fuzz bench install
.PHONY: functions
.PHONY: test-cluster test-cluster-short uninstall auditable deb rpm sbom release test-packages test-platforms test-reproducible coverage mutants setup clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: build ## Show the main job in a throw-away folder, without root and without Postfix
	@examples/demo "$$(cat $(built))"

# TARGET=aarch64-unknown-linux-gnu builds for another architecture; install and deb take what was built last.
TARGET  ?= $(shell rustc --print host-tuple 2>/dev/null)

# Says first what is missing, before Cargo says it in its own way.
rust     = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

toolchain:
	@found=$$(rustc --version 2>/dev/null | cut -d' ' -f2); \
	printf '%s\n%s\n' $(rust) "$${found:-0}" | sort -C -V || \
		{ echo "needs Rust $(rust) or later (found $${found:-none}): https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo 'needs a C compiler (found none): apt install gcc' >&2; exit 1; }

build: toolchain ## Build the release binary, its man pages and completions (TARGET: for another architecture)
	$(CARGO) $(audited) build --release --locked --bin mailsudo --target $(TARGET)
	@echo target/$(TARGET)/release/mailsudo >$(built)
	@$(MAKE) --no-print-directory man

man: # Man pages of section 1 and completions, made by the program itself.
	rm -rf $(man)/man $(man)/client
	$(CARGO) run --quiet --locked --example man -- $(man)/man
	mkdir -p $(man)/client
	mv $(man)/man/mailsudo-sign.1 $(man)/man/mailsudo-verify.1 $(man)/man/mailsudo-key*.1 $(man)/man/mailsudo-completions.1 $(man)/client/
	for shell in bash zsh fish; do $(program) completions $$shell >$(man)/mailsudo.$$shell || exit 1; done

check: test ## The same as `make test`

lint: ## cargo fmt, clippy, doc, and that the fuzz targets compile, without a warning
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --test system -- -D warnings
	$(CARGO) clippy --locked --no-default-features --lib --bins -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --no-deps --document-private-items
	cd fuzz && $(CARGO) check --locked --bins --target-dir ../target

deny: ## Licences, bans and sources of all dependencies (installs cargo-deny if it is missing)
	@$(CARGO) deny --version >/dev/null 2>&1 || (cd / && $(CARGO) install cargo-deny --locked)
	$(CARGO) deny --all-features check licenses bans sources

page: ## Build the users' page (page/built.html, which is committed) after a change in page/
	node page/build.mjs

test: toolchain setup test-unit test-page test-system test-cluster-short ## Set up what the tests need (asks before it installs packages), and run every one

setup: ## Install the Debian packages that the tests need, after asking (MAILSUDO_INSTALL=yes: without)
	@tests/setup

# Twice as many at once as there are processors: half of the time, a test waits for other programs or for a limit in time.
test-unit: ## Tests that need no root: units, properties, protocol vectors, the built binary
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(nproc)))} $(CARGO) test --locked $(TEST_FLAGS)

test-page: ## The users' page: its types, its rules in node, and the page in a headless Chromium
	tsc -p page
	$(test-program)
	MAILSUDO="$(debug-program)" node --test page/test/*.test.mjs

test-system: ## The real Postfix, sudo, sudo-rs and rsyslog around the program, in a sandbox (asks for sudo if need be)
	@tests/system/run

test-cluster: build ## Three PostgreSQL servers with Patroni, two mail servers; the primary is killed, cut off and stopped (as root)
	@tests/cluster/run "$$(cat $(built))"

# With the program that `make test-system` has built, in the same folder and with its list of dependencies: nothing is built anew.
test-cluster-short: export CARGO_TARGET_DIR = $(CURDIR)/target
test-cluster-short: auditable build ## What `make test` has of it: the primary is killed, and stopped
	@tests/cluster/run "$$(cat $(built))" short

soak: setup setup-soak ## What takes longer than `make test` should: each says what it tried and what it found (hours)
	MAILSUDO_SOAK=1 $(CARGO) test --locked --test crash -- --nocapture
	$(CARGO) test --locked --test faults --test integration --test model -- --ignored --nocapture
	MAILSUDO="$(debug-program)" node --test page/test/*.soak.mjs
	@$(MAKE) --no-print-directory soak-chaos
	@fuzz/run
	@fuzz/mutate

soak-chaos: ## Requests to the real Postfix while what is around them dies (MAILSUDO_SEED, _REQUESTS, _CHAOS_SECONDS)
	@tests/setup libfaketime
	RUSTFLAGS='-C target-feature=-crt-static' $(CARGO) build --quiet --locked --bin mailsudo --target-dir target/dynamic
	MAILSUDO_DYNAMIC="$$(echo $(CURDIR)/target/dynamic/*/debug/mailsudo)" tests/system/run --ignored --nocapture chaos::

setup-soak:
	@tests/setup firefox-esr thunderbird

fuzz: ## Fuzz what reads hostile input, FUZZ_SECONDS (60) for each target (nightly; installs cargo-fuzz if it is missing)
	@fuzz/run

bench: build ## Measure beside the rivals and write docs/performance.md (QUICK=1: a short run; asks for sudo if need be)
	@QUICK=$(QUICK) bench/run "$$(cat $(built))"

functions: ## Make .cargo/functions anew: in which order the program's functions stand (needs valgrind)
	$(CARGO) rustc --release --locked --bin mailsudo --target $(TARGET) -- -C strip=none
	bench/functions target/$(TARGET)/release/mailsudo >target/functions
	cp target/functions .cargo/functions

install: ## Install program, man pages, service user and an empty gateway (as root, after `make build`)
	@test -x $(program) || { echo 'There is no $(program) yet: run `make build` first, not as root.' >&2; exit 1; }
	install -D -m 0755 $(program) $(bindir)/mailsudo
	install -d -m 0755 $(sharedir)/postfix $(docdir)/examples/users.d $(docdir)/examples/commands.d $(docdir)/examples/payload $(docdir)/examples/approval $(docdir)/examples/recipes
	install -m 0644 postfix/main.cf postfix/master.cf postfix/transport $(sharedir)/postfix/
	install -m 0644 README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md $(docdir)/
	install -d -m 0755 $(docdir)/tests $(docdir)/docs/decisions $(docdir)/docs/images $(docdir)/docs/performance
	install -m 0644 tests/README.md $(docdir)/tests/
	install -m 0644 docs/*.md $(docdir)/docs/
	install -m 0644 docs/decisions/*.md $(docdir)/docs/decisions/
	install -m 0644 docs/images/* $(docdir)/docs/images/
	install -m 0644 docs/performance/* $(docdir)/docs/performance/
	install -m 0644 examples/mailsudo.toml $(docdir)/examples/
	install -m 0644 examples/users.d/*.toml $(docdir)/examples/users.d/
	install -m 0644 examples/commands.d/*.toml $(docdir)/examples/commands.d/
	install -m 0644 examples/payload/* $(docdir)/examples/payload/
	install -m 0644 examples/approval/* $(docdir)/examples/approval/
	install -m 0644 examples/recipes/* $(docdir)/examples/recipes/
	install -d -m 0755 $(mandir)/man1 $(mandir)/man5 $(mandir)/man7
	install -m 0644 $(man)/man/*.1 $(man)/client/*.1 $(mandir)/man1/
	install -m 0644 docs/man/*.5 $(mandir)/man5/
	install -m 0644 docs/man/*.7 $(mandir)/man7/
	install -D -m 0644 $(man)/mailsudo.bash $(datadir)/bash-completion/completions/mailsudo
	install -D -m 0644 $(man)/mailsudo.zsh $(datadir)/zsh/site-functions/_mailsudo
	install -D -m 0644 $(man)/mailsudo.fish $(datadir)/fish/vendor_completions.d/mailsudo.fish
	install -D -m 0644 packaging/mailsudo.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/mailsudo.conf
	install -D -m 0644 packaging/mailsudo.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/mailsudo.conf
	install -d -m 0755 $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/bin/|$(PREFIX)/bin/|' packaging/mailsudo-metrics.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-metrics.service
	install -m 0644 packaging/mailsudo-metrics.timer $(DESTDIR)$(PREFIX)/lib/systemd/system/
	sed 's|/usr/bin/|$(PREFIX)/bin/|' packaging/mailsudo-resume.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-resume.service
	install -m 0644 packaging/mailsudo-resume.timer $(DESTDIR)$(PREFIX)/lib/systemd/system/
	sed 's|/usr/bin/|$(PREFIX)/bin/|' packaging/mailsudo-report.service \
		>$(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-report.service
	install -m 0644 packaging/mailsudo-report.timer $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -d -m 0755 $(sharedir)/monitoring
	cp -R monitoring/fail2ban monitoring/grafana monitoring/prometheus $(sharedir)/monitoring/
	chmod -R u=rwX,go=rX $(sharedir)/monitoring
	install -m 0644 packaging/mailsudo-fetch.service packaging/mailsudo-fetch.timer $(DESTDIR)$(PREFIX)/lib/systemd/system/
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

uninstall: ## Remove what `make install` installed; configuration, secrets, ledger and account stay
	rm -f $(bindir)/mailsudo $(mandir)/man1/mailsudo.1 $(mandir)/man1/mailsudo-*.1
	rm -f $(mandir)/man5/mailsudo.toml.5 $(mandir)/man5/mailsudo-users.5 $(mandir)/man5/mailsudo-commands.5
	rm -f $(mandir)/man7/mailsudo.7 $(mandir)/man7/mailsudo-protocol.7
	rm -f $(datadir)/bash-completion/completions/mailsudo $(datadir)/zsh/site-functions/_mailsudo
	rm -f $(datadir)/fish/vendor_completions.d/mailsudo.fish
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/mailsudo.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/mailsudo.conf
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-metrics.service
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-metrics.timer
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-resume.service
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-resume.timer
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-report.service
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-report.timer
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-fetch.service
	rm -f $(DESTDIR)$(PREFIX)/lib/systemd/system/mailsudo-fetch.timer
	rm -rf $(sharedir) $(docdir)

# What is published names its dependencies itself: scanners read the list from the program (section .dep-v0).
deb rpm test-cluster-short: audited = auditable

auditable:
	@$(CARGO) auditable --version >/dev/null 2>&1 || (cd / && $(CARGO) install cargo-auditable --locked)

deb: auditable build ## Build the Debian packages mailsudo and mailsudo-client (installs cargo-deb if it is missing)
	@$(CARGO) deb --version >/dev/null 2>&1 || (cd / && $(CARGO) install cargo-deb --locked)
	$(CARGO) deb --no-build --no-strip --target "$$(cut -d/ -f2 $(built))" --output target/mailsudo.deb
	$(CARGO) deb --no-build --no-strip --target "$$(cut -d/ -f2 $(built))" --variant client --output target/mailsudo-client.deb
	@! command -v lintian >/dev/null || lintian --fail-on error,warning target/mailsudo.deb target/mailsudo-client.deb

rpm: auditable build ## Build the RPM packages mailsudo and mailsudo-client (installs cargo-generate-rpm if it is missing)
	@$(CARGO) generate-rpm --version >/dev/null 2>&1 || (cd / && $(CARGO) install cargo-generate-rpm --locked)
	$(CARGO) generate-rpm --target "$$(cut -d/ -f2 $(built))" --output target/mailsudo.rpm
	$(CARGO) generate-rpm --target "$$(cut -d/ -f2 $(built))" --variant client --output target/mailsudo-client.rpm
	@! command -v rpm >/dev/null || rpm -qp --requires --recommends --scripts target/mailsudo.rpm target/mailsudo-client.rpm
	@! command -v rpmlint >/dev/null || rpmlint --config packaging/rpmlint.toml target/mailsudo.rpm target/mailsudo-client.rpm

# The time of the commit, so that the same commit gives the same file.
sbom: ## Write the list of dependencies, CycloneDX, to target/mailsudo.cdx.json (installs cargo-cyclonedx if it is missing)
	@$(CARGO) cyclonedx --version >/dev/null 2>&1 || (cd / && $(CARGO) install cargo-cyclonedx --locked)
	@mkdir -p target
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(CARGO) cyclonedx --quiet --format json --spec-version 1.5 \
		--no-build-deps --target $(TARGET) --override-filename mailsudo.cdx
	sed 's|file://$(CURDIR)|file:///mailsudo|g' mailsudo.cdx.json >target/mailsudo.cdx.json
	rm mailsudo.cdx.json

release: deb rpm sbom ## Build what is published: packages, list of dependencies and checksums, in target/
	packaging/dependencies "$$(cat $(built))" target/mailsudo.cdx.json
	cd target && sha256sum mailsudo.deb mailsudo-client.deb mailsudo.rpm mailsudo-client.rpm mailsudo.cdx.json | tee SHA256SUMS

test-packages: ## Install, upgrade, remove and purge the Debian packages in fresh roots (after `make deb`; as root, mmdebstrap)
	@tests/packages/run

test-platforms: ## The whole suite in roots of Debian 13 and sid (as root, mmdebstrap; some 3 GB each)
	@tests/platform trixie
	@tests/platform sid

test-reproducible: auditable ## Two builds of the committed state, in folders of different names, are the same program (some minutes)
	@tests/reproducible

coverage: ## Measure which lines the tests run, and write docs/coverage.md (installs cargo-llvm-cov if it is missing)
	@tests/coverage

mutants: ## Change the code that decides in a thousand ways, and see each change fail a test (hours; installs cargo-mutants)
	@tests/mutants

clean: ## Remove what was built
	$(CARGO) clean
