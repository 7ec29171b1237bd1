#!/usr/bin/env bash
# Tests what is served against its own description, logged in as a bot, with schemathesis (https://schemathesis.io, from PyPI).
# Usage: scripts/schemathesis.sh BASE_URL BOT_ID TOKEN [argument of schemathesis…]
# Needs schemathesis on the PATH or in $SCHEMATHESIS; exit code 127 when it is not there.
set -euo pipefail

program=${SCHEMATHESIS:-schemathesis}
if ! command -v "$program" >/dev/null; then
    echo "schemathesis.sh: $program is not installed (pip install schemathesis)" >&2
    exit 127
fi
base=${1:?BASE_URL} bot=${2:?BOT_ID} token=${3:?TOKEN}
shift 3

# Every request logs in, for the generated name and token would all be refused; and none waits for jobs.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/hooks.py" <<'PYTHON'
import os

import schemathesis

# The parts of resumable uploads.
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict):
        body["bot_id"] = os.environ["BOT_ID"]
        body["api_token"] = os.environ["BOT_TOKEN"]
        body.pop("wait_seconds", None)
    return body
PYTHON
cd "$work"
BOT_ID=$bot BOT_TOKEN=$token SCHEMATHESIS_HOOKS=hooks PYTHONPATH=$work \
    "$program" run "$base/api/openapi.json" --url "$base" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance "$@"
