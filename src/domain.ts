/**
 * The words that the rooms hand each other. Types only: a stage imports this file and `lib/`, never another stage.
 */
export type * from "./domain/credential.ts";
export type * from "./domain/exchange.ts";
export type * from "./domain/policy.ts";
export type * from "./domain/principal.ts";
export type * from "./domain/record.ts";
export type * from "./domain/store.ts";
export type * from "./domain/target.ts";
export type * from "./domain/upstream.ts";
