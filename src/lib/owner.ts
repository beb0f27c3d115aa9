/** Owns the gateway's own upstream session (discovery, change streams). No client session or principal has this name. */
export const GATEWAY_OWNER = "gateway";
