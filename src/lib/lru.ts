/** The one bounded cache that every room uses. */
export { LRUCache } from "lru-cache";
