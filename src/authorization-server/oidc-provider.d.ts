// The package's entry prints a notice about Node's version when it is imported; its parts do not.
declare module "oidc-provider/lib/provider.js" {
  export { default as Provider } from "oidc-provider";
}
declare module "oidc-provider/lib/helpers/errors.js" {
  import { errors } from "oidc-provider";
  export const InvalidTarget: typeof errors.InvalidTarget;
}
