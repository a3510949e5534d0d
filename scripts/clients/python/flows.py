"""librdkafka's exactly-once flows: python flows.py FLOW. The contract is described in scripts/clients.ts."""
import json
import os
import sys
import time
import uuid

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

BOOTSTRAP = os.environ["KAFKA_BOOTSTRAP"]
SCOPE = os.environ["SCOPE"]
IN, OUT, GROUP, ID = (f"{SCOPE}-{part}" for part in ("in", "out", "group", "id"))
RECORDS = int(os.environ.get("RECORDS", "0"))
PER_TRANSACTION = 50
BEGINNING = -2


def producer(transactional_id=None, timeout_ms=60_000):
    conf = {"bootstrap.servers": BOOTSTRAP, "enable.idempotence": True, "linger.ms": 5}
    if transactional_id is not None:
        conf["transactional.id"] = transactional_id
        conf["transaction.timeout.ms"] = timeout_ms
    return Producer(conf)


def consumer(group, protocol="classic", isolation="read_committed"):
    conf = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group,
        "group.protocol": protocol,
        "isolation.level": isolation,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
    }
    if protocol == "classic":
        conf["session.timeout.ms"] = 6_000
        conf["heartbeat.interval.ms"] = 500
    return Consumer(conf)


def outcome(action):
    """What the library says of an action: OK, or the error's name."""
    try:
        action()
        return "OK"
    except KafkaException as error:
        return error.args[0].name()


def read(isolation="read_committed"):
    """All values of the output topic, to its end."""
    reader = consumer(f"{SCOPE}-reader-{uuid.uuid4()}", isolation=isolation)
    partitions = reader.list_topics(OUT, 10).topics[OUT].partitions
    reader.assign([TopicPartition(OUT, partition, BEGINNING) for partition in partitions])
    values, ended = [], set()
    while len(ended) < len(partitions):
        message = reader.poll(10)
        if message is None:
            raise RuntimeError("no end of the partition within 10 s")
        if message.error() is None:
            values.append(message.value().decode())
        else:
            ended.add(message.partition())
    reader.close()
    return sorted(values)


def send(client, *values):
    for value in values:
        client.produce(OUT, value, f"key-{value}")
    client.flush(30)


def numbered(prefix, count):
    return [f"{prefix}{index:03d}" for index in range(count)]


def produce():
    acknowledged = []
    client = producer()

    def delivered(error, message):
        if error is None:
            acknowledged.append(message.value())

    for value in numbered("p", 300):
        client.produce(OUT, value, f"key-{value}", on_delivery=delivered)
    client.flush(30)
    values = read()
    return {"acknowledged": len(acknowledged), "read": len(values), "distinct": len(set(values))}


def transactions():
    client = producer(ID)
    client.init_transactions(30)
    for prefix, commit in (("a", True), ("b", False), ("c", True)):
        client.begin_transaction()
        send(client, *numbered(prefix, 10))
        client.commit_transaction(30) if commit else client.abort_transaction(30)
    return {
        "committed": "".join(sorted({value[0] for value in read()})),
        "visible": len(read()),
        "written": len(read("read_uncommitted")),
    }


def retried(action):
    """Runs an action again for as long as the library says that it may be."""
    while True:
        try:
            return action()
        except KafkaException as error:
            if not error.args[0].retriable():
                raise


def committed(source):
    """The committed offsets. Only errors of transactions say whether they may be tried again; this one is none."""
    until = time.monotonic() + 60
    while True:
        try:
            return source.committed(source.assignment(), 30)
        except KafkaException as error:
            if error.args[0].fatal() or time.monotonic() > until:
                raise
            time.sleep(0.05)


def rewind(source):
    for partition in committed(source):
        offset = partition.offset if partition.offset >= 0 else BEGINNING
        source.seek(TopicPartition(partition.topic, partition.partition, offset))


def copy(protocol="classic"):
    """Every third transaction aborts, and its records are read again."""
    client = producer(ID)
    retried(lambda: client.init_transactions(30))
    source = consumer(GROUP, protocol)
    source.subscribe([IN])
    copied = commits = aborts = attempts = 0
    while copied < RECORDS:
        messages = [it for it in source.consume(PER_TRANSACTION, 1.0) if it.error() is None]
        if not messages:
            continue
        attempts += 1
        client.begin_transaction()
        for message in messages:
            client.produce(OUT, message.value().upper(), message.key())
        offsets, metadata = source.position(source.assignment()), source.consumer_group_metadata()
        try:
            retried(lambda: client.send_offsets_to_transaction(offsets, metadata, 30))
            if attempts % 3 != 0:
                retried(lambda: client.commit_transaction(30))
                copied += len(messages)
                commits += 1
                continue
        except KafkaException as error:
            if error.args[0].fatal() or not error.args[0].txn_requires_abort():
                raise
        retried(lambda: client.abort_transaction(30))
        rewind(source)
        aborts += 1
    source.close()
    return {"copied": copied, "aborted": aborts > 0, "committed": commits > 0}


def fence():
    old = producer(ID)
    old.init_transactions(30)
    old.begin_transaction()
    send(old, "old")
    new = producer(ID)
    new.init_transactions(30)
    zombie = outcome(lambda: old.commit_transaction(30))
    new.begin_transaction()
    send(new, "new")
    new.commit_transaction(30)
    return {"zombie": zombie, "visible": read()}


def timeout():
    slow = producer(ID, 1_000)
    slow.init_transactions(30)
    slow.begin_transaction()
    send(slow, "slow")
    # The coordinator decides: a committed reader gets to the end of the log once it has.
    watcher = consumer(f"{SCOPE}-watcher", isolation="read_committed")
    deadline = time.time() + 30
    while time.time() < deadline:
        offsets = [watcher.get_watermark_offsets(TopicPartition(OUT, index), 10) for index in range(3)]
        if sum(high for _, high in offsets) == 2:
            break
        time.sleep(0.1)
    watcher.close()
    late = outcome(lambda: slow.commit_transaction(30))
    again = producer(ID)
    again.init_transactions(30)
    again.begin_transaction()
    send(again, "again")
    again.commit_transaction(30)
    return {"late": late, "visible": read()}


def crash():
    client = producer(ID)
    client.init_transactions(30)
    client.begin_transaction()
    send(client, "lost")
    print(json.dumps({"sent": 1}), flush=True)
    os._exit(0)


def restart():
    client = producer(ID)
    client.init_transactions(30)
    client.begin_transaction()
    send(client, "kept")
    client.commit_transaction(30)
    return {"visible": read()}


def until(condition, *sources):
    deadline = time.time() + 30
    while not condition():
        if time.time() > deadline:
            raise RuntimeError("no rebalance within 30 s")
        for source in sources:
            source.poll(0.1)


def stale(protocol="classic"):
    """A member commits an offset of what it lost with the metadata from before, then one of what it kept with today's."""
    first, second = consumer(GROUP, protocol), consumer(GROUP, protocol)
    first.subscribe([IN])
    until(lambda: len(first.assignment()) == 3, first)
    before = first.consumer_group_metadata()
    second.subscribe([IN])
    until(lambda: len(second.assignment()) > 0 and len(first.assignment()) < 3, first, second)
    client = producer(ID)
    client.init_transactions(30)
    kept = sorted(it.partition for it in first.assignment())
    lost = next(index for index in range(3) if index not in kept)

    def attempt(partition, metadata):
        offsets = [TopicPartition(IN, partition, 7)]
        client.begin_transaction()
        send(client, "output")
        sent = outcome(lambda: client.send_offsets_to_transaction(offsets, metadata, 30))
        if sent == "OK":
            client.commit_transaction(30)
        else:
            client.abort_transaction(30)
        return sent

    old, now = attempt(lost, before), attempt(kept[0], first.consumer_group_metadata())
    committed = first.committed([TopicPartition(IN, index) for index in (lost, kept[0])], 30)
    first.close()
    second.close()
    return {"old": old, "now": now, "committed": [max(it.offset, -1) for it in committed], "visible": read()}


def load():
    """Writes the records as fast as it can: 16 bytes of key, 100 of value, nothing compressed."""
    failed = []
    client = Producer({
        "bootstrap.servers": BOOTSTRAP,
        "enable.idempotence": True,
        "queue.buffering.max.messages": 500_000,
        "on_delivery": lambda error, _message: failed.append(error) if error is not None else None,
    })
    client.list_topics(OUT, 10)
    padding = b"." * 88
    started = time.monotonic()
    for index in range(RECORDS):
        key, value = b"k%015d" % index, b"%012d" % index + padding
        while True:
            try:
                client.produce(OUT, value, key)
                break
            except BufferError:
                client.poll(0.01)
        if index & 4095 == 0:
            client.poll(0)
    client.flush(120)
    if failed:
        raise KafkaException(failed[0])
    return {"records": RECORDS, "elapsedMs": int((time.monotonic() - started) * 1000)}


FLOWS = {
    "load": load,
    "produce": produce,
    "transactions": transactions,
    "copy": copy,
    "fence": fence,
    "timeout": timeout,
    "crash": crash,
    "restart": restart,
    "stale": stale,
    "copy848": lambda: copy("consumer"),
    "stale848": lambda: stale("consumer"),
}

print(json.dumps(FLOWS[sys.argv[1]]()), flush=True)
