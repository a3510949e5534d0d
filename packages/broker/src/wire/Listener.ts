import type { Connection, Transport } from "./Connection.ts"

/** Makes the connection for a transport that a client opened. */
export type Accept = (transport: Transport) => Connection

/** Somewhere clients can connect to. */
export interface Listener {
  readonly host: string
  readonly port: number
  readonly close: () => Promise<void>
}

export interface ListenerOptions {
  readonly host: string
  /** 0 takes any free one. */
  readonly port: number
  /** PEM, makes the listener speak TLS. */
  readonly tls?: TlsOptions | undefined
}

export interface TlsOptions {
  readonly key: string
  readonly cert: string
  /** Certificate authorities that clients' certificates must come from; asks clients for one. */
  readonly ca?: string | undefined
}
