/** The key of the gateway's own upstream session (discovery, change streams). No client session or principal has it. */
export const GATEWAY_SESSION = "gateway";
