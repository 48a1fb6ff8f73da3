import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";

/** Keeps secrets that have to pass through places where others can look. */
export interface SecretBox {
  /**
   * Encrypts a text (AES-256-GCM, a new nonce each time).
   * @param owner whose it is: it can be opened for this owner only
   */
  seal(text: string, owner: string): string;
  /** @throws SecretBoxError when it was sealed with another key or for another owner, or was changed */
  open(sealed: string, owner: string): string;
  /** Tells equal texts from others, and nothing about them to whoever has no key. Hex. */
  digest(text: string): string;
}

/** A sealed text that cannot be opened here; says nothing of what is in it. */
export class SecretBoxError extends Error {
  override readonly name = "SecretBoxError";
  readonly code = "cannot_open";
}

const VERSION = "v1";
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** @param master any text of at least 32 characters that is hard to guess; the same in every process */
export function createSecretBox(master: string): SecretBox {
  const cipherKey = keyFor(master, "seal");
  const digestKey = keyFor(master, "digest");
  return {
    seal: (text, owner) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", cipherKey, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(Buffer.from(owner));
      const bytes = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return `${VERSION}.${Buffer.concat([nonce, cipher.getAuthTag(), bytes]).toString("base64url")}`;
    },
    open: (sealed, owner) => {
      try {
        return openWith(cipherKey, sealed, owner);
      } catch (cause) {
        throw new SecretBoxError(
          "What was sealed cannot be opened here: give every process the same COMFYQ_SECRETS_KEY",
          { cause },
        );
      }
    },
    digest: (text) => createHmac("sha256", digestKey).update(text).digest("hex"),
  };
}

function openWith(key: Uint8Array, sealed: string, owner: string): string {
  const [version, payload = ""] = sealed.split(".");
  if (version !== VERSION) throw new Error("another version");
  const bytes = Buffer.from(payload, "base64url");
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
  decipher.setAAD(Buffer.from(owner));
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString("utf8");
}

/** One key for each use, so that none of them can be turned against another (RFC 5869). */
function keyFor(master: string, use: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", master, "", `comfyq-secrets-${use}-1`, 32));
}
