/**
 * The requests of a member of a classic consumer group, each one effect.
 */
import { Apis } from "@exactly-once/protocol"
import * as Effect from "effect/Effect"
import type { Cluster } from "../network/Cluster.ts"
import { answered, type Failure } from "../network/failure.ts"
import * as Assignor from "./assignor.ts"

export interface GroupOptions {
  readonly cluster: Cluster
  /** The member's own connections: a join holds one up until the whole group has joined. */
  readonly pool: string
  readonly groupId: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly subscription: Assignor.Subscription
}

export interface Generation {
  readonly memberId: string
  readonly generation: number
}

export interface Joined extends Generation {
  readonly assignment: ReadonlyArray<Assignor.Assignment>
  /** The leader notices when partitions are added; the others need not look. */
  readonly leads: boolean
}

const memberIdRequired = 79
/** Connections that everybody shares: for leaving while a join is under way. */
const side = "main"

const code = (api: string) => ({ errorCode }: { readonly errorCode: number }): Failure | undefined =>
  errorCode === 0 ? undefined : answered(api, errorCode)

const joinOnce = (options: GroupOptions, memberId: string) =>
  options.cluster.askCoordinator({
    pool: options.pool,
    kind: "group",
    key: options.groupId,
    api: Apis.JoinGroup,
    body: {
      groupId: options.groupId,
      sessionTimeoutMs: options.sessionTimeoutMs,
      rebalanceTimeoutMs: options.rebalanceTimeoutMs,
      memberId,
      protocolType: "consumer",
      protocols: [{ name: Assignor.protocolName, metadata: Assignor.encodeSubscription(options.subscription) }]
    },
    timeoutMs: options.rebalanceTimeoutMs + options.cluster.options.requestTimeout,
    failureIn: (response) => response.errorCode === memberIdRequired ? undefined : code("JoinGroup")(response)
  })

const countPartitions = (
  { cluster }: GroupOptions,
  members: ReadonlyArray<Assignor.Candidate>
): Effect.Effect<ReadonlyMap<string, number>, Failure> =>
  Effect.gen(function*() {
    const counts = new Map<string, number>()
    for (const topic of new Set(members.flatMap(({ subscription }) => subscription.topics))) {
      // A topic that another member asks for and that is not there must not stop this one.
      const count = yield* Effect.map(cluster.topic(topic, true), ({ leaders }) => leaders.length).pipe(
        Effect.catch((failure) => failure.code === 3 ? Effect.succeed(0) : Effect.fail(failure))
      )
      counts.set(topic, count)
    }
    return counts
  })

/**
 * JoinGroup and SyncGroup once. `onMember` hears the member id as soon as the coordinator has given one, so that the next
 * attempt, or the leaving, carries it.
 */
export const join = (
  options: GroupOptions,
  memberId: string,
  onMember: (memberId: string) => void
): Effect.Effect<Joined, Failure> =>
  Effect.gen(function*() {
    const { cluster, groupId, pool } = options
    let response = yield* joinOnce(options, memberId)
    onMember(response.memberId)
    if (response.errorCode === memberIdRequired) {
      response = yield* joinOnce(options, response.memberId)
      if (response.errorCode === memberIdRequired) return yield* Effect.fail(answered("JoinGroup", memberIdRequired))
      onMember(response.memberId)
    }
    const leads = response.leader === response.memberId
    const candidates = response.members.flatMap(({ memberId, metadata }) => {
      const subscription = Assignor.decodeSubscription(metadata)
      return subscription === undefined ? [] : [{ memberId, subscription }]
    })
    const shares = leads ? Assignor.assign(candidates, yield* countPartitions(options, candidates)) : undefined
    const { assignment } = yield* cluster.askCoordinator({
      pool,
      kind: "group",
      key: groupId,
      api: Apis.SyncGroup,
      body: {
        groupId,
        generationId: response.generationId,
        memberId: response.memberId,
        protocolType: "consumer",
        protocolName: Assignor.protocolName,
        assignments: Array.from(shares ?? [], ([memberId, share]) => ({
          memberId,
          assignment: Assignor.encodeAssignment(share)
        }))
      },
      timeoutMs: options.rebalanceTimeoutMs + cluster.options.requestTimeout,
      failureIn: code("SyncGroup")
    })
    return {
      memberId: response.memberId,
      generation: response.generationId,
      assignment: Assignor.decodeAssignment(assignment),
      leads
    }
  })

export const heartbeat = (
  { cluster, groupId, pool }: GroupOptions,
  { generation, memberId }: Generation
): Effect.Effect<void, Failure> =>
  Effect.asVoid(cluster.askCoordinator({
    pool,
    kind: "group",
    key: groupId,
    api: Apis.Heartbeat,
    body: { groupId, memberId, generationId: generation },
    failureIn: code("Heartbeat")
  }))

/** LeaveGroup for members of any process: the coordinator asks for nothing but their ids. */
export const leave = (
  { cluster, groupId }: Pick<GroupOptions, "cluster" | "groupId">,
  memberIds: ReadonlyArray<string>,
  reason: string
): Effect.Effect<void, Failure> =>
  Effect.asVoid(cluster.askCoordinator({
    pool: side,
    kind: "group",
    key: groupId,
    api: Apis.LeaveGroup,
    body: { groupId, members: memberIds.map((memberId) => ({ memberId, reason })) },
    failureIn: code("LeaveGroup")
  }))

export interface Described {
  readonly memberId: string
  readonly member: Assignor.Announcement | undefined
}

export const describe = (
  { cluster, groupId }: Pick<GroupOptions, "cluster" | "groupId">
): Effect.Effect<ReadonlyArray<Described>, Failure> =>
  Effect.map(
    cluster.askCoordinator({
      pool: side,
      kind: "group",
      key: groupId,
      api: Apis.DescribeGroups,
      body: { groups: [groupId] },
      // From version 6 on a group that does not exist yet is an error; it has no members.
      failureIn: ({ groups }) =>
        groups[0] === undefined || groups[0].errorCode === 69 ? undefined : code("DescribeGroups")(groups[0])
    }),
    ({ groups }) =>
      (groups[0]?.members ?? []).map(({ memberId, memberMetadata }) => ({
        memberId,
        member: Assignor.decodeSubscription(memberMetadata)?.member
      }))
  )
