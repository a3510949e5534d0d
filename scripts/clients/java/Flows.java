import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The Java client's exactly-once flows: java Flows FLOW. The contract is described in scripts/clients/run.ts. */
public class Flows {
  static final String BOOTSTRAP = System.getenv("KAFKA_BOOTSTRAP");
  static final String SCOPE = System.getenv("SCOPE");
  static final String IN = SCOPE + "-in", OUT = SCOPE + "-out", GROUP = SCOPE + "-group", ID = SCOPE + "-id";
  static final int RECORDS = Integer.parseInt(System.getenv().getOrDefault("RECORDS", "0"));
  static final Duration POLL = Duration.ofMillis(100);

  interface Action {
    void run() throws Exception;
  }

  static KafkaProducer<String, String> producer(String id, int timeoutMs) {
    Properties p = new Properties();
    p.put("bootstrap.servers", BOOTSTRAP);
    p.put("enable.idempotence", "true");
    p.put("linger.ms", "5");
    if (id != null) {
      p.put("transactional.id", id);
      p.put("transaction.timeout.ms", String.valueOf(timeoutMs));
    }
    return new KafkaProducer<>(p, new StringSerializer(), new StringSerializer());
  }

  static KafkaProducer<String, String> transactional() {
    KafkaProducer<String, String> producer = producer(ID, 60_000);
    producer.initTransactions();
    return producer;
  }

  static KafkaConsumer<String, String> consumer(String group, String protocol, String isolation) {
    Properties p = new Properties();
    p.put("bootstrap.servers", BOOTSTRAP);
    p.put("group.id", group);
    p.put("group.protocol", protocol);
    p.put("isolation.level", isolation);
    p.put("enable.auto.commit", "false");
    p.put("auto.offset.reset", "earliest");
    p.put("max.poll.records", "50");
    if (protocol.equals("classic")) {
      p.put("session.timeout.ms", "6000");
      p.put("heartbeat.interval.ms", "500");
    }
    return new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer());
  }

  /** What the client says of an action: OK, or the exception's name. */
  static String outcome(Action action) {
    try {
      action.run();
      return "OK";
    } catch (Exception e) {
      return e.getClass().getSimpleName();
    }
  }

  static List<String> read(String isolation) {
    try (KafkaConsumer<String, String> reader = consumer(SCOPE + "-reader-" + UUID.randomUUID(), "classic", isolation)) {
      List<TopicPartition> all = reader.partitionsFor(OUT).stream().map(it -> new TopicPartition(OUT, it.partition())).toList();
      reader.assign(all);
      reader.seekToBeginning(all);
      Map<TopicPartition, Long> ends = reader.endOffsets(all);
      List<String> values = new ArrayList<>();
      while (all.stream().anyMatch(it -> reader.position(it) < ends.get(it)))
        for (ConsumerRecord<String, String> record : reader.poll(POLL)) values.add(record.value());
      Collections.sort(values);
      return values;
    }
  }

  static List<String> read() {
    return read("read_committed");
  }

  static List<String> numbered(String prefix, int count) {
    return IntStream.range(0, count).mapToObj(i -> String.format("%s%03d", prefix, i)).toList();
  }

  static void send(KafkaProducer<String, String> producer, List<String> values) {
    for (String value : values) producer.send(new ProducerRecord<>(OUT, "key-" + value, value));
    producer.flush();
  }

  static String json(Collection<String> values) {
    return values.stream().map(it -> '"' + it + '"').collect(Collectors.joining(",", "[", "]"));
  }

  static String produce() {
    AtomicInteger acknowledged = new AtomicInteger();
    try (KafkaProducer<String, String> producer = producer(null, 0)) {
      for (String value : numbered("p", 300))
        producer.send(new ProducerRecord<>(OUT, "key-" + value, value), (metadata, error) -> {
          if (error == null) acknowledged.incrementAndGet();
        });
      producer.flush();
    }
    List<String> values = read();
    return String.format("{\"acknowledged\":%d,\"read\":%d,\"distinct\":%d}", acknowledged.get(), values.size(), new TreeSet<>(values).size());
  }

  static String transactions() {
    try (KafkaProducer<String, String> producer = transactional()) {
      for (String prefix : List.of("a", "b", "c")) {
        producer.beginTransaction();
        send(producer, numbered(prefix, 10));
        if (prefix.equals("b")) producer.abortTransaction();
        else producer.commitTransaction();
      }
    }
    List<String> visible = read();
    String committed = visible.stream().map(it -> it.substring(0, 1)).distinct().sorted().collect(Collectors.joining());
    return String.format("{\"committed\":\"%s\",\"visible\":%d,\"written\":%d}", committed, visible.size(), read("read_uncommitted").size());
  }

  static void rewind(KafkaConsumer<String, String> source) {
    source.committed(source.assignment()).forEach((partition, offset) -> {
      if (offset == null) source.seekToBeginning(List.of(partition));
      else source.seek(partition, offset.offset());
    });
  }

  /** Every third transaction aborts, and its records are read again. */
  static String copy(String protocol) {
    int copied = 0, commits = 0, aborts = 0, attempts = 0;
    try (KafkaProducer<String, String> producer = transactional();
        KafkaConsumer<String, String> source = consumer(GROUP, protocol, "read_committed")) {
      source.subscribe(List.of(IN));
      while (copied < RECORDS) {
        ConsumerRecords<String, String> records = source.poll(POLL);
        if (records.isEmpty()) continue;
        attempts++;
        producer.beginTransaction();
        for (ConsumerRecord<String, String> it : records) producer.send(new ProducerRecord<>(OUT, it.key(), it.value().toUpperCase()));
        producer.sendOffsetsToTransaction(records.nextOffsets(), source.groupMetadata());
        if (attempts % 3 == 0) {
          producer.abortTransaction();
          rewind(source);
          aborts++;
        } else {
          producer.commitTransaction();
          copied += records.count();
          commits++;
        }
      }
    }
    return String.format("{\"copied\":%d,\"aborted\":%b,\"committed\":%b}", copied, aborts > 0, commits > 0);
  }

  static String fence() {
    KafkaProducer<String, String> old = transactional();
    old.beginTransaction();
    send(old, List.of("old"));
    try (KafkaProducer<String, String> fresh = transactional()) {
      String zombie = outcome(old::commitTransaction);
      fresh.beginTransaction();
      send(fresh, List.of("new"));
      fresh.commitTransaction();
      return String.format("{\"zombie\":\"%s\",\"visible\":%s}", zombie, json(read()));
    }
  }

  static String timeout() throws Exception {
    KafkaProducer<String, String> slow = producer(ID, 1_000);
    slow.initTransactions();
    slow.beginTransaction();
    send(slow, List.of("slow"));
    try (KafkaConsumer<String, String> watcher = consumer(SCOPE + "-watcher", "classic", "read_committed")) {
      List<TopicPartition> all = watcher.partitionsFor(OUT).stream().map(it -> new TopicPartition(OUT, it.partition())).toList();
      // The record and the marker that aborts it: a committed reader gets past both once the coordinator has decided.
      until(() -> watcher.endOffsets(all).values().stream().mapToLong(it -> it).sum() == 2);
    }
    String late = outcome(slow::commitTransaction);
    try (KafkaProducer<String, String> again = transactional()) {
      again.beginTransaction();
      send(again, List.of("again"));
      again.commitTransaction();
    }
    return String.format("{\"late\":\"%s\",\"visible\":%s}", late, json(read()));
  }

  static String crash() {
    KafkaProducer<String, String> producer = transactional();
    producer.beginTransaction();
    send(producer, List.of("lost"));
    return "{\"sent\":1}";
  }

  static String restart() {
    try (KafkaProducer<String, String> producer = transactional()) {
      producer.beginTransaction();
      send(producer, List.of("kept"));
      producer.commitTransaction();
    }
    return String.format("{\"visible\":%s}", json(read()));
  }

  @SafeVarargs
  static void until(BooleanSupplier condition, KafkaConsumer<String, String>... sources) throws Exception {
    long deadline = System.currentTimeMillis() + 30_000;
    while (!condition.getAsBoolean()) {
      if (System.currentTimeMillis() > deadline) throw new IllegalStateException("nothing came about within 30 s");
      for (KafkaConsumer<String, String> source : sources) source.poll(POLL);
      if (sources.length == 0) Thread.sleep(50);
    }
  }

  static String attempt(KafkaProducer<String, String> producer, TopicPartition partition, ConsumerGroupMetadata metadata) {
    producer.beginTransaction();
    send(producer, List.of("output"));
    String sent = outcome(() -> {
      producer.sendOffsetsToTransaction(Map.of(partition, new OffsetAndMetadata(7)), metadata);
      producer.commitTransaction();
    });
    if (!sent.equals("OK")) producer.abortTransaction();
    return sent;
  }

  /** A member commits an offset of what it lost with the metadata from before, then one of what it kept with today's. */
  static String stale(String protocol) throws Exception {
    try (KafkaProducer<String, String> producer = transactional();
        KafkaConsumer<String, String> first = consumer(GROUP, protocol, "read_committed");
        KafkaConsumer<String, String> second = consumer(GROUP, protocol, "read_committed")) {
      first.subscribe(List.of(IN));
      until(() -> first.assignment().size() == 3, first);
      ConsumerGroupMetadata before = first.groupMetadata();
      List<TopicPartition> all = new ArrayList<>(first.assignment());
      second.subscribe(List.of(IN));
      until(() -> !second.assignment().isEmpty() && first.assignment().size() < 3, first, second);
      TopicPartition kept = first.assignment().iterator().next();
      TopicPartition lost = all.stream().filter(it -> !first.assignment().contains(it)).findFirst().orElseThrow();
      String old = attempt(producer, lost, before), now = attempt(producer, kept, first.groupMetadata());
      Map<TopicPartition, OffsetAndMetadata> committed = first.committed(Set.of(lost, kept));
      String offsets = List.of(lost, kept).stream().map(it -> committed.get(it) == null ? "-1" : String.valueOf(committed.get(it).offset())).collect(Collectors.joining(","));
      return String.format("{\"old\":\"%s\",\"now\":\"%s\",\"committed\":[%s],\"visible\":%s}", old, now, offsets, json(read()));
    }
  }

  public static void main(String[] args) throws Exception {
    String saw = switch (args[0]) {
      case "produce" -> produce();
      case "transactions" -> transactions();
      case "copy" -> copy("classic");
      case "copy848" -> copy("consumer");
      case "fence" -> fence();
      case "timeout" -> timeout();
      case "crash" -> crash();
      case "restart" -> restart();
      case "stale" -> stale("classic");
      case "stale848" -> stale("consumer");
      default -> throw new IllegalArgumentException(args[0]);
    };
    System.out.println(saw);
    System.out.flush();
    // Without closing what is still open: a process that is killed does not either.
    Runtime.getRuntime().halt(0);
  }
}
