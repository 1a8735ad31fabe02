# The two commands, and the second act of the first. Everything that they do is in `cargo xtask` and in the program.
.PHONY: demo drill test
demo:
	@cargo xtask demo $(ARGS)
drill:
	@target/release/cofferdam drill nine-november --data demo-data $(ARGS)
test:
	@cargo xtask ci
