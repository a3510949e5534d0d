import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;

/**
 * Kafka Streams with exactly_once_v2: counts the input's records by key, over a repartition topic and a store with its
 * changelog, and writes every count. `java Counts countsCrash` ends without warning in the midst of the input,
 * `java Counts counts` goes on from there, with an empty state folder, until every record is counted.
 */
public class Counts {
  static final String BOOTSTRAP = System.getenv("KAFKA_BOOTSTRAP");
  static final String SCOPE = System.getenv("SCOPE");
  static final int RECORDS = Integer.parseInt(System.getenv("RECORDS"));

  static Properties settings(Path state) {
    Properties p = new Properties();
    p.put("application.id", SCOPE + "-group");
    p.put("bootstrap.servers", BOOTSTRAP);
    p.put("processing.guarantee", "exactly_once_v2");
    p.put("commit.interval.ms", "100");
    p.put("statestore.cache.max.bytes", "0");
    p.put("auto.offset.reset", "earliest");
    p.put("num.stream.threads", "2");
    p.put("max.poll.records", "40");
    p.put("session.timeout.ms", "6000");
    p.put("heartbeat.interval.ms", "500");
    p.put("state.dir", state.toString());
    p.put("default.key.serde", Serdes.StringSerde.class.getName());
    p.put("default.value.serde", Serdes.StringSerde.class.getName());
    return p;
  }

  /** Resolves when a committed reader sees a count for every record. */
  static int awaitOutput() {
    Properties p = new Properties();
    p.put("bootstrap.servers", BOOTSTRAP);
    p.put("isolation.level", "read_committed");
    int seen = 0;
    try (KafkaConsumer<String, String> reader = new KafkaConsumer<>(p, new StringDeserializer(), new StringDeserializer())) {
      var all = reader.partitionsFor(SCOPE + "-out").stream().map(it -> new TopicPartition(SCOPE + "-out", it.partition())).toList();
      reader.assign(all);
      reader.seekToBeginning(all);
      long deadline = System.currentTimeMillis() + 60_000;
      while (seen < RECORDS && System.currentTimeMillis() < deadline) seen += reader.poll(java.time.Duration.ofMillis(200)).count();
    }
    return seen;
  }

  public static void main(String[] args) throws Exception {
    boolean crash = args[0].equals("countsCrash");
    Path state = Files.createTempDirectory("counts");
    AtomicInteger counted = new AtomicInteger();
    CountDownLatch midst = new CountDownLatch(1);
    StreamsBuilder builder = new StreamsBuilder();
    builder.stream(SCOPE + "-in", Consumed.with(Serdes.String(), Serdes.String()))
      .selectKey((key, value) -> "key " + key)
      .groupByKey(Grouped.as("by-key"))
      .count(Materialized.as("counts"))
      .toStream()
      .mapValues(count -> {
        if (crash && counted.incrementAndGet() == RECORDS / 2) {
          midst.countDown();
          try {
            // The process ends here, with the transaction open.
            Thread.sleep(60_000);
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
        }
        return String.valueOf(count);
      })
      .to(SCOPE + "-out", Produced.with(Serdes.String(), Serdes.String()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings(state));
    AtomicInteger failures = new AtomicInteger();
    streams.setUncaughtExceptionHandler(error -> {
      error.printStackTrace();
      failures.incrementAndGet();
      return StreamThreadExceptionResponse.REPLACE_THREAD;
    });
    streams.start();
    if (crash) {
      if (!midst.await(60, TimeUnit.SECONDS)) throw new IllegalStateException("not half of the input within 60 s");
      System.out.println("{\"counted\":" + counted.get() + "}");
      System.out.flush();
      Runtime.getRuntime().halt(0);
    }
    int seen = awaitOutput();
    boolean closed = streams.close(java.time.Duration.ofSeconds(30));
    System.out.printf("{\"seen\":%d,\"failures\":%d,\"closed\":%b}%n", seen, failures.get(), closed);
    System.out.flush();
    Runtime.getRuntime().halt(0);
  }
}
