/** What the files of the group APIs have in common. */
import * as Code from "../errorCodes.ts"
import type { Caller } from "../group/GroupCoordinator.ts"
import type { RequestContext } from "./Served.ts"

export const callerOf = (context: RequestContext): Caller => ({
  clientId: context.clientId,
  clientHost: `/${context.connection.remoteHost}`,
  version: context.version
})

/** 16 for a group that another node coordinates, 0 for one that may be served here. */
export const placement = (groupId: string, context: RequestContext): number =>
  context.cluster.groupError(groupId, context.node.id)

/** Splits the groups of a request into those this node serves and the others, each with its error. */
export const split = <A>(
  asked: ReadonlyArray<A>,
  groupId: (it: A) => string,
  context: RequestContext
): { readonly own: Array<A>; readonly other: Array<{ readonly it: A; readonly error: number }> } => {
  const own: Array<A> = []
  const other: Array<{ readonly it: A; readonly error: number }> = []
  for (const it of asked) {
    const error = context.cluster.groupError(groupId(it), context.node.id)
    if (error === Code.NONE) own.push(it)
    else other.push({ it, error })
  }
  return { own, other }
}
