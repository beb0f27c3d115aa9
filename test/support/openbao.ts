export { type OpenBao, startOpenBao } from "../../src/demo/services/openbao.ts";
