# OpenBao of docker-compose.yml: storage in PostgreSQL (BAO_PG_CONNECTION_URL), opened by a key from a file, and an
# administrator for the set-up (ADMIN_PW).
storage "postgresql" {}

listener "tcp" {
  address       = "0.0.0.0:8200"
  tls_cert_file = "/run/secrets/openbao_certificate"
  tls_key_file  = "/run/secrets/openbao_key"
}

api_addr = "https://openbao:8200"

seal "static" {
  current_key_id = "compose-1"
  current_key    = "file:///run/secrets/openbao_seal"
}

audit "file" "main" {
  options {
    file_path = "/openbao/logs/audit.log"
  }
}

initialize "admin" {
  request "mount" {
    operation = "update"
    path      = "sys/auth/userpass"
    data      = { type = "userpass" }
  }
  request "policy" {
    operation = "update"
    path      = "sys/policies/acl/superuser"
    data      = { policy = "path \"*\" { capabilities = [\"create\",\"read\",\"update\",\"patch\",\"delete\",\"list\",\"sudo\"] }" }
  }
  request "user" {
    operation = "update"
    path      = "auth/userpass/users/admin"
    data = {
      password       = { eval_type = "string", eval_source = "env", env_var = "ADMIN_PW" }
      token_policies = ["superuser"]
    }
  }
}
