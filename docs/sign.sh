#!/bin/sh
# Signs one request with a shared secret and prints the headers for curl:
#
#   export SKEP_CA=ca.pem
#   sign.sh KEY_ID KEY_FILE METHOD URL [BODY_FILE] | curl --cacert ca.pem -H @- -X METHOD [--data-binary @BODY_FILE] URL
#
# SKEP_CA is the file with the certificate of the cluster's CA (`skep ca`). The
# signature names it, so that no other cluster accepts the request. With several
# certificates, or without the file, set SKEP_AUDIENCE (`skep ca --audience`).
# SKEP_TARGET names the node that should answer, and CONTENT_TYPE the type of the
# body (default: application/json). The script needs openssl. It computes the HMAC (RFC 2104) itself, because openssl takes
# the secret as an argument, which every user of the machine can read.
# shellcheck disable=SC2046,SC2086  # lists of numbers must split
set -eu
[ $# -ge 4 ] || { echo "usage: $0 KEY_ID KEY_FILE METHOD URL [BODY_FILE]" >&2; exit 2; }

sha256() { openssl dgst -sha256 -binary; }
base64() { openssl base64 -A; }
numbers() { od -An -v -tu1 | tr -s ' \n' ' '; }                     # bytes to decimal numbers
octets() { printf %b "$(printf '\\0%03o' "$@")"; }                  # and back
count() { echo $#; }
xored() { for n in $key; do echo $((n ^ $1)); done; }
hmac() { { octets $(xored 92); { octets $(xored 54); cat; } | sha256; } | sha256; }

key=$(numbers <"$2") key=${key% }
while case $key in *' 10' | *' 13') ;; *) false ;; esac do key=${key% *}; done  # strip trailing line breaks
[ "$(count $key)" -le 64 ] || key=$(octets $key | sha256 | numbers)
while [ "$(count $key)" -lt 64 ]; do key="$key 0"; done

audience=${SKEP_AUDIENCE-}
if [ -z "$audience" ]; then
  [ "$(grep -c '^-----BEGIN' "${SKEP_CA:?name the file of the CA, or set SKEP_AUDIENCE}")" = 1 ] ||
    { echo "$SKEP_CA must hold one certificate; otherwise set SKEP_AUDIENCE" >&2; exit 1; }
  public=$(openssl x509 -in "$SKEP_CA" -noout -pubkey)
  audience=$(printf '%s\n' "$public" | openssl pkey -pubin -outform DER | sha256 | od -An -v -tx1 | tr -d ' \n')
fi

url=${4%%#*} target=${url#*://} target=${target#"${target%%[/?]*}"} path=${target%%\?*} query=
case $target in *\?*) query=${target#*\?} ;; esac
list='"@method" "@path" "@query"' lf='
'
lines="\"@method\": $3$lf\"@path\": ${path:-/}$lf\"@query\": ?$query$lf"
header() { list="$list \"$1\"" lines="$lines\"$1\": $2$lf"; printf '%s: %s\n' "$1" "$2"; }

header skep-audience "$audience"
[ $# -lt 5 ] || header content-digest "sha-256=:$(sha256 <"$5" | base64):"
[ $# -lt 5 ] || header content-type "${CONTENT_TYPE:-application/json}"
[ -z "${SKEP_TARGET-}" ] || header skep-target "$SKEP_TARGET"

params="($list);created=$(date +%s);nonce=\"$(openssl rand -hex 16)\";keyid=\"$1\";tag=\"skep/2\""
printf 'signature-input: sig1=%s\n' "$params"
printf 'signature: sig1=:%s:\n' "$(printf '%s"@signature-params": %s' "$lines" "$params" | hmac | base64)"
