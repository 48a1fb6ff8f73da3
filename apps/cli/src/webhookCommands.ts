import { DELIVERY_STATUSES } from "@comfyq/contract";
import { type Command, Option } from "commander";
import {
  type DeliveriesOptions,
  listDeliveries,
  type RedeliverOptions,
  redeliver,
  showDelivery,
} from "./commands/deliveries.ts";
import { type ListenOptions, listenForWebhooks } from "./commands/listenForWebhooks.ts";
import { type VerifyOptions, verifyWebhook } from "./commands/verifyWebhook.ts";
import {
  changeWebhook,
  createWebhook,
  deleteWebhook,
  enableWebhook,
  listWebhooks,
  type RotateOptions,
  rotateWebhook,
  type SecretOptions,
  showWebhook,
  testWebhook,
  type WebhookWish,
  webhookSecret,
} from "./commands/webhooks.ts";
import { collect, wholeNumber } from "./optionTypes.ts";
import type { Finish } from "./program.ts";

/** `comfyq webhooks …`: who is told, and trying it on one's own machine. */
export function addWebhookCommands(program: Command, finish: Finish): void {
  const webhooks = program.command("webhooks").description("who is told of events; a receiver for development");
  webhooks
    .command("list", { isDefault: true })
    .description("list the endpoints")
    .option("--json", "print them as JSON")
    .action(async (options: { json?: boolean }) => finish(await listWebhooks(options)));
  const wish = (command: Command, leftOut: string) =>
    command
      .option("--events <types>", `comma separated; left out: ${leftOut}`)
      .option("--description <text>", "to tell it from others")
      .option(
        "-H, --header <name: value>",
        "sent along, as your gateway wants it; never shown again (repeatable)",
        collect,
      );
  const create = webhooks.command("create").description("make an endpoint and show its secret, once").argument("<url>");
  wish(create, "every way a job can end").action(async (url: string, options: WebhookWish) =>
    finish(await createWebhook(url, options)),
  );
  const change = webhooks.command("change").description("change what you name of an endpoint").argument("<endpoint>");
  wish(change, "as before")
    .option("--url <url>", "where it is from now on; another host needs its headers again")
    .action(async (id: string, options: WebhookWish & { url?: string }) => finish(await changeWebhook(id, options)));
  addStateCommands(webhooks, finish);
  addSecretCommands(webhooks, finish);
  addTrialCommands(webhooks, finish);
}

function addStateCommands(webhooks: Command, finish: Finish): void {
  webhooks
    .command("show")
    .description("show an endpoint, and why it is disabled if it is")
    .argument("<endpoint>")
    .option("--json", "print it as JSON")
    .action(async (id: string, options: { json?: boolean }) => finish(await showWebhook(id, options)));
  webhooks
    .command("enable")
    .description("send to a disabled endpoint again")
    .argument("<endpoint>")
    .action(async (id: string) => finish(await enableWebhook(id)));
  webhooks
    .command("delete")
    .description("send nothing more to an endpoint")
    .argument("<endpoint>")
    .action(async (id: string) => finish(await deleteWebhook(id)));
  webhooks
    .command("test")
    .description("send an endpoint an event that tells of nothing")
    .argument("<endpoint>")
    .action(async (id: string) => finish(await testWebhook(id)));
}

function addSecretCommands(webhooks: Command, finish: Finish): void {
  webhooks
    .command("rotate")
    .description("replace an endpoint's secret; the old one signs beside it for a while")
    .argument("<endpoint>")
    .option("--overlap <seconds>", "how long; 0: it has leaked", wholeNumber)
    .action(async (id: string, options: RotateOptions) => finish(await rotateWebhook(id, options)));
  webhooks
    .command("secret")
    .description("print the secret of the webhooks that are named with jobs")
    .option("--rotate", "replace it; the old one signs beside it for a while")
    .option("--overlap <seconds>", "with --rotate: how long; 0: it has leaked", wholeNumber)
    .action(async (options: SecretOptions) => finish(await webhookSecret(options)));
}

function addTrialCommands(webhooks: Command, finish: Finish): void {
  webhooks
    .command("listen")
    .description("show every event on this machine until Ctrl-C, as a receiver would get it")
    .option("--port <n>", "port to listen on; a free one if left out", wholeNumber, 0)
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--url <url>", "where the dispatcher finds it, if not there")
    .option("--events <types>", "comma separated; left out: every way a job can end")
    .option("--forward-to <url>", "hand each on to a server of yours, and answer what it answers")
    .action(async (options: ListenOptions) => finish(await listenForWebhooks(options)));
  webhooks
    .command("verify")
    .description("check a webhook's signature, and say which part is wrong")
    .argument("<body>", 'the file with the very bytes that arrived; "-" reads standard input')
    .requiredOption("--secret <whsec_…>", "the secret of the endpoint, or of the tenant for webhooks of jobs")
    .option("-H, --header <name: value>", "webhook-id, webhook-timestamp and webhook-signature (repeatable)", collect)
    .option("--tolerance <seconds>", "how old it may be", wholeNumber, 300)
    .option("--at <moment>", "check as if it were then, as 2027-01-31T09:00:00Z")
    .addHelpText("after", "\nExit code: 0 genuine, 1 not genuine, 2 nothing could be checked.")
    .action(async (file: string, options: VerifyOptions) => finish(await verifyWebhook(file, options)));
}

/** `comfyq deliveries …`: what was sent, what came of it, and sending it again. */
export function addDeliveryCommands(program: Command, finish: Finish): void {
  const deliveries = program
    .command("deliveries")
    .description("webhooks that were sent, every try, and sending them again");
  deliveries
    .command("list", { isDefault: true })
    .description("list deliveries, newest first")
    .addOption(new Option("--status <status>", "only these").choices(DELIVERY_STATUSES))
    .option("--endpoint <endpoint>", "only those to this endpoint")
    .option("--job <job>", "only those about this job")
    .option("--type <type>", "only events of this type")
    .option("--since <moment>", "only those made at this moment or later, as 2027-01-31T09:00:00Z")
    .option("--until <moment>", "only those made before this moment")
    .option("--limit <n>", "how many", wholeNumber, 20)
    .option("--cursor <cursor>", "go on from where the last list ended")
    .option("--json", "print the page as JSON")
    .action(async (options: DeliveriesOptions) => finish(await listDeliveries(options)));
  deliveries
    .command("show")
    .description("show every try of a delivery, and its body")
    .argument("<delivery>")
    .option("--json", "print it as JSON")
    .action(async (id: string, options: { json?: boolean }) => finish(await showDelivery(id, options)));
  deliveries
    .command("redeliver")
    .description("send again: those you name, or all that failed since a moment")
    .argument("[delivery...]")
    .option("--since <moment>", "all that failed and were made then or later, as 2027-01-31T09:00:00Z")
    .option("--until <moment>", "and before this moment")
    .option("--endpoint <endpoint>", "only those to this endpoint")
    .option("--type <type>", "only events of this type")
    .option("-n, --dry-run", "tell what would be sent again, and send nothing")
    .action(async (ids: readonly string[], options: RedeliverOptions) => finish(await redeliver(ids, options)));
}
