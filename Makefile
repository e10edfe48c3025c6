# Each target is one line that calls a script; `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup run test test-rpc fuzz sanitize bench bench-rpc bench-missions bench-storage bench-progress chaos generate clean

help:      ## show this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24
setup:     ## install the system packages that Buddy builds with
	@deploy/scripts/setup.sh build
run:       ## build for release, start everything and run an example mission (PORT=8420)
	@deploy/scripts/run.sh
test:      ## build and run every check and test
	@deploy/scripts/test.sh
test-rpc:  ## build and test the RPC runtime alone, in a fraction of the time
	@deploy/scripts/test-rpc.sh
fuzz:      ## feed what takes a peer's bytes with libFuzzer under AddressSanitizer (SECONDS_EACH=60, six targets)
	@deploy/scripts/fuzz.sh
sanitize:  ## run the RPC runtime's tests under ThreadSanitizer
	@deploy/scripts/sanitize.sh
bench:     ## print the figures of bench-rpc, and how fast missions are
	@deploy/scripts/bench.sh
bench-rpc: ## print the RPC runtime's figures beside gRPC C++'s, each with its goal; fails if one is missed
	@Tests/Benchmarks/bench-rpc.sh
bench-missions: ## print missions a second and how long one takes, with 1,000 and with 200,000 stored
	@deploy/scripts/bench-missions.sh
bench-storage: ## print how many durable rows a second group commit writes beside single commits
	@deploy/scripts/bench-storage.sh
bench-progress: ## print how fast events reach 1,000 WebSocket watchers, and what idle watchers take
	@deploy/scripts/bench-progress.sh
chaos:     ## kill services at random moments (KILLS=200, WATCH_KILLS=100), count what was lost, compare what was watched
	@deploy/scripts/chaos.sh
generate:  ## write the generated sources anew from proto/
	@proto/generate.sh
clean:     ## remove everything that was built
	@rm -rf .build .build-* .venv
