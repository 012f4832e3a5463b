#!/usr/bin/env bash
# TLS as OpenSSL, curl, pika and amqplib speak it: a node of its own with certificates that OpenSSL makes.
# Called by tests/clients/run with BROKER_BINARY, PYTHON and NODE_PATH.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
pid=''
finish() {
  [[ -n $pid ]] && kill "$pid" && wait "$pid"
  rm -rf "$work"
}
trap finish EXIT
cd "$work" || exit 1

failed=0
check() {
  local name=$1; shift
  if "$@" >out 2>&1; then echo "ok tls $name"; else echo "not ok tls $name"; cat out >&2; failed=1; fi
}
logged() { for _ in $(seq 200); do grep -q "$1" log && return; sleep 0.05; done; return 1; }

# An authority, a server, and clients: one as it should be, one too old, one of nobody we know.
authority() { openssl req -x509 -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.pem" -days 3650 -subj "/CN=$1" 2>/dev/null; }
issue() { # NAME AUTHORITY SUBJECT EXTENSIONS DAYS
  openssl req -newkey rsa:2048 -nodes -keyout "$1.key" -out "$1.csr" -subj "$3" 2>/dev/null
  printf '%s\n' "$4" >"$1.ext"
  openssl x509 -req -in "$1.csr" -CA "$2.pem" -CAkey "$2.key" -CAcreateserial -out "$1.pem" -days "$5" -extfile "$1.ext" 2>/dev/null
}
authority ours
authority theirs
issue server ours /CN=server "subjectAltName=DNS:localhost,IP:127.0.0.1" 365
issue alice ours "/C=SE/O=Acme, Inc/CN=alice" "subjectAltName=email:alice@example.org" 365
issue mallory theirs /CN=alice "extendedKeyUsage=clientAuth" 365
openssl pkcs8 -topk8 -v2 aes-256-cbc -in server.key -out locked.key -passout pass:open-sesame

cat >broker.conf <<CONF
listeners.tcp = 127.0.0.1:0
listeners.ssl = 127.0.0.1:0
ssl_options.cacertfile = $work/ours.pem
ssl_options.certfile = $work/server.pem
ssl_options.keyfile = $work/locked.key
ssl_options.password = open-sesame
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = false
auth_mechanisms.1 = PLAIN
auth_mechanisms.2 = EXTERNAL
ssl_cert_login_from = common_name
management.tcp.listener = 127.0.0.1:0
management.ssl.ip = 127.0.0.1
management.ssl.port = 0
management.ssl.cacertfile = $work/ours.pem
management.ssl.certfile = $work/server.pem
management.ssl.keyfile = $work/server.key
management.ssl.verify = verify_peer
management.ssl.fail_if_no_peer_cert = true
CONF
"$BROKER_BINARY" server --config broker.conf --data-dir data --node-name tls@localhost --prometheus none --stream none --cluster none \
  --ports-file ports >log 2>&1 &
pid=$!
for _ in $(seq 400); do [[ -s ports ]] && break; sleep 0.05; done
port() { sed -n "s/.*\"$1\": *\[\([0-9]*\).*/\1/p" ports; }
amqps=$(port amqps) https=$(port management_tls) http=$(port management)
[[ -n $amqps ]] || { echo "not ok tls start"; cat log >&2; exit 1; }

client() { timeout 10 openssl s_client -connect "127.0.0.1:$amqps" -CAfile ours.pem -verify_return_error -brief "$@" </dev/null; }
v12() { client -tls1_2 2>&1 | grep -q 'Protocol version: TLSv1.2'; }
v13() { client -tls1_3 2>&1 | grep -q 'Protocol version: TLSv1.3'; }
old() { ! client -tls1_1 -cipher 'ALL:@SECLEVEL=0'; }
shown() { # It answers and then waits for more, until it is cut off.
  { printf 'AMQP\0\0\011\001'; sleep 1; } | timeout 2 openssl s_client -quiet -connect "127.0.0.1:$amqps" -CAfile ours.pem 2>/dev/null | tr -d '\0' >offered
  grep -aq EXTERNAL offered
}
# A second handshake on a connection, which OpenSSL's client asks for by a line that is R alone.
renegotiated() { ! { sleep 0.3; echo R; sleep 0.5; } | timeout 10 openssl s_client -tls1_2 -legacy_renegotiation -connect "127.0.0.1:$amqps" -CAfile ours.pem; }
check "openssl speaks 1.2" v12
check "openssl speaks 1.3" v13
check "1.1 is not spoken" old
check "EXTERNAL is offered" shown
check "renegotiation ends the connection" renegotiated
check "a certificate of another authority is refused" bash -c "! timeout 10 openssl s_client -quiet -connect 127.0.0.1:$amqps -cert mallory.pem -key mallory.key </dev/null"
check "and the log says so" logged "the client's certificate is of no authority in ssl_options.cacertfile"

curl_as() { curl -sf --cacert ours.pem --cert "$1.pem" --key "$1.key" -u guest:guest "https://localhost:$https/api/overview"; }
foreign_curl() { ! curl_as mallory; }
bare_curl() { ! curl -sf --cacert ours.pem -u guest:guest "https://localhost:$https/api/overview"; }
check "curl with a certificate" curl_as alice
check "curl with one of another authority" foreign_curl
check "curl with none" bare_curl

curl -sf -u guest:guest -X PUT -d '{"password_hash":"","tags":""}' "http://127.0.0.1:$http/api/users/alice"
curl -sf -u guest:guest -X PUT -d '{"configure":".*","write":".*","read":".*"}' "http://127.0.0.1:$http/api/permissions/%2f/alice"
export TLS_PORT=$amqps HTTP_URL=http://127.0.0.1:$http TLS_FILES=$work
timeout 60 "$PYTHON" "$here/python/pika_tls.py" || failed=1
timeout 60 node "$here/node/amqplib_tls.js" || failed=1

# A certificate that does not name the host: the client refuses it, and the log says who did.
issue server ours /CN=server "subjectAltName=DNS:elsewhere.example" 365
check "a changed certificate is read again" logged "ssl_options stay as they were"
check "a host that is not in the certificate" bash -c "cp server.key locked.key; for i in \$(seq 100); do
  curl -sf --cacert ours.pem https://localhost:$amqps/ 2>/dev/null; grep -q \"client refuses this node's certificate\" log && exit; sleep 0.1; done; exit 1"
exit "$failed"
