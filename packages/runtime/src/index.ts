export { type AddressRules, createAddressRules, opensHost } from "./addressRules.ts";
export { cleanText } from "./cleanLine.ts";
export { type EveryOptions, every, monotonicMs, nowMs, sleep, withDeadline } from "./clock.ts";
export {
  apiKeysByHost,
  type ComfyUiAccess,
  type ComfyUiSettings,
  cloudHosts,
  comfyUiAccess,
  isSentInTheClear,
  writeApiKeys,
} from "./comfyUiAccess.ts";
export { describeEnv, type EnvEntry, envTable } from "./describeEnv.ts";
export { EnvError, type EnvMistake, type EnvSources, readEnv, readSwitches, reportAndExit } from "./env.ts";
export { FailPointError, failPoint } from "./failPoints.ts";
export { type CheckResult, createHealth, type Health, type Readiness, type ReadinessCheck } from "./health.ts";
export { type HealthServer, type HealthServerOptions, startHealthServer } from "./healthServer.ts";
export { hideValue } from "./hiddenValues.ts";
export { type HistoryFacts, isBroken, noteHistory } from "./history.ts";
export { newId, newSecret, rollSeed, safeEqual, sha256Hex } from "./ids.ts";
export { createLogger, LOG_LEVELS, type Logger, type LoggerOptions, type LogLevel } from "./logger.ts";
export { createMetrics, type MetricName, type Metrics } from "./metrics.ts";
export { MODEL_SETTINGS, modelRules } from "./modelSettings.ts";
export type { FailPointName } from "./parseFailPoints.ts";
export {
  createSafeFetch,
  type SafeFetch,
  type SafeFetchOptions,
  type SafeFetchRequest,
  type SafeFetchResponse,
} from "./safeFetch.ts";
export { SafeFetchError, type SafeFetchErrorCode } from "./safeFetchError.ts";
export { createSecretBox, type SecretBox, SecretBoxError } from "./secretBox.ts";
export { newWebhookSecret, readOrCreateSecret, tenantWebhookSecret } from "./secrets.ts";
export { printReady, type ServeHealthOptions, serveHealth } from "./serveHealth.ts";
export { runService, type Service, type ServiceOptions } from "./service.ts";
export {
  retentionMs,
  SHARED_SETTINGS,
  type SharedSettings,
  secretPath,
  storageOptions,
  storageUrl,
} from "./sharedSettings.ts";
export { stripUrl } from "./stripUrl.ts";
