#!/bin/sh
# Sets up Vault or OpenBao for this example. Needs the CLI (bao or vault) with an administrator's VAULT_ADDR and
# VAULT_TOKEN, and
#   GATEWAY_URL         the gateway's public_url: who signs the logins
#   GATEWAY_PUBLIC_KEY  the file of its signing key's public half, PEM
#   DATABASE            host:port/name of PostgreSQL, as Vault reaches it; DATABASE_TLS=require where it has TLS
#   DATABASE_PASSWORD   of its role `vault`
# Prints the gateway's own AppRole.
set -eu
bao=$(command -v bao || command -v vault)

# [login] Users log in by a JWT that the gateway signs. The alias is tenant/user: by `sub` alone the same name in two
# tenants would be one identity, and the later login would hand the earlier token the other tenant.
$bao auth enable jwt
$bao write auth/jwt/config bound_issuer="$GATEWAY_URL" jwt_supported_algs=ES256 \
  jwt_validation_pubkeys=@"$GATEWAY_PUBLIC_KEY"
$bao write auth/jwt/role/user - <<EOF
{"role_type": "jwt", "bound_audiences": ["vault"], "user_claim": "vault_alias",
 "bound_claims_type": "glob", "bound_claims": {"tenant": "*"}, "claim_mappings": {"tenant": "tenant", "sub": "user"},
 "token_policies": ["user"], "token_no_default_policy": true, "token_ttl": "2m", "token_max_ttl": "1h"}
EOF

# [policy] What a user may do is written once; the tenant comes from the login.
accessor=$($bao read -field=accessor sys/auth/jwt)
tenant="{{identity.entity.aliases.$accessor.metadata.tenant}}"
$bao policy write user - <<EOF
path "database/creds/$tenant.*"   { capabilities = ["read"] }
path "auth/token/lookup-self" { capabilities = ["read"] }
path "auth/token/renew-self"  { capabilities = ["update"] }
EOF

# [manager] The gateway itself renews and revokes. It can read no secret.
$bao auth enable approle
$bao policy write gateway - <<EOF
path "sys/leases/renew"           { capabilities = ["update"] }
path "sys/leases/revoke"          { capabilities = ["update"] }
path "auth/token/revoke-accessor" { capabilities = ["update"] }
EOF
$bao write auth/approle/role/gateway token_policies=gateway token_no_default_policy=true token_ttl=10m

# [database] A role for each user and call, a reader of one company alone. DROP ROLE does not end an open session:
# the revocation does that first. Vault repeats it if it died in between, so it has to work on a role that is gone.
$bao secrets enable -default-lease-ttl=60s -max-lease-ttl=10m database
printf %s "$DATABASE_PASSWORD" | $bao write database/config/desk plugin_name=postgresql-database-plugin allowed_roles="*" \
  connection_url="postgresql://{{username}}:{{password}}@$DATABASE?sslmode=${DATABASE_TLS:-disable}" \
  username=vault password=- password_authentication=scram-sha-256 \
  username_template='{{ printf "mcp-%s-%s-%s" (.RoleName | truncate 16) (.DisplayName | truncate 22) (random 8) | truncate 63 }}'
for company in acme globex; do
  $bao write "database/roles/$company.reader" - <<EOF
{"db_name": "desk", "default_ttl": "60s", "max_ttl": "10m",
 "creation_statements": ["CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}' IN ROLE ${company}_reader"],
 "revocation_statements": ["SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}'",
   "DROP ROLE IF EXISTS \"{{name}}\""]}
EOF
done

# [audit] The decision's id stands in Vault's audit log too.
$bao write sys/config/auditing/request-headers/x-mcp-decision-id hmac=false

echo "VAULT_ROLE_ID=$($bao read -field=role_id auth/approle/role/gateway/role-id)"
echo "VAULT_SECRET_ID=$($bao write -f -field=secret_id auth/approle/role/gateway/secret-id)"
