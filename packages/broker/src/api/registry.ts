/** Every API this broker serves, in the order of their keys. A file of this folder is served once it stands here. */
import { AddOffsetsToTxn } from "./AddOffsetsToTxn.ts"
import { AddPartitionsToTxn } from "./AddPartitionsToTxn.ts"
import { ApiVersions } from "./ApiVersions.ts"
import { ConsumerGroupDescribe } from "./ConsumerGroupDescribe.ts"
import { ConsumerGroupHeartbeat } from "./ConsumerGroupHeartbeat.ts"
import { CreatePartitions } from "./CreatePartitions.ts"
import { CreateTopics } from "./CreateTopics.ts"
import { DeleteGroups } from "./DeleteGroups.ts"
import { DeleteRecords } from "./DeleteRecords.ts"
import { DeleteTopics } from "./DeleteTopics.ts"
import { DescribeCluster } from "./DescribeCluster.ts"
import { DescribeConfigs } from "./DescribeConfigs.ts"
import { DescribeGroups } from "./DescribeGroups.ts"
import { DescribeProducers } from "./DescribeProducers.ts"
import { DescribeTopicPartitions } from "./DescribeTopicPartitions.ts"
import { DescribeTransactions } from "./DescribeTransactions.ts"
import { EndTxn } from "./EndTxn.ts"
import { Fetch } from "./Fetch.ts"
import { FindCoordinator } from "./FindCoordinator.ts"
import { Heartbeat } from "./Heartbeat.ts"
import { IncrementalAlterConfigs } from "./IncrementalAlterConfigs.ts"
import { InitProducerId } from "./InitProducerId.ts"
import { JoinGroup } from "./JoinGroup.ts"
import { LeaveGroup } from "./LeaveGroup.ts"
import { ListGroups } from "./ListGroups.ts"
import { ListOffsets } from "./ListOffsets.ts"
import { ListTransactions } from "./ListTransactions.ts"
import { Metadata } from "./Metadata.ts"
import { OffsetCommit } from "./OffsetCommit.ts"
import { OffsetDelete } from "./OffsetDelete.ts"
import { OffsetFetch } from "./OffsetFetch.ts"
import { OffsetForLeaderEpoch } from "./OffsetForLeaderEpoch.ts"
import { Produce } from "./Produce.ts"
import { SaslAuthenticate } from "./SaslAuthenticate.ts"
import { SaslHandshake } from "./SaslHandshake.ts"
import type { Served } from "./Served.ts"
import { SyncGroup } from "./SyncGroup.ts"
import { TxnOffsetCommit } from "./TxnOffsetCommit.ts"
import { WriteTxnMarkers } from "./WriteTxnMarkers.ts"

export const registry: ReadonlyArray<Served> = [
  Produce,
  Fetch,
  ListOffsets,
  Metadata,
  OffsetCommit,
  OffsetFetch,
  FindCoordinator,
  JoinGroup,
  Heartbeat,
  LeaveGroup,
  SyncGroup,
  DescribeGroups,
  ListGroups,
  SaslHandshake,
  ApiVersions,
  CreateTopics,
  DeleteTopics,
  DeleteRecords,
  InitProducerId,
  OffsetForLeaderEpoch,
  AddPartitionsToTxn,
  AddOffsetsToTxn,
  EndTxn,
  WriteTxnMarkers,
  TxnOffsetCommit,
  DescribeConfigs,
  SaslAuthenticate,
  CreatePartitions,
  DeleteGroups,
  IncrementalAlterConfigs,
  OffsetDelete,
  DescribeCluster,
  DescribeProducers,
  DescribeTransactions,
  ListTransactions,
  ConsumerGroupHeartbeat,
  ConsumerGroupDescribe,
  DescribeTopicPartitions
]

const byKey = new Map(registry.map((api) => [api.key, api]))

export const servedBy = (key: number): Served | undefined => byKey.get(key)
