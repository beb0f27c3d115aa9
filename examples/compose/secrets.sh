#!/bin/sh
# Makes the secrets of docker-compose.yml in a new folder: random passwords and keys, a signing key, and a certificate
# for OpenBao with an authority of its own.
#   sh examples/compose/secrets.sh ./secrets
set -eu
[ $# -eq 1 ] || { echo "usage: secrets.sh FOLDER" >&2; exit 2; }
[ ! -e "$1" ] || { echo "$1 is there already: nothing was changed" >&2; exit 1; }
umask 077
mkdir "$1"
cd "$1"

for name in openbao.admin openbao.database postgres.password session.key valkey.password vault.database; do
  openssl rand -hex 24 | tr -d '\n' >"$name"
done
openssl rand 32 >openbao.seal
printf 'postgres://bao:%s@postgres:5432/bao?sslmode=disable' "$(cat openbao.database)" >openbao.storage

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signing.key 2>/dev/null
openssl pkey -in signing.key -pubout -out signing.pem

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=portcullis example" \
  -keyout ca.key -out ca.pem 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=openbao \
  -keyout openbao.key -out openbao.csr 2>/dev/null
printf 'subjectAltName=DNS:openbao,IP:127.0.0.1' >openbao.ext
openssl x509 -req -in openbao.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile openbao.ext \
  -out openbao.pem 2>/dev/null
rm -f openbao.csr openbao.ext ca.srl ca.key
# The folder is yours alone; in it, containers whose users differ from you can read.
chmod 0644 -- *
