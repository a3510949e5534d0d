/**
 * Every error code of Kafka 4.3.1 with the class that a transaction gives it, after KIP-1050's groups.
 *
 * Source: the protocol page's error table and the exception hierarchy of the Java client. Where a transaction has to know
 * more than "retriable", the class is ours: 7, 13, 20 and -1 leave open whether the request took effect; 14, 15, 16, 5, 6
 * mean that it had none; 47, 48, 49 and 90 are one class because brokers of different versions, and requests of
 * different versions, answer any of them for the same event.
 */
import type { FailureClass } from "./Driver.ts"

/** One row of the table. `refresh`: look up leaders and coordinators again before the next attempt. */
export interface ErrorCode {
  readonly code: number
  readonly name: string
  readonly failure: FailureClass
  readonly refresh: boolean
}

type Row = readonly [code: number, name: string, failure: FailureClass, refresh?: boolean]

const rows: ReadonlyArray<Row> = [
  [-1, "UNKNOWN_SERVER_ERROR", "UnknownOutcome"],
  [1, "OFFSET_OUT_OF_RANGE", "OffsetOutOfRange"],
  [2, "CORRUPT_MESSAGE", "CorruptRecord"],
  [3, "UNKNOWN_TOPIC_OR_PARTITION", "Misconfigured", true],
  [4, "INVALID_FETCH_SIZE", "Fatal"],
  [5, "LEADER_NOT_AVAILABLE", "Unavailable", true],
  [6, "NOT_LEADER_OR_FOLLOWER", "Unavailable", true],
  [7, "REQUEST_TIMED_OUT", "UnknownOutcome"],
  [8, "BROKER_NOT_AVAILABLE", "Unavailable"],
  [9, "REPLICA_NOT_AVAILABLE", "Unavailable", true],
  [10, "MESSAGE_TOO_LARGE", "InvalidRecord"],
  [11, "STALE_CONTROLLER_EPOCH", "Fatal"],
  [12, "OFFSET_METADATA_TOO_LARGE", "Misconfigured"],
  [13, "NETWORK_EXCEPTION", "UnknownOutcome", true],
  [14, "COORDINATOR_LOAD_IN_PROGRESS", "Unavailable"],
  [15, "COORDINATOR_NOT_AVAILABLE", "Unavailable", true],
  [16, "NOT_COORDINATOR", "Unavailable", true],
  [17, "INVALID_TOPIC_EXCEPTION", "Misconfigured"],
  [18, "RECORD_LIST_TOO_LARGE", "InvalidRecord"],
  [19, "NOT_ENOUGH_REPLICAS", "Unavailable"],
  [20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", "UnknownOutcome"],
  [21, "INVALID_REQUIRED_ACKS", "Misconfigured"],
  [22, "ILLEGAL_GENERATION", "Rebalanced"],
  [23, "INCONSISTENT_GROUP_PROTOCOL", "Misconfigured"],
  [24, "INVALID_GROUP_ID", "Misconfigured"],
  [25, "UNKNOWN_MEMBER_ID", "Rebalanced"],
  [26, "INVALID_SESSION_TIMEOUT", "Misconfigured"],
  [27, "REBALANCE_IN_PROGRESS", "Rebalanced"],
  [28, "INVALID_COMMIT_OFFSET_SIZE", "Fatal"],
  [29, "TOPIC_AUTHORIZATION_FAILED", "Unauthorized"],
  [30, "GROUP_AUTHORIZATION_FAILED", "Unauthorized"],
  [31, "CLUSTER_AUTHORIZATION_FAILED", "Unauthorized"],
  [32, "INVALID_TIMESTAMP", "InvalidRecord"],
  [33, "UNSUPPORTED_SASL_MECHANISM", "Unauthorized"],
  [34, "ILLEGAL_SASL_STATE", "Unauthorized"],
  [35, "UNSUPPORTED_VERSION", "Misconfigured"],
  [36, "TOPIC_ALREADY_EXISTS", "Fatal"],
  [37, "INVALID_PARTITIONS", "Misconfigured"],
  [38, "INVALID_REPLICATION_FACTOR", "Misconfigured"],
  [39, "INVALID_REPLICA_ASSIGNMENT", "Misconfigured"],
  [40, "INVALID_CONFIG", "Misconfigured"],
  [41, "NOT_CONTROLLER", "Retriable"],
  [42, "INVALID_REQUEST", "Fatal"],
  [43, "UNSUPPORTED_FOR_MESSAGE_FORMAT", "Misconfigured"],
  [44, "POLICY_VIOLATION", "Misconfigured"],
  [45, "OUT_OF_ORDER_SEQUENCE_NUMBER", "Abortable"],
  [46, "DUPLICATE_SEQUENCE_NUMBER", "Abortable"],
  [47, "INVALID_PRODUCER_EPOCH", "Fenced"],
  [48, "INVALID_TXN_STATE", "Fenced"],
  [49, "INVALID_PRODUCER_ID_MAPPING", "Fenced"],
  [50, "INVALID_TRANSACTION_TIMEOUT", "Misconfigured"],
  [51, "CONCURRENT_TRANSACTIONS", "Retriable"],
  [52, "TRANSACTION_COORDINATOR_FENCED", "Unavailable"],
  [53, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "Unauthorized"],
  [54, "SECURITY_DISABLED", "Unauthorized"],
  [55, "OPERATION_NOT_ATTEMPTED", "Abortable"],
  [56, "KAFKA_STORAGE_ERROR", "Unavailable", true],
  [57, "LOG_DIR_NOT_FOUND", "Fatal"],
  [58, "SASL_AUTHENTICATION_FAILED", "Unauthorized"],
  [59, "UNKNOWN_PRODUCER_ID", "Abortable"],
  [60, "REASSIGNMENT_IN_PROGRESS", "Fatal"],
  [61, "DELEGATION_TOKEN_AUTH_DISABLED", "Unauthorized"],
  [62, "DELEGATION_TOKEN_NOT_FOUND", "Unauthorized"],
  [63, "DELEGATION_TOKEN_OWNER_MISMATCH", "Unauthorized"],
  [64, "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "Unauthorized"],
  [65, "DELEGATION_TOKEN_AUTHORIZATION_FAILED", "Unauthorized"],
  [66, "DELEGATION_TOKEN_EXPIRED", "Unauthorized"],
  [67, "INVALID_PRINCIPAL_TYPE", "Fatal"],
  [68, "NON_EMPTY_GROUP", "Fatal"],
  [69, "GROUP_ID_NOT_FOUND", "Fatal"],
  [70, "FETCH_SESSION_ID_NOT_FOUND", "Retriable"],
  [71, "INVALID_FETCH_SESSION_EPOCH", "Retriable"],
  [72, "LISTENER_NOT_FOUND", "Unavailable", true],
  [73, "TOPIC_DELETION_DISABLED", "Fatal"],
  [74, "FENCED_LEADER_EPOCH", "Unavailable", true],
  [75, "UNKNOWN_LEADER_EPOCH", "Retriable"],
  [76, "UNSUPPORTED_COMPRESSION_TYPE", "Misconfigured"],
  [77, "STALE_BROKER_EPOCH", "Fatal"],
  [78, "OFFSET_NOT_AVAILABLE", "Retriable"],
  [79, "MEMBER_ID_REQUIRED", "Fatal"],
  [80, "PREFERRED_LEADER_NOT_AVAILABLE", "Unavailable", true],
  [81, "GROUP_MAX_SIZE_REACHED", "Misconfigured"],
  [82, "FENCED_INSTANCE_ID", "Rebalanced"],
  [83, "ELIGIBLE_LEADERS_NOT_AVAILABLE", "Unavailable", true],
  [84, "ELECTION_NOT_NEEDED", "Unavailable", true],
  [85, "NO_REASSIGNMENT_IN_PROGRESS", "Fatal"],
  [86, "GROUP_SUBSCRIBED_TO_TOPIC", "Fatal"],
  [87, "INVALID_RECORD", "InvalidRecord"],
  [88, "UNSTABLE_OFFSET_COMMIT", "Retriable"],
  [89, "THROTTLING_QUOTA_EXCEEDED", "Retriable"],
  [90, "PRODUCER_FENCED", "Fenced"],
  [91, "RESOURCE_NOT_FOUND", "Fatal"],
  [92, "DUPLICATE_RESOURCE", "Fatal"],
  [93, "UNACCEPTABLE_CREDENTIAL", "Unauthorized"],
  [94, "INCONSISTENT_VOTER_SET", "Fatal"],
  [95, "INVALID_UPDATE_VERSION", "Fatal"],
  [96, "FEATURE_UPDATE_FAILED", "Fatal"],
  [97, "PRINCIPAL_DESERIALIZATION_FAILURE", "Fatal"],
  [98, "SNAPSHOT_NOT_FOUND", "Fatal"],
  [99, "POSITION_OUT_OF_RANGE", "Fatal"],
  [100, "UNKNOWN_TOPIC_ID", "Unavailable", true],
  [101, "DUPLICATE_BROKER_REGISTRATION", "Fatal"],
  [102, "BROKER_ID_NOT_REGISTERED", "Fatal"],
  [103, "INCONSISTENT_TOPIC_ID", "Unavailable", true],
  [104, "INCONSISTENT_CLUSTER_ID", "Fatal"],
  [105, "TRANSACTIONAL_ID_NOT_FOUND", "Fatal"],
  [106, "FETCH_SESSION_TOPIC_ID_ERROR", "Retriable"],
  [107, "INELIGIBLE_REPLICA", "Fatal"],
  [108, "NEW_LEADER_ELECTED", "Fatal"],
  [109, "OFFSET_MOVED_TO_TIERED_STORAGE", "Fatal"],
  [110, "FENCED_MEMBER_EPOCH", "Rebalanced"],
  [111, "UNRELEASED_INSTANCE_ID", "Fatal"],
  [112, "UNSUPPORTED_ASSIGNOR", "Misconfigured"],
  [113, "STALE_MEMBER_EPOCH", "Rebalanced"],
  [114, "MISMATCHED_ENDPOINT_TYPE", "Fatal"],
  [115, "UNSUPPORTED_ENDPOINT_TYPE", "Fatal"],
  [116, "UNKNOWN_CONTROLLER_ID", "Fatal"],
  [117, "UNKNOWN_SUBSCRIPTION_ID", "Fatal"],
  [118, "TELEMETRY_TOO_LARGE", "Fatal"],
  [119, "INVALID_REGISTRATION", "Fatal"],
  [120, "TRANSACTION_ABORTABLE", "Abortable"],
  [121, "INVALID_RECORD_STATE", "Fatal"],
  [122, "SHARE_SESSION_NOT_FOUND", "Retriable"],
  [123, "INVALID_SHARE_SESSION_EPOCH", "Retriable"],
  [124, "FENCED_STATE_EPOCH", "Fatal"],
  [125, "INVALID_VOTER_KEY", "Fatal"],
  [126, "DUPLICATE_VOTER", "Fatal"],
  [127, "VOTER_NOT_FOUND", "Fatal"],
  [128, "INVALID_REGULAR_EXPRESSION", "Misconfigured"],
  [129, "REBOOTSTRAP_REQUIRED", "Fatal"],
  [130, "STREAMS_INVALID_TOPOLOGY", "Fatal"],
  [131, "STREAMS_INVALID_TOPOLOGY_EPOCH", "Fatal"],
  [132, "STREAMS_TOPOLOGY_FENCED", "Fatal"],
  [133, "SHARE_SESSION_LIMIT_REACHED", "Retriable"]
]

/** The table by code. */
export const byCode: ReadonlyMap<number, ErrorCode> = new Map(
  rows.map(([code, name, failure, refresh]) => [code, { code, name, failure, refresh: refresh === true }])
)

/** A code's row; an unknown code (a newer broker) is `Fatal`, under its number. */
export const of = (code: number): ErrorCode =>
  byCode.get(code) ?? { code, name: `ERROR_${code}`, failure: "Fatal", refresh: false }

/** A code as a person reads it: `47 INVALID_PRODUCER_EPOCH`. */
export const format = (code: number): string => `${code} ${of(code).name}`
