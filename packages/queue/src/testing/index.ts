export { type PrivateRedis, startPrivateRedis } from "./privateRedis.ts";
