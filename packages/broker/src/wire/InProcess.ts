/** A transport without sockets: client and broker in one process, bytes handed over by function call. */
import type { Accept } from "./Listener.ts"

/** The client's end. */
export interface Channel {
  readonly write: (bytes: Uint8Array) => void
  readonly close: () => void
}

export interface ChannelHandlers {
  readonly onData: (bytes: Uint8Array) => void
  readonly onClose: () => void
}

/**
 * Opens a connection. Bytes of the broker arrive inside a later call of `schedule`, never inside `write`: a client that handles an answer
 * while it is still sending would not survive a real socket either.
 */
export const connect = (accept: Accept, handlers: ChannelHandlers, schedule: (run: () => void) => void): Channel => {
  let open = true
  const close = () => {
    schedule(() => {
      if (!open) return
      open = false
      handlers.onClose()
    })
  }
  const connection = accept({
    write: (bytes) => {
      schedule(() => {
        if (open) handlers.onData(bytes)
      })
      return true
    },
    close,
    finish: close,
    pause: () => {},
    resume: () => {},
    remoteHost: "in-process"
  })
  return {
    write: (bytes) => {
      const copy = bytes.slice()
      schedule(() => {
        if (open) connection.push(copy)
      })
    },
    close: () => {
      open = false
      connection.close()
    }
  }
}
