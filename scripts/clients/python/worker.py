"""A worker as librdkafka's documentation has it: copies IN_TOPIC to OUT_TOPIC exactly once, until SIGTERM.

Ends with 3 when it was fenced or is otherwise beyond repair, so that a supervisor starts it again.
"""
import os
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

ENV = os.environ
SESSION_MS = int(ENV["SESSION_TIMEOUT_MS"])
TXN_MS = 100
FATAL = 3
stopping = False


def stop(_signal, _frame):
    global stopping
    stopping = True


def retried(action):
    """Runs an action again for as long as the library says that it may be."""
    while True:
        try:
            return action()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


def offsets_after(messages):
    """Where the next reader of each partition is to go on."""
    after = {}
    for message in messages:
        after[(message.topic(), message.partition())] = message.offset() + 1
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in after.items()]


def consume(consumer, seconds):
    return [message for message in consumer.consume(50, seconds) if message.error() is None]


def committed(consumer):
    """The committed offsets. Only errors of transactions say whether they may be tried again; this one is none."""
    until = time.monotonic() + 60
    while True:
        try:
            return consumer.committed(consumer.assignment(), 30)
        except KafkaException as error:
            if error.args[0].fatal() or time.monotonic() > until:
                raise
            time.sleep(0.05)


def rewind(consumer):
    """Back to what is committed: the records of an aborted transaction are read again."""
    for partition in committed(consumer):
        offset = partition.offset if partition.offset >= 0 else -2
        consumer.seek(TopicPartition(partition.topic, partition.partition, offset))


class Revoked(Exception):
    """Partitions were taken away while their records were in the transaction."""


def copy(producer, consumer, revocations):
    """One transaction over what arrives within TXN_MS. Answers how many records it copied."""
    messages = consume(consumer, 0.2)
    if not messages:
        return 0
    revocations.clear()
    producer.begin_transaction()
    until = time.monotonic() + TXN_MS / 1000
    copied = []
    while messages or time.monotonic() < until:
        for message in messages:
            producer.produce(ENV["OUT_TOPIC"], message.value(), message.key())
        copied += messages
        messages = consume(consumer, 0.02) if time.monotonic() < until else []
        # The generation is a new one by now: the coordinator would take offsets that are another member's to commit.
        if revocations:
            raise Revoked
    retried(lambda: producer.send_offsets_to_transaction(offsets_after(copied), consumer.consumer_group_metadata(), 30))
    retried(lambda: producer.commit_transaction(30))
    return len(copied)


def main():
    signal.signal(signal.SIGTERM, stop)
    producer = Producer({
        "bootstrap.servers": ENV["KAFKA_BOOTSTRAP"],
        "client.id": f"worker-{ENV['WORKER_INDEX']}",
        "transactional.id": f"{ENV['TXN_ID_PREFIX']}-{ENV['WORKER_INDEX']}",
        "transaction.timeout.ms": int(ENV["TXN_TIMEOUT_MS"]),
    })
    consumer = Consumer({
        "bootstrap.servers": ENV["KAFKA_BOOTSTRAP"],
        "client.id": f"worker-{ENV['WORKER_INDEX']}",
        "group.id": ENV["GROUP_ID"],
        "group.protocol": ENV["GROUP_PROTOCOL"],
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        **({"session.timeout.ms": SESSION_MS, "heartbeat.interval.ms": SESSION_MS // 6}
           if ENV["GROUP_PROTOCOL"] == "classic" else {}),
    })
    retried(lambda: producer.init_transactions(30))
    revocations = []
    consumer.subscribe([ENV["IN_TOPIC"]], on_revoke=lambda _consumer, partitions: revocations.append(partitions))
    copied = 0
    while not stopping:
        try:
            copied += copy(producer, consumer, revocations)
        except Revoked:
            retried(lambda: producer.abort_transaction(30))
            rewind(consumer)
        except KafkaException as error:
            print(f"after {copied} records: {error}", flush=True)
            if error.args[0].fatal() or not error.args[0].txn_requires_abort():
                os._exit(FATAL)
            retried(lambda: producer.abort_transaction(30))
            rewind(consumer)
    consumer.close()
    return 0


try:
    sys.exit(main())
except KafkaException as error:
    print(error, flush=True)
    os._exit(FATAL)
