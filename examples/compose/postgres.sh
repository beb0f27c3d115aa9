#!/bin/sh
# The logins of Vault: as the maker of readers, and for its own storage.
set -eu
psql -v ON_ERROR_STOP=1 -v vault="$(cat /run/secrets/vault_database)" -v bao="$(cat /run/secrets/openbao_database)" \
  -U postgres -d desk <<'EOF'
ALTER ROLE vault PASSWORD :'vault';
CREATE ROLE bao LOGIN PASSWORD :'bao';
CREATE DATABASE bao OWNER bao;
EOF
