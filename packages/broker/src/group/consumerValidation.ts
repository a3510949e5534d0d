import type { ConsumerGroupHeartbeatRequest } from "@exactly-once/protocol"
import { STATIC_LEAVE_EPOCH } from "./ConsumerGroup.ts"
import { INVALID_REQUEST, UNSUPPORTED_ASSIGNOR } from "./errorCodes.ts"

/** A request that is refused: its error code, and the message that goes with it. */
export class GroupError extends Error {
  override readonly name = "GroupError"
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** From here on the client makes its own member id (KIP-1082). */
const MEMBER_ID_FROM_CLIENT = 1

/** Throws `GroupError` if the request cannot be meant. */
export const validateHeartbeat = (
  request: ConsumerGroupHeartbeatRequest.ConsumerGroupHeartbeatRequest,
  version: number
): void => {
  const { memberEpoch } = request
  const refuse = (message: string): never => {
    throw new GroupError(INVALID_REQUEST, message)
  }
  if (request.memberId === "" && (version >= MEMBER_ID_FROM_CLIENT || memberEpoch > 0 || memberEpoch === -1)) {
    refuse("MemberId can't be empty.")
  }
  if (request.groupId === "") refuse("GroupId can't be empty.")
  if (request.instanceId === "") refuse("InstanceId can't be empty.")
  if (request.rackId === "") refuse("RackId can't be empty.")
  if (memberEpoch === 0) {
    if (request.rebalanceTimeoutMs === -1) refuse("RebalanceTimeoutMs must be provided in first request.")
    if (request.topicPartitions === null || request.topicPartitions.length > 0) {
      refuse("TopicPartitions must be empty when (re-)joining.")
    }
    if (request.subscribedTopicNames === null && request.subscribedTopicRegex === null) {
      refuse("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
    }
  } else if (memberEpoch === STATIC_LEAVE_EPOCH) {
    if (request.instanceId === null) refuse("InstanceId can't be null.")
  } else if (memberEpoch < STATIC_LEAVE_EPOCH) {
    refuse("MemberEpoch is invalid.")
  }
  const assignor = request.serverAssignor
  if (assignor !== null && assignor !== "uniform" && assignor !== "range") {
    throw new GroupError(
      UNSUPPORTED_ASSIGNOR,
      `ServerAssignor ${assignor} is not supported. Supported assignors: uniform, range.`
    )
  }
}
