export { type Postgres, startPostgres } from "../../src/demo/services/postgres.ts";
