import type { RequestHandler } from "express";
import helmet from "helmet";

/**
 * Headers for everything: nothing may be framed, and pages may load from us only. Styles may stand in a page because the
 * reference page and Bull Board put them there; scripts may not. Bull Board also asks for a font of Google's, which this refuses.
 */
export function securityHeaders(): RequestHandler {
  return helmet({
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'none'"],
        scriptSrc: ["'self'"],
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", "data:", "blob:"],
        fontSrc: ["'self'", "data:"],
        connectSrc: ["'self'"],
        baseUri: ["'self'"],
        formAction: ["'self'"],
        frameAncestors: ["'none'"],
      },
    },
    // We speak plain HTTP; whether the name is only reached by TLS is known to the proxy in front.
    strictTransportSecurity: false,
    // Outputs are shown on pages of other origins, by their signed links.
    crossOriginResourcePolicy: { policy: "cross-origin" },
  });
}
