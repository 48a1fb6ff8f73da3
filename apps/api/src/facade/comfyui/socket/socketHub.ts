import { every } from "@comfyq/runtime";
import type { Rooms } from "../../../rooms.ts";
import type { ClientSocket } from "./clientSocket.ts";
import { TenantSockets } from "./tenantSockets.ts";

/** How often it is looked for what was not heard. */
const LOOK_EVERY_MS = 3_000;

/** Whose socket it is. */
interface SocketOwner {
  readonly tenant: string;
  readonly clientId: string;
}

/** All websockets of this process. */
export interface SocketHub {
  take(socket: ClientSocket, owner: SocketOwner): Promise<void>;
  count(): number;
}

export function createSocketHub(rooms: Rooms): SocketHub {
  const tenants = new Map<string, TenantSockets>();
  let count = 0;
  const look = async () => {
    for (const sockets of tenants.values()) await sockets.look();
  };
  void every(LOOK_EVERY_MS, look, {
    signal: rooms.closing,
    onError: (err) => rooms.logger.warn({ err }, "queues of websockets could not be looked at"),
    unref: true,
  });
  return {
    count: () => count,
    take: async (socket, { tenant, clientId }) => {
      const sockets = tenants.get(tenant) ?? new TenantSockets(rooms, tenant);
      tenants.set(tenant, sockets);
      count += 1;
      socket.onClose(() => {
        count -= 1;
        sockets.drop(socket, clientId);
        if (!sockets.isEmpty || tenants.get(tenant) !== sockets) return;
        tenants.delete(tenant);
        sockets.close();
      });
      await sockets.take(socket, clientId);
    },
  };
}
