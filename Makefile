# The two commands. Everything they do is in `cargo xtask`.
.PHONY: demo test
demo:
	@cargo xtask demo $(ARGS)
test:
	@cargo xtask ci
