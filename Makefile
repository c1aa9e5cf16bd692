# make run     installs what is missing and starts ipsecmon on this machine
# make bench   what a packet costs, beside uacctd and ulogd2; writes build/bench.json
# make bench-guest  what a poll of 2,000 and of 10,000 SAs costs, beside ip(8), in the guest (ARGS="2000")
# make test-guest-qemu  smoke tests and one of ESP in Debian's own kernel, emulated: slow (ARGS="TEST...")
# make fuzz    a million damaged inputs for each decoder, the config and names (ARGS="config --inputs 10000")
# make soak    ten minutes of killed, frozen and restarted servers (ARGS="--seconds 3600 --seed 7")
# make test    checks and every test; goes on after a failure, and fails at the end if any part did
#
# make test-pythons   unit, property and netns tests on the Pythons of PYTHONS, each in its own environment
#
# PYTHON makes the virtual environment VENV: make test PYTHON=python3.12 VENV=build/venv-3.12

PYTHON ?= python3
export PYTHON
PATH := $(PATH):/usr/sbin:/sbin
VENV ?= .venv
PYTEST := $(VENV)/bin/python -m pytest -q
SIDE_BY_SIDE := -n 2 --dist loadfile
EXACT := tests/guest/test_xfrm.py::test_totals_are_exact_through_rekeys_deletions_and_polls_at_any_moment
SAS := $(addprefix tests/guest/test_,$(addsuffix .py,agreement ike_names init layers naming no_key replay_window \
  sa_readers sa_source shares tunnels tunnel_rekeys tunnel_restarts xfrm))
AS_ROOT := scripts/as-root
PYTHONS ?= 3.9 3.11 3.13
PARTS := check test-unit test-netns test-guest test-parts
.PHONY: run venv test $(PARTS) test-guest-rules test-guest-sas test-pythons test-version test-guest-qemu bench bench-guest docs fuzz soak clean

run: $(VENV)/run.stamp
	@scripts/ensure-packages run
	@$(AS_ROOT) $(VENV)/bin/ipsecmon run $(ARGS)

venv: $(VENV)/test.stamp
	@scripts/ensure-packages test

# Two stamps in one environment: `run` needs no test tool, and a changed pyproject.toml installs again.
$(VENV)/run.stamp: pyproject.toml
	@scripts/ensure-packages run
	@echo "installing ipsecmon and what it imports into $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp
	@echo "installing the test tools into $(VENV)"
	@$(VENV)/bin/python -m pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

test: venv
	@scripts/run-parts $(PARTS)

check: venv
	@status=0; \
	$(VENV)/bin/ruff check --output-format=concise . || status=1; \
	$(VENV)/bin/ruff format --check . || status=1; \
	$(VENV)/bin/mypy || status=1; \
	exit $$status

test-unit: venv
	@$(PYTEST) $(SIDE_BY_SIDE) tests/unit tests/property tests/repo --junitxml=build/unit.xml

# three at once, as they wait much; the longest first
test-netns: venv
	@$(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder $(addprefix tests/netns/test_,outage.py kill.py restart.py) \
	  tests/netns --junitxml=build/netns.xml

# two guests, each with a CPU of its own where there are two, that take about as long: the second reads SAs, and
# SAS may be evened out but for what loads esp4_offload (test_blind_rules, test_doctor)
test-guest: venv
	@scripts/side-by-side test-guest-rules test-guest-sas

test-guest-rules: $(VENV)/test.stamp
	@$(AS_ROOT) tests/guest/run-guest -t 2400 -w build \
	  '$(PYTEST) tests/guest tests/systemd $(SAS:%=--ignore=%) --junitxml=build/guest-rules.xml'

test-guest-sas: $(VENV)/test.stamp
	@$(AS_ROOT) tests/guest/run-guest -t 2400 -w build '$(PYTEST) $(SAS) --junitxml=build/guest-sas.xml'

# the tests of `make test-guest` in another kernel: QEMU is no part of `make test`
test-guest-qemu: $(VENV)/test.stamp
	@$(AS_ROOT) tests/guest/run-guest-qemu -t 3600 -w build \
	  '$(PYTEST) $(or $(ARGS),tests/guest/test_smoke.py $(EXACT)) --junitxml=build/guest-qemu.xml'

# the soak first: it is one test, and waits most of its time
test-parts: venv
	@$(PYTEST) $(SIDE_BY_SIDE) --no-loadscope-reorder tests/parts/test_soak.py tests/parts --junitxml=build/parts.xml

test-pythons:
	@scripts/run-parts $(addprefix test-python-,$(PYTHONS))

test-python-%:
	@python=$$(scripts/ensure-python $*) && \
	$(MAKE) --no-print-directory PYTHON="$$python" VENV=build/venv-$* test-version

# what may differ from one Python to another: everything but servers and the guest
test-version: venv
	@$(PYTEST) $(SIDE_BY_SIDE) tests/unit tests/property tests/netns --junitxml=$(VENV).xml

docs: venv
	@mkdir -p build
	@$(VENV)/bin/python -m ipsecmon.config.reference > build/configuration.md
	@mv build/configuration.md docs/configuration.md
	@$(VENV)/bin/python -m ipsecmon.dashboards grafana/dashboards
	@for config in rules/*.yaml; do \
	  for backend in nft iptables; do \
	    $(VENV)/bin/ipsecmon rules show --backend $$backend -c $$config > build/rules || exit 1; \
	    mv build/rules $${config%.yaml}.$$backend; \
	  done; \
	done

bench: venv
	@scripts/ensure-packages bench
	@$(AS_ROOT) $(VENV)/bin/python -m tests.bench $(ARGS)

bench-guest: venv
	@$(AS_ROOT) tests/guest/run-guest -t 900 '$(VENV)/bin/python -m tests.guest.bench_xfrm $(or $(ARGS),2000 10000)'

fuzz: venv
	@$(VENV)/bin/python -m tests.fuzz $(ARGS)

soak: venv
	@$(VENV)/bin/python -m tests.soak $(ARGS)

clean:
	@rm -rf build dist $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
