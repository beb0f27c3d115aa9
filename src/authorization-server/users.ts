/** A person to try things out as. There is no password: whoever reaches the page may choose. */
export interface SampleUser {
  readonly subject: string;
  readonly name: string;
  readonly tenant: string;
  readonly roles: readonly string[];
}

/** What a sign-in with nothing but a click is worth: no assurance (OpenID Connect Core, `acr` "0"), user presence (RFC 8176). */
export const ASSURANCE = { acr: "0", amr: ["user"] } as const;

/** The claims of an access token beyond the standard ones: the same, whether it was issued or minted. */
export function claimsOf(user: SampleUser, authTime: number) {
  return {
    tenant: user.tenant,
    roles: [...user.roles],
    auth_time: authTime,
    acr: ASSURANCE.acr,
    amr: [...ASSURANCE.amr],
  };
}
