# One-liners over the scripts; nothing is only here.

# The whole gate, or one step of it
ci *STEP:
    .ci/run {{STEP}}

# The tests, with a filter
test *FILTER:
    ./test {{FILTER}}

# Build and run the demo
demo *ARGS:
    ./quickstart {{ARGS}}

# Format everything
fmt:
    cargo fmt --all

# Lints as the gate has them
lint:
    .ci/run lint
