#!/usr/bin/env bash
# The command-line tools of the C library: declare, publish, get, consume, delete.
set -uo pipefail
queue=amqp-tools-$$
failed=0

# Compares what came with what had to come.
check() {
  local name=$1 expected=$2 actual=$3
  if [[ $actual == "$expected" ]]; then
    echo "ok amqp-tools $name"
  else
    echo "not ok amqp-tools $name: '$actual' is not '$expected'"
    failed=1
  fi
}

tool() { local name=$1; shift; timeout 30 "amqp-$name" -u "$AMQP_URL" "$@"; }

check "declare-queue" "$queue" "$(tool declare-queue -d -q "$queue")"
tool publish -r "$queue" -p -C text/plain -b 'first' && tool publish -r "$queue" -b 'second'
check "publish" 0 $?
check "get" first "$(tool get -q "$queue")"
check "consume" second "$(tool consume -q "$queue" -c 1 cat)"
tool get -q "$queue" >/dev/null
check "get of an empty queue" 2 $?

large=$(head -c 300000 /dev/zero | tr '\0' x)
printf %s "$large" | tool publish -r "$queue"
check "publish of 300 kB" 0 $?
check "consume of 300 kB" "$large" "$(tool consume -q "$queue" -c 1 cat)"

tool publish -r "$queue" -l <<<$'one\ntwo\nthree'
check "consume of lines" $'one\ntwo\nthree' "$(tool consume -q "$queue" -c 3 cat)"

tool publish -e amq.topic -r paid.now -b 'nobody listens'
check "publish to an exchange" 0 $?
# A consumer with a queue of its own, bound to an exchange.
tool consume -e amq.topic -r "$queue.#" -c 1 cat >"/tmp/$queue" &
consumer=$!
for _ in $(seq 100); do
  tool publish -e amq.topic -r "$queue.now" -b 'news'
  kill -0 "$consumer" 2>/dev/null || break
  sleep 0.1
done
wait "$consumer"
check "consume from an exchange" news "$(cat "/tmp/$queue")"
rm -f "/tmp/$queue"

tool publish -r "$queue" -b 'left over'
check "delete-queue" 1 "$(tool delete-queue -q "$queue")"
tool get -q "$queue" 2>/dev/null
check "get of a missing queue" 1 $?
exit $failed
