/**
 * The requests of a member of a classic consumer group, each one effect.
 */
import * as Effect from "effect/Effect"
import * as Assignor from "./assignor.ts"
import { answered, type Failure } from "./classify.ts"
import { askCoordinator } from "./transactionRequests.ts"
import type { Wire } from "./wire.ts"

export interface GroupOptions {
  readonly groupId: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly subscription: Assignor.Subscription
}

export interface Generation {
  readonly memberId: string
  readonly generation: number
}

interface JoinResponse {
  readonly errorCode: number
  readonly generationId: number
  readonly leaderId: string
  readonly memberId: string
  readonly members: ReadonlyArray<{ readonly memberId: string; readonly memberMetadata: Buffer }>
}

const code = (api: string) => ({ errorCode }: { readonly errorCode: number }): Failure | undefined =>
  errorCode === 0 ? undefined : answered(api, errorCode)

const memberIdRequired = 79

const joinOnce = (wire: Wire, options: GroupOptions, memberId: string) =>
  askCoordinator<JoinResponse>(
    wire,
    "group",
    options.groupId,
    "JoinGroup",
    {
      groupId: options.groupId,
      sessionTimeout: options.sessionTimeoutMs,
      rebalanceTimeout: options.rebalanceTimeoutMs,
      memberId,
      protocolType: "consumer",
      groupProtocols: [{ name: Assignor.protocolName, metadata: Assignor.encodeSubscription(options.subscription) }]
    },
    (response) => response.errorCode === memberIdRequired ? undefined : code("JoinGroup")(response)
  )

export interface Joined extends Generation {
  readonly assignment: ReadonlyArray<Assignor.Assignment>
  /** The leader notices when partitions are added; the others need not look. */
  readonly leads: boolean
}

const countPartitions = (
  wire: Wire,
  members: ReadonlyArray<Assignor.Candidate>
): Effect.Effect<ReadonlyMap<string, number>, Failure> =>
  Effect.gen(function*() {
    const counts = new Map<string, number>()
    for (const topic of new Set(members.flatMap(({ subscription }) => subscription.topics))) {
      // a topic that another member asks for and that is not there must not stop this one
      const partitions = yield* wire.topic(topic, true).pipe(
        Effect.catch((failure) => failure.code === 3 ? Effect.succeed([]) : Effect.fail(failure))
      )
      counts.set(topic, partitions.length)
    }
    return counts
  })

/**
 * JoinGroup and SyncGroup once. `onMember` hears the member id as soon as the coordinator has given one, so that the next
 * attempt, or the leaving, carries it.
 */
export const join = (
  wire: Wire,
  options: GroupOptions,
  memberId: string,
  onMember: (memberId: string) => void
): Effect.Effect<Joined, Failure> =>
  Effect.gen(function*() {
    let response = yield* joinOnce(wire, options, memberId)
    onMember(response.memberId)
    if (response.errorCode === memberIdRequired) {
      response = yield* joinOnce(wire, options, response.memberId)
      if (response.errorCode === memberIdRequired) return yield* Effect.fail(answered("JoinGroup", memberIdRequired))
      onMember(response.memberId)
    }
    const leads = response.leaderId === response.memberId
    const candidates = response.members.flatMap(({ memberId, memberMetadata }) => {
      const subscription = Assignor.decodeSubscription(memberMetadata)
      return subscription === undefined ? [] : [{ memberId, subscription }]
    })
    const shares = leads ? Assignor.assign(candidates, yield* countPartitions(wire, candidates)) : undefined
    const { memberAssignment } = yield* askCoordinator<{
      readonly errorCode: number
      readonly memberAssignment: Buffer | null
    }>(
      wire,
      "group",
      options.groupId,
      "SyncGroup",
      {
        groupId: options.groupId,
        generationId: response.generationId,
        memberId: response.memberId,
        groupAssignment: [...shares ?? []].map(([memberId, assignment]) => ({
          memberId,
          memberAssignment: Assignor.encodeAssignment(assignment)
        }))
      },
      code("SyncGroup")
    )
    return {
      memberId: response.memberId,
      generation: response.generationId,
      assignment: memberAssignment === null ? [] : Assignor.decodeAssignment(memberAssignment),
      leads
    }
  })

export const heartbeat = (wire: Wire, groupId: string, generation: Generation): Effect.Effect<void, Failure> =>
  Effect.asVoid(askCoordinator<{ readonly errorCode: number }>(
    wire,
    "group",
    groupId,
    "Heartbeat",
    { groupId, memberId: generation.memberId, groupGenerationId: generation.generation },
    code("Heartbeat")
  ))

export const leave = (wire: Wire, groupId: string, memberId: string): Effect.Effect<void, Failure> =>
  Effect.asVoid(askCoordinator<{ readonly errorCode: number }>(
    wire,
    "group",
    groupId,
    "LeaveGroup",
    { groupId, memberId },
    code("LeaveGroup")
  ))

interface DescribeResponse {
  readonly groups: ReadonlyArray<{
    readonly errorCode: number
    readonly members: ReadonlyArray<{ readonly memberId: string; readonly memberMetadata: Buffer }>
  }>
}

export const describe = (
  wire: Wire,
  groupId: string
): Effect.Effect<
  ReadonlyArray<{ readonly memberId: string; readonly member: Assignor.Announcement | undefined }>,
  Failure
> =>
  Effect.map(
    askCoordinator<DescribeResponse>(
      wire,
      "group",
      groupId,
      "DescribeGroups",
      { groupIds: [groupId] },
      ({ groups }) => groups[0] === undefined ? undefined : code("DescribeGroups")(groups[0])
    ),
    ({ groups }) =>
      (groups[0]?.members ?? []).map(({ memberId, memberMetadata }) => ({
        memberId,
        member: Assignor.decodeSubscription(memberMetadata)?.member
      }))
  )

/**
 * Has the coordinator forget the members that an earlier process of this replica left behind, so that a restart after a
 * crash need not wait for their session to end. An earlier process that still lives hears that it is unknown, and joins
 * again to be assigned nothing. Nothing depends on it: what cannot be told apart is left to the session timeout.
 */
export const evictEarlier = (wire: Wire, groupId: string, member: Assignor.Announcement): Effect.Effect<void> =>
  describe(wire, groupId).pipe(
    Effect.flatMap((members) =>
      Effect.forEach(
        members.filter((other) =>
          other.member?.replica === member.replica && other.member.incarnation < member.incarnation
        ),
        (other) => leave(wire, groupId, other.memberId),
        { discard: true }
      )
    ),
    Effect.ignore
  )
