#!/bin/sh
# Sets up OpenBao once; the gateway finds its AppRole in a volume that nobody else has.
set -eu
umask 077
[ ! -s /run/approle/secret_id ] || exit 0
VAULT_TOKEN=$(bao login -token-only -method=userpass username=admin password=- </run/secrets/openbao_admin)
DATABASE_PASSWORD=$(cat /run/secrets/vault_database)
export VAULT_TOKEN DATABASE_PASSWORD
sh /set-up.sh >/tmp/said
sed -n 's/^VAULT_ROLE_ID=//p' /tmp/said >/run/approle/role_id
sed -n 's/^VAULT_SECRET_ID=//p' /tmp/said >/run/approle/secret_id
bao token revoke -self >/dev/null
