#!/usr/bin/env bash
# Checks lifecycle.pml with spin: its invariants, that every job ends, and that mistakes are found, for a job of
# one task; the invariants also for a job of two tasks, with one attempt each and no faults. Prints a line for
# each property, and a counterexample where there is one. Status 0: all as it should be.
#
# MILLRACE_MODEL_FAULTS: how many faults a run may have (default 1; each makes about 20 times the states).
# What led to a counterexample: cd build/model && FAULTS=1 ./safety -r safety.trail (or ./liveness).
#
# MILLRACE_MODEL_DIR: where to work and to leave counterexamples (default build/model).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

model=$PWD/tests/model/lifecycle.pml
faults=${MILLRACE_MODEL_FAULTS:-1}
work=${MILLRACE_MODEL_DIR:-build/model}
depth=200000      # steps of the longest run
memory=4096       # MiB
cpu_seconds=$((120 * faults * faults)) # of one search
status=0

mkdir -p "$work"
cd "$work"
spin -a "$model" > spin.log 2>&1 || { cat spin.log >&2; exit 1; }
compile=(gcc -O1 "-DMEMLIM=$memory" -DVECTORSZ=1024 -DNFAIR=3 pan.c)
"${compile[@]}" -DSAFETY -DNOCLAIM -o safety
"${compile[@]}" -o liveness
spin -a -DTASKS=2 -DMAX_ATTEMPTS=1 "$model" > spin.log 2>&1 || { cat spin.log >&2; exit 1; }
"${compile[@]}" -DSAFETY -DNOCLAIM -o safety2

# search SEARCH TRIAL FAULTS OPTION...: leaves its report in NAME.log.
search() {
  local name=$1 trial=$2 allowed=$3
  shift 3
  rm -f lifecycle.pml.trail
  (ulimit -t "$cpu_seconds" && TRIAL=$trial FAULTS=$allowed "$@" "-m$depth") > "$name.log" 2>&1 || true
}

# A search that was cut short proves nothing.
complete() { grep -q 'errors: 0$' "$1.log" && ! grep -qE 'Search not completed|max search depth' "$1.log"; }
refuted() { grep -qE 'errors: [1-9]' "$1.log" && ! grep -q 'Search not completed.*memory' "$1.log"; }
states() { sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' "$1.log"; }

# line PROPERTY NAME RESULT
line() { printf '%-44s %12s  %s\n' "$1" "$(states "$2")" "$3"; }

# holds PROPERTY NAME COMMAND...; `allowed` says how many faults, else MILLRACE_MODEL_FAULTS does
holds() {
  local property=$1 name=$2
  shift 2
  search "$name" 0 "${allowed:-$faults}" "$@"
  if complete "$name"; then
    line "$property" "$name" holds
  else
    line "$property" "$name" "NOT SHOWN, see $work/$name.log"
    [[ ! -e lifecycle.pml.trail ]] || mv lifecycle.pml.trail "$name.trail"
    status=1
  fi
}

# found TRIAL COMMAND: its number stands in the model.
found() {
  local number
  number=$(sed -nE "s/^#define $1 ([0-9]+).*/\1/p" "$model")
  search "$1" "$number" 1 "$2"
  if refuted "$1"; then
    line "$1" "$1" refuted
  else
    line "$1" "$1" 'NOT REFUTED: the model is blind to it'
    status=1
  fi
}

printf '%-44s %12s  %s\n' property states result
holds 'invariants, and no job is stuck' safety ./safety
holds 'every job ends once faults stop' liveness ./liveness -a -f
allowed=0 holds 'invariants of a job of two tasks' safety2 ./safety2
for trial in $(sed -nE 's/^#define ([A-Z_]+) [0-9]+ *(\/\*.*)?$/\1/p' "$model" |
  grep -E '^(NO_|NEVER_|[A-Z]+_BEFORE_|CANCEL_WHILE_)'); do
  found "$trial" ./safety
done
found BURIED_WHILE_RUNNING ./safety2
exit $status
