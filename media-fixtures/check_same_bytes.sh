#!/bin/bash
# check_same_bytes.sh FIXTURE_DIR SCRATCH_DIR NAME...: makes the named fixtures
# again in SCRATCH_DIR and compares each with the one in FIXTURE_DIR.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fixtures=$1 again=$2
shift 2
rm -rf "$again"
trap 'rm -rf "$again"' EXIT
MILLRACE_FIXTURE_CACHE='' bash "$here/generate.sh" "$again" "$@"
for name in "$@"; do cmp "$fixtures/$name" "$again/$name"; done
