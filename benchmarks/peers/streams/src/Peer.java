import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/** Kafka Streams: RocksDB with changelog topics, at least once or exactly once (to Kafka, not to PostgreSQL). */
final class Peer {
    final long asOfUs;
    final String postgres;
    private final JsonNode job;
    private final long events;
    private final AtomicLong handled = new AtomicLong();
    private final CountDownLatch done = new CountDownLatch(1);
    private volatile long beganCpu = -1;
    private volatile long began;

    private Peer(JsonNode job) {
        this.job = job;
        this.asOfUs = job.get("as_of_us").longValue();
        this.events = job.get("events").longValue();
        this.postgres = job.get("jdbc").textValue();
    }

    public static void main(String[] arguments) throws Exception {
        new Peer(new ObjectMapper().readTree(new File(arguments[0]))).run();
    }

    private void run() throws Exception {
        KafkaStreams streams = new KafkaStreams(topology(), settings());
        streams.start();
        done.await();
        // Closing commits: stores flushed, changelogs and crossings acknowledged, offsets committed.
        streams.close(Duration.ofSeconds(60));
        end();
    }

    /** Only the first record counts: starting the JVM and joining the group are nobody's work here. */
    void began() {
        if (beganCpu < 0) {
            synchronized (this) {
                if (beganCpu < 0) {
                    began = System.nanoTime();
                    mark("first");
                    beganCpu = cpu();
                }
            }
        }
    }

    void one() {
        long count = handled.incrementAndGet();
        if (count == events) {
            done.countDown();
        }
        if (count == events / 2) {
            mark("half");
        }
    }

    /** Where the engine is to be killed, it says how far it is. */
    private void mark(String name) {
        if (job.get("progress").isNull()) {
            return;
        }
        try {
            Files.createFile(Path.of(job.get("progress").textValue(), name));
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }

    private void end() throws IOException {
        Map<String, Double> told = Map.of(
                "cpu_seconds", (cpu() - beganCpu) / 1e9,
                // Linux counts them from the same moment as Python's monotonic clock.
                "began", began / 1e9,
                "seconds", (System.nanoTime() - began) / 1e9);
        Path partial = Path.of(job.get("result").textValue() + ".partial");
        Files.writeString(partial, new ObjectMapper().writeValueAsString(told));
        partial.toFile().renameTo(new File(job.get("result").textValue()));
    }

    private static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                .getProcessCpuTime();
    }

    private Topology topology() {
        Topology made = new Topology();
        made.addSource("records", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), text("source"));
        made.addProcessor("counting", () -> new Counting(this), "records");
        StoreBuilder<KeyValueStore<String, byte[]>> seen = Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore("seen"), Serdes.String(), Serdes.ByteArray());
        StoreBuilder<KeyValueStore<String, Lead>> leads = Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore("leads"), Serdes.String(), Lead.serde());
        // Tuned: a lead's value goes to RocksDB and its changelog once per commit instead of once per event. Both
        // stores or none: with one of them cached, a kill leaves the other ahead, and events known that never counted.
        boolean tuned = job.get("tuned").booleanValue();
        made.addStateStore(tuned ? seen.withCachingEnabled() : seen, "counting");
        made.addStateStore(tuned ? leads.withCachingEnabled() : leads, "counting");
        if (postgres != null) {
            made.addStateStore(new SinkBuilder(postgres), "counting");
        }
        made.addSink("crossings", text("crossings"),
                Serdes.String().serializer(), Serdes.String().serializer(), "counting");
        return made;
    }

    private Properties settings() {
        Properties made = new Properties();
        made.put(StreamsConfig.APPLICATION_ID_CONFIG, text("group"));
        made.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, text("bootstrap"));
        made.put(StreamsConfig.STATE_DIR_CONFIG, text("state_dir"));
        made.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, text("guarantee"));
        made.put("auto.offset.reset", "earliest");
        if (!job.get("session_seconds").isNull()) {
            made.put("consumer.session.timeout.ms", (int) (job.get("session_seconds").doubleValue() * 1000));
        }
        if (job.get("tuned").booleanValue()) {
            // Commits every ten seconds (defaults: 30 s at least once, 0.1 s exactly once), a larger record cache,
            // larger writes, more records a poll.
            made.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 10_000);
            made.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64 * 1024 * 1024);
            made.put("producer.linger.ms", 50);
            made.put("producer.batch.size", 512 * 1024);
            made.put("consumer.max.poll.records", 5000);
        }
        return made;
    }

    private String text(String name) {
        return job.get(name).textValue();
    }

    /** What a topology asks of a store that is not one of its own; there is no changelog: PostgreSQL is the copy. */
    private record SinkBuilder(String url) implements StoreBuilder<StateStore> {
        @Override
        public StoreBuilder<StateStore> withCachingEnabled() {
            return this;
        }

        @Override
        public StoreBuilder<StateStore> withCachingDisabled() {
            return this;
        }

        @Override
        public StoreBuilder<StateStore> withLoggingEnabled(Map<String, String> config) {
            return this;
        }

        @Override
        public StoreBuilder<StateStore> withLoggingDisabled() {
            return this;
        }

        @Override
        public StateStore build() {
            return new SinkStore(url);
        }

        @Override
        public Map<String, String> logConfig() {
            return Map.of();
        }

        @Override
        public boolean loggingEnabled() {
            return false;
        }

        @Override
        public String name() {
            return "sink";
        }
    }
}
