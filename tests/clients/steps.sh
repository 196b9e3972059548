# shellcheck shell=bash
# Shared by the sequences in shell. A sequence prints one line for each step: its name, the exit code and what it
# said, without what differs from run to run.

# step NAME COMMAND...: for a command whose output matters.
step() {
  local step_name=$1 said code=0
  shift
  said=$("$@" 2>&1 </dev/null) || code=$?
  printf '%s\t%s\t%s\n' "$step_name" "$code" "$(plain <<<"$said")"
}

# act NAME COMMAND...: for a command that shows its progress. Only a failure says something.
act() {
  local step_name=$1 said code=0
  shift
  said=$("$@" 2>&1 </dev/null) || code=$?
  [ "$code" -ne 0 ] || said=
  printf '%s\t%s\t%s\n' "$step_name" "$code" "$(plain <<<"$said")"
}

# Ids, times and addresses in general terms; all lines in one.
plain() {
  sed -E -e 's/\x1b\[[0-9;?]*[A-Za-z]//g' -e 's/\r//g' \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[+-][0-9:]+)/TIME/g' \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:.]+ [+]0000 utc/TIME/gi' \
    -e 's/(sha256:)?\b[0-9a-f]{12,64}\b/ID/g' \
    -e 's/\b(127\.0\.0\.1|0\.0\.0\.0):[0-9]{5}\b/\1:PORT/g' \
    -e 's/\b(172|10|192)(\.[0-9]{1,3}){3}\b/ADDRESS/g' \
    -e 's/\b[a-z0-9]{25}\b/SWARM-ID/g' \
    -e 's/(About|Less than) an? (second|minute)|[0-9]+ (seconds?|minutes?)/A WHILE/g' \
    -e 's/[[:space:]]+/ /g' | paste -sd '|' | sed -E -e 's/\|+$//'
}

# Retries a look for a state that comes a moment later.
until_it_is() { # WHAT COMMAND...
  local expected=$1 said=
  shift
  for _ in $(seq 100); do
    said=$("$@" 2>&1 </dev/null) && [ "$said" = "$expected" ] && break
    sleep 0.2
  done
  printf '%s\n' "$said"
}
