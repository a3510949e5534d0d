"""A worker as librdkafka's documentation has it: copies IN_TOPIC to OUT_TOPIC exactly once, until SIGTERM.

Ends with 3 when it was fenced or is otherwise beyond repair, so that a supervisor starts it again.
"""
import os
import signal
import sys

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

ENV = os.environ
SESSION_MS = int(ENV["SESSION_TIMEOUT_MS"])
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


def rewind(consumer):
    """Back to what is committed: the records of an aborted transaction are read again."""
    for partition in retried(lambda: consumer.committed(consumer.assignment(), 30)):
        offset = partition.offset if partition.offset >= 0 else -2
        consumer.seek(TopicPartition(partition.topic, partition.partition, offset))


def copy(producer, consumer, messages):
    producer.begin_transaction()
    for message in messages:
        producer.produce(ENV["OUT_TOPIC"], message.value(), message.key())
    retried(lambda: producer.send_offsets_to_transaction(offsets_after(messages), consumer.consumer_group_metadata(), 30))
    retried(lambda: producer.commit_transaction(30))


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
    consumer.subscribe([ENV["IN_TOPIC"]])
    copied = 0
    while not stopping:
        messages = [message for message in consumer.consume(50, 0.2) if message.error() is None]
        if not messages:
            continue
        try:
            copy(producer, consumer, messages)
            copied += len(messages)
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
